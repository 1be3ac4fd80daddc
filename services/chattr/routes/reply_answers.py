"""How a reply is answered with at the plain doors: one JSON object, or its events as they come."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, Field
from starlette.responses import JSONResponse, Response

from chatacter.chassis.errors import ChatacterError
from chatacter.chassis.streaming import SSE, opened, sse
from chatacter.contracts.base import Strict
from chattr.domain.mistake import mistake
from chattr.ports.sessions import FAILED, Event
from chattr.routes.cache_headers import cache_headers
from chattr.usecases.draft import Running, Whole, failure

LONGEST_MESSAGE: Final = 32_768
# What a character said may be longer than what anybody says to it.
LONGEST_EDIT: Final = 4 * LONGEST_MESSAGE


def said(value: str) -> str:
    """Refuse what says nothing: it is a mistake."""
    if not value.strip():
        raise mistake("this says nothing")
    return value


Spoken = Annotated[str, Field(min_length=1, max_length=LONGEST_MESSAGE), AfterValidator(said)]
Rewritten = Annotated[str, Field(min_length=1, max_length=LONGEST_EDIT), AfterValidator(said)]


class ReplyOptions(Strict):
    """How a reply is wanted."""

    stream: bool = Field(default=False, description="Server-sent events instead of one JSON object")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None

    @property
    def sampling(self) -> dict[str, Any]:
        """What was set of the model's sampling."""
        named = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {name: value for name, value in named.items() if value is not None}


class ReplyRead(Strict):
    """A reply that has ended."""

    session_id: str
    """Its conversation."""
    reply_id: str
    message_id: str
    parent_id: str | None
    """What it answers."""
    character: str
    response: str
    """Its whole text, with what it went on from."""
    finish_reason: str
    usage: dict[str, Any] | None
    stored: bool
    """Whether it stands in the conversation."""
    told: list[str]
    """What did not go as it should, in sentences."""
    more: list["ReplyRead"]
    """In a group, the replies that followed this one."""


REPLY: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": ReplyRead, "content": {"text/event-stream": {}}, "description": "The reply, whole or as events"}
}


async def answered(rounds: AsyncGenerator[Running], *, stream: bool) -> Response:
    """Answer with a reply, and in a group with those that follow it."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(aclosing(rounds))
        first = await anext(rounds)
        if stream:
            stack.pop_all()
            return await opened(streamed(first, rounds), SSE, lambda: cache_headers(first.cache))
        answer = {**answer_of(first, await first.whole()), "more": []}
        try:
            async for running in rounds:
                answer["more"].append({**answer_of(running, await running.whole()), "more": []})
        except ChatacterError as error:  # what was answered stands
            answer["told"] = [*answer["told"], error.message]
        return JSONResponse(answer, headers=cache_headers(first.cache))


async def streamed(first: Running, rounds: AsyncGenerator[Running]) -> AsyncGenerator[bytes]:
    """Write the events of replies, each numbered as its log numbers them."""
    running: Running | None = first
    async with aclosing(rounds):
        while running is not None:
            try:
                async with aclosing(running.heard()) as heard:
                    async for item in heard:
                        if item.event is not None:
                            yield line(item.event)
            except ChatacterError as error:
                if running is first:  # it is answered as an error
                    raise
                yield line(Event(1, FAILED, {"reply_id": running.reply_id, **failure(error)}))
            try:
                running = await anext(rounds, None)
            except ChatacterError as error:
                yield line(Event(1, FAILED, {"reply_id": None, **failure(error)}))
                return


def answer_of(running: Running, reply: Whole) -> dict[str, Any]:
    """Describe a reply that has ended."""
    return {
        "session_id": reply.opening["conversation_id"],
        "reply_id": running.reply_id,
        "message_id": reply.ending["message_id"],
        "parent_id": reply.opening["parent_id"],
        "character": reply.opening["character_id"],
        "response": reply.opening["begun"] + reply.text,
        "finish_reason": reply.ending.get("finish_reason", "cancelled"),
        "usage": reply.ending.get("usage"),
        "stored": reply.ending["stored"],
        "told": reply.ending.get("told", []),
    }


def line(event: Event) -> bytes:
    """Write one event of a reply."""
    return sse(orjson.dumps({"type": event.type, **event.data}), event=event.type, event_id=str(event.seq))
