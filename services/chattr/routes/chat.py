"""The plain chat door: say something, follow the reply, read what was said. The tree is behind `/conversations`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from pydantic import Field
from starlette.responses import JSONResponse, Response

from chatacter.chassis.auth import scope
from chatacter.chassis.streaming import SSE, opened
from chattr.dependencies import ConversingDep, OwnerDep, ReplyDep, SessionLogDep
from chattr.domain.identity import new_id
from chattr.ports.sessions import LAST_SEQ
from chattr.routes.cache_headers import CacheUseDep
from chattr.routes.idempotency import IdempotentRoute
from chattr.routes.reply_answers import REPLY, ReplyOptions, Spoken, answered, line
from chattr.routes.tree_objects import History, message_objects
from chattr.usecases.scene import Ask

router = APIRouter(
    prefix="/api/v1/chat", tags=["Conversations"], dependencies=[Depends(scope("chat"))], route_class=IdempotentRoute
)


class ChatMessageRequest(ReplyOptions):
    """What is said to a character. Without `session_id` a conversation begins."""

    message: Spoken
    character: str | None = Field(default=None, description="A character's id; the conversation's own when absent")
    session_id: str | None = Field(default=None, description="The conversation to go on with")


@router.post("/message", responses=REPLY)
async def chat_message(body: ChatMessageRequest, owner: OwnerDep, reply: ReplyDep, cache: CacheUseDep) -> Response:
    """Say something to a character. The reply goes on when the listener leaves; resume it by its events."""
    session_id = body.session_id or new_id("conv")
    ask = Ask(body.character, body.message, session_id, sampling=body.sampling, cache=cache)
    return await answered(reply.rounds(owner, ask), stream=body.stream)


@router.get("/replies/{reply_id}/events")
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


@router.post("/replies/{reply_id}/cancel", status_code=202)
async def cancel_reply(reply_id: str, owner: OwnerDep, log: SessionLogDep) -> JSONResponse:
    """Ask a reply to stop, wherever it is written. What was said so far is kept."""
    await log.cancel(owner, reply_id)
    return JSONResponse({"reply_id": reply_id, "status": "cancelling"}, status_code=202)


@router.get("/history/{session_id}", responses={200: {"model": History}})
async def chat_history(session_id: str, owner: OwnerDep, conversing: ConversingDep) -> JSONResponse:
    """Return the active branch of a conversation, oldest first."""
    conversation, tree = await conversing.whole(owner, session_id)
    return JSONResponse(
        {
            "session_id": session_id,
            "character": conversation.character_id,
            "live_reply_id": conversation.live_reply_id,
            "persona": conversation.persona.model_dump() if conversation.persona else None,
            "members": list(conversation.members),
            "order": conversation.order,
            "replies": conversation.replies,
            "messages": message_objects(tree.path(conversation.head_id), tree),
        }
    )
