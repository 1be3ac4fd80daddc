"""Conversations, and the plain chat door on top of them."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Header, Query
from pydantic import Field, model_validator
from starlette.responses import JSONResponse, Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import NotFound
from chatacter.chassis.streaming import SSE, opened, sse
from chatacter.contracts.base import Strict
from chattr.dependencies import CastDep, ConversationsDep, OwnerDep, RememberDep, ReplyDep, SessionLogDep, ShortTermDep
from chattr.domain.conversation import Conversation, Message, branch
from chattr.domain.identity import new_id
from chattr.domain.memory import Selection
from chattr.ports.sessions import LAST_SEQ, Event
from chattr.routes.cache_headers import CacheUseDep, cache_headers
from chattr.routes.idempotency import IdempotentRoute
from chattr.usecases.draft import Running, Whole
from chattr.usecases.scene import Ask

router = APIRouter(
    prefix="/api/v1", tags=["Conversations"], dependencies=[Depends(scope("chat"))], route_class=IdempotentRoute
)

LONGEST_MESSAGE: Final = 32_768


class ChatMessageRequest(Strict):
    """What is said to a character. Without `session_id` a conversation begins."""

    message: Annotated[str, Field(min_length=1, max_length=LONGEST_MESSAGE)]
    character: str | None = Field(default=None, description="A character's id; the conversation's own when absent")
    session_id: str | None = Field(default=None, description="The conversation to go on with")
    stream: bool = Field(default=False, description="Server-sent events instead of one JSON object")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def says_something(self) -> "ChatMessageRequest":
        """Blank messages are mistakes."""
        if not self.message.strip():
            raise ValueError("message says nothing")
        return self

    @property
    def sampling(self) -> dict[str, Any]:
        """What was set of the model's sampling."""
        named = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {name: value for name, value in named.items() if value is not None}


class NewConversation(Strict):
    """A conversation to begin."""

    character: str
    title: Annotated[str, Field(max_length=200)] | None = None


@router.post("/chat/message")
async def chat_message(body: ChatMessageRequest, owner: OwnerDep, reply: ReplyDep, cache: CacheUseDep) -> Response:
    """Say something to a character. The reply goes on when the listener leaves; resume it by its events."""
    session_id = body.session_id or new_id("conv")
    ask = Ask(
        character_id=body.character,
        text=body.message,
        conversation_id=session_id,
        sampling=body.sampling,
        cache=cache,
    )
    running = await reply.start(owner, ask, detached=True)
    if body.stream:
        return await opened(streamed(running), SSE, lambda: cache_headers(running.cache))
    answer = answer_of(running, await running.whole())
    return JSONResponse(answer, headers=cache_headers(running.cache))


async def streamed(running: Running) -> AsyncGenerator[bytes]:
    """Write a reply's events, numbered as its log numbers them."""
    async with aclosing(running.heard()) as heard:
        async for item in heard:
            if item.event is not None:
                yield line(item.event)


def answer_of(running: Running, reply: Whole) -> dict[str, Any]:
    """Describe a reply that has ended."""
    return {
        "session_id": reply.opening["conversation_id"],
        "reply_id": running.reply_id,
        "message_id": reply.ending["message_id"],
        "character": reply.opening["character_id"],
        "response": reply.text,
        "finish_reason": reply.ending.get("finish_reason", "cancelled"),
        "usage": reply.ending.get("usage"),
        "told": reply.ending.get("told", []),
    }


def line(event: Event) -> bytes:
    """Write one event of a reply."""
    return sse(orjson.dumps({"type": event.type, **event.data}), event=event.type, event_id=str(event.seq))


@router.get("/chat/replies/{reply_id}/events")
async def reply_events(
    reply_id: str,
    owner: OwnerDep,
    log: SessionLogDep,
    last_event_id: Annotated[int | None, Header(ge=0, le=LAST_SEQ)] = None,
    after: Annotated[int, Query(ge=0, le=LAST_SEQ, description="The number of the last event that was seen")] = 0,
) -> Response:
    """Follow a reply from any replica, from any of its events on. `Last-Event-ID` does the same as `after`."""

    async def lines() -> AsyncGenerator[bytes]:
        async with aclosing(log.follow(owner, reply_id, last_event_id or after)) as events:
            async for event in events:
                yield line(event)

    return await opened(lines(), SSE)


@router.post("/chat/replies/{reply_id}/cancel", status_code=202)
async def cancel_reply(reply_id: str, owner: OwnerDep, log: SessionLogDep) -> JSONResponse:
    """Ask a reply to stop, wherever it is written. What was said so far is kept."""
    await log.cancel(owner, reply_id)
    return JSONResponse({"reply_id": reply_id, "status": "cancelling"}, status_code=202)


@router.get("/chat/history/{session_id}")
async def chat_history(session_id: str, owner: OwnerDep, conversations: ConversationsDep) -> JSONResponse:
    """Return the active branch of a conversation, oldest first."""
    conversation = await existing(conversations, owner, session_id)
    path = branch(await conversations.messages(owner, session_id), conversation.head_id)
    return JSONResponse(
        {
            "session_id": session_id,
            "character": conversation.character_id,
            "live_reply_id": conversation.live_reply_id,
            "messages": [message_object(message) for message in path],
        }
    )


@router.post("/conversations", status_code=201)
async def create_conversation(
    body: NewConversation, owner: OwnerDep, cast: CastDep, conversations: ConversationsDep
) -> JSONResponse:
    """Begin a conversation with a character."""
    character = await cast.get(owner, body.character)
    conversation = Conversation(new_id("conv"), character.id, time.time(), body.title)
    await conversations.create(owner, conversation)
    return JSONResponse(conversation_object(conversation), status_code=201)


@router.get("/conversations")
async def list_conversations(
    owner: OwnerDep,
    conversations: ConversationsDep,
    after: Annotated[str | None, Query(description="Id that the previous page ended with")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JSONResponse:
    """List a person's conversations, newest first."""
    found = await conversations.list(owner, before=after, limit=limit + 1)
    page = found[:limit]
    return JSONResponse(
        {
            "object": "list",
            "data": [conversation_object(each) for each in page],
            "has_more": len(found) > limit,
            "last_id": page[-1].id if page else None,
        }
    )


@router.get("/conversations/{conversation_id}")
async def get_conversation(conversation_id: str, owner: OwnerDep, conversations: ConversationsDep) -> JSONResponse:
    """Return a conversation with all its branches."""
    conversation = await existing(conversations, owner, conversation_id)
    messages = await conversations.messages(owner, conversation_id)
    return JSONResponse(
        {**conversation_object(conversation), "messages": [message_object(message) for message in messages]}
    )


@router.delete("/conversations/{conversation_id}", status_code=204)
async def delete_conversation(
    conversation_id: str,
    owner: OwnerDep,
    conversations: ConversationsDep,
    short_term: ShortTermDep,
    remember: RememberDep,
) -> Response:
    """Remove a conversation with its messages, and what was remembered of it."""
    there = await conversations.delete(owner, conversation_id)  # first, so that a reply adds nothing after the rest
    await short_term.drop(owner, conversation_id)
    if remember is not None:
        await remember.forget(owner, Selection(conversation_id=conversation_id))
    if not there:
        raise missing(conversation_id)
    return Response(status_code=204)


async def existing(conversations: ConversationsDep, owner: OwnerDep, conversation_id: str) -> Conversation:
    """Return a conversation. Raises `NotFound`."""
    found = await conversations.get(owner, conversation_id)
    if found is None:
        raise missing(conversation_id)
    return found


def missing(conversation_id: str) -> NotFound:
    """Say that a conversation does not exist for this person."""
    return NotFound(f"There is no conversation {conversation_id!r}.", param="conversation_id")


def conversation_object(conversation: Conversation) -> dict[str, Any]:
    """Describe a conversation."""
    return {
        "id": conversation.id,
        "object": "conversation",
        "character": conversation.character_id,
        "title": conversation.title,
        "created_at": conversation.created_at,
        "head_id": conversation.head_id,
        "live_reply_id": conversation.live_reply_id,
    }


def message_object(message: Message) -> dict[str, Any]:
    """Describe a message."""
    return {
        "id": message.id,
        "parent_id": message.parent_id,
        "role": message.role,
        "content": message.content,
        "created_at": message.created_at,
        "status": message.status,
    }
