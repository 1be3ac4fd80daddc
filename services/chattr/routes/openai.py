"""OpenAI's doors to characters: `GET /v1/models` and `POST /v1/chat/completions`. A model is a character."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import orjson
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatacter.chassis.auth import Caller, scope
from chatacter.chassis.errors import InvalidInput, NotBuilt
from chatacter.chassis.streaming import DONE, SSE, opened, unless_left
from chatacter.contracts.chat import ChatCompletionRequest
from chatacter.contracts.problem import OpenAIError, OpenAIErrorBody
from chattr.dependencies import CastDep, OwnerDep, ReplyDep, owner_of
from chattr.domain.character import Character
from chattr.domain.prompt import Turn
from chattr.ports.sessions import CANCELLED, FAILED, Event
from chattr.routes.idempotency import HEADER, IdempotentRoute
from chattr.usecases.draft import Running
from chattr.usecases.scene import Ask

router = APIRouter(prefix="/v1", tags=["OpenAI"], dependencies=[Depends(scope("chat"))], route_class=IdempotentRoute)

REPLY_HEADER: Final = "x-chatacter-reply-id"
SPOKEN_ROLES: Final = frozenset({"user", "assistant"})
NOT_YET: Final = ("tools", "functions", "tool_choice", "audio", "modalities")


@router.get("/models")
async def list_models(owner: OwnerDep, cast: CastDep) -> JSONResponse:
    """List the characters as models."""
    return JSONResponse({"object": "list", "data": [model_object(each) for each in await cast.list(owner)]})


@router.get("/models/{model}")
async def get_model(model: str, owner: OwnerDep, cast: CastDep) -> JSONResponse:
    """Describe one character as a model."""
    return JSONResponse(model_object(await cast.get(owner, model)))


@router.post("/chat/completions")
async def create_chat_completion(
    body: ChatCompletionRequest, request: Request, caller: Caller, reply: ReplyDep
) -> Response:
    """Let a character answer; streamed or whole, stateless or within a conversation."""
    owner = owner_of(caller, request, body.user)
    running = await reply.start(owner, ask_of(body), detached=False)
    completion = Completion(running, body)
    headers = {REPLY_HEADER: running.reply_id}
    if body.stream:
        return await opened(completion.chunks(), SSE, headers)
    whole = completion.whole()
    kept = HEADER in request.headers  # a repetition is to find the answer, whether the first client stayed or not
    return JSONResponse(await (whole if kept else unless_left(request, whole)), headers=headers)


class Completion:
    """One reply in OpenAI's words."""

    def __init__(self, running: Running, body: ChatCompletionRequest) -> None:
        self._running = running
        self._model = body.model
        self._usage = bool(body.stream_options and body.stream_options.include_usage)
        self._id = "chatcmpl-" + running.reply_id.removeprefix("reply_")
        self._created = int(time.time())

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield server-sent chunks. A failure after the first text is told in the stream."""
        role_told = False
        async with aclosing(self._running.heard()) as heard:
            async for item in heard:
                if item.chunk is not None:
                    choices = item.chunk.get("choices") or []
                    if choices and not role_told:
                        role_told = True
                        choices[0]["delta"] = {"role": "assistant", "content": "", **choices[0].get("delta", {})}
                    if choices:
                        yield self._line(choices)
                elif item.last and item.event is not None:
                    yield self._ending(item.event)
        yield DONE

    def _line(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
            **more,
        }
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    def _ending(self, event: Event) -> bytes:
        if event.type == FAILED:
            return failed_in_stream(event.data)
        told = event.data["told"]
        extra = {"chatacter": {"told": told}} if told else {}
        if event.type == CANCELLED:
            stopped = {"index": 0, "delta": {}, "finish_reason": "stop"}
            return self._line([stopped], chatacter={"cancelled": True, "told": told})
        if self._usage:
            return self._line([], usage=event.data["usage"], **extra)
        return self._line([], **extra) if extra else b""

    async def whole(self) -> dict[str, Any]:
        """Collect the reply into one object."""
        reply = await self._running.whole()
        message = {"role": "assistant", "content": reply.text, "refusal": None}
        whole = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": reply.ending.get("finish_reason", "stop"),
                    "logprobs": None,
                }
            ],
            "usage": reply.ending.get("usage"),
        }
        return {**whole, "chatacter": {"told": reply.ending["told"]}} if reply.ending.get("told") else whole


def ask_of(body: ChatCompletionRequest) -> Ask:
    """Read a request as a question to a character. Raises `InvalidInput`, `NotBuilt`."""
    for name in NOT_YET:
        if body.sampling.get(name):
            raise NotBuilt(f"`{name}` is not built yet; leave it out.", param=name)
    if (body.sampling.get("n") or 1) != 1:
        raise NotBuilt("Only n=1 is built so far.", param="n")
    if any(message.role == "tool" or message.beyond_text for message in body.messages):
        raise NotBuilt("Only text is understood so far: leave pictures, sounds, files and tool results out.")
    spoken = [message for message in body.messages if message.role in SPOKEN_ROLES]
    if not spoken or spoken[-1].role != "user" or not spoken[-1].text.strip():
        raise InvalidInput("The last message must be the user's, and say something.", param="messages")
    instructions = "\n".join(m.text for m in body.messages if m.role in {"system", "developer"} and m.text)
    stateful = body.conversation_id is not None
    return Ask(
        character_id=body.model,
        text=spoken[-1].text,
        conversation_id=body.conversation_id,
        history=() if stateful else tuple(turn(message.role, message.text) for message in spoken[:-1]),
        instructions=instructions or None,
        sampling=body.sampling,
    )


def turn(role: str, text: str) -> Turn:
    """Read a message that was spoken."""
    return Turn("user" if role == "user" else "assistant", text)


def failed_in_stream(data: dict[str, Any]) -> bytes:
    """Write a failure as OpenAI clients read it out of a stream."""
    error = OpenAIError(message=data["message"], type="server_error", code=data["code"])
    return b"data: " + orjson.dumps(OpenAIErrorBody(error=error).model_dump()) + b"\n\n"


def model_object(character: Character) -> dict[str, Any]:
    """Describe a character as a model. Source: OpenAI API reference, "The model object"."""
    return {
        "id": character.id,
        "object": "model",
        "created": 0,
        "owned_by": "chatacter",
        "name": character.name,
        "description": character.description,
    }
