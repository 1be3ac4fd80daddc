"""What is done with the messages of a conversation. Nothing is overwritten: whatever is said stands beside the rest."""

from typing import Final

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import JSONResponse, Response

from chatacter.chassis.auth import scope
from chattr.dependencies import ConversingDep, OwnerDep, ReplyDep
from chattr.routes.cache_headers import CacheUseDep
from chattr.routes.idempotency import IdempotentRoute
from chattr.routes.reply_answers import REPLY, ReplyOptions, Rewritten, Spoken, answered
from chattr.routes.tree_objects import ConversationRead, MessageRead, conversation_object, message_object
from chattr.usecases.scene import Again, Ask, AtHead, Next, Onward, Under

router = APIRouter(
    prefix="/api/v1/conversations/{conversation_id}/messages",
    tags=["Conversations"],
    dependencies=[Depends(scope("chat"))],
    route_class=IdempotentRoute,
)

PLAIN: Final = ReplyOptions()


class Said(ReplyOptions):
    """Something that the person says."""

    message: Spoken
    parent_id: str | None = Field(
        default=None, description="What it answers; the head when absent, another beginning when null"
    )
    character: str | None = Field(default=None, description="Who is to answer; the conversation's own when absent")

    @property
    def place(self) -> AtHead | Under:
        """Where it is said."""
        return Under(self.parent_id) if "parent_id" in self.model_fields_set else AtHead()


class Following(ReplyOptions):
    """Who speaks next."""

    character: str | None = Field(default=None, description="Who of a group; whoever's turn it is when absent")


NEXT: Final = Following()


class Edited(ReplyOptions):
    """What a message says from now on."""

    content: Rewritten
    reply: bool = Field(default=False, description="Let the character answer; only to the person's own messages")


@router.post("", responses=REPLY)
async def say(conversation_id: str, body: Said, owner: OwnerDep, reply: ReplyDep, cache: CacheUseDep) -> Response:
    """Say something, at the head or anywhere else, and get the reply to it."""
    ask = Ask(body.character, body.message, conversation_id, sampling=body.sampling, place=body.place, cache=cache)
    return await answered(reply.rounds(owner, ask), stream=body.stream)


@router.post("/{message_id}/regenerate", responses=REPLY)
async def regenerate(
    conversation_id: str, message_id: str, owner: OwnerDep, reply: ReplyDep, body: ReplyOptions = PLAIN
) -> Response:
    """Get another reply, beside this one; or a reply to this message, where it is the person's."""
    ask = Ask(None, "", conversation_id, sampling=body.sampling, place=Again(message_id))
    return await answered(reply.rounds(owner, ask), stream=body.stream)


@router.post("/{message_id}/continue", responses=REPLY)
async def go_on(
    conversation_id: str, message_id: str, owner: OwnerDep, reply: ReplyDep, body: ReplyOptions = PLAIN
) -> Response:
    """Let a reply go on where it stopped. The longer one stands beside it; the events hold what is new."""
    ask = Ask(None, "", conversation_id, sampling=body.sampling, place=Onward(message_id))
    return await answered(reply.rounds(owner, ask), stream=body.stream)


@router.post("/{message_id}/next", responses=REPLY)
async def speak_next(
    conversation_id: str, message_id: str, owner: OwnerDep, reply: ReplyDep, body: Following = NEXT
) -> Response:
    """Let a character speak after this message, whoever said it, without the person saying anything."""
    ask = Ask(body.character, "", conversation_id, sampling=body.sampling, place=Next(message_id))
    return await answered(reply.rounds(owner, ask), stream=body.stream)


@router.post("/{message_id}/edit", responses={201: {"model": MessageRead}, **REPLY})
async def edit(
    conversation_id: str, message_id: str, body: Edited, owner: OwnerDep, conversing: ConversingDep, reply: ReplyDep
) -> Response:
    """Say something else in a message's place, whoever said it; the old one stays beside it. 201, or the reply."""
    if body.reply:
        ask = await conversing.said_instead(owner, conversation_id, message_id, body.content, body.sampling)
        return await answered(reply.rounds(owner, ask), stream=body.stream)
    edited = await conversing.edit(owner, conversation_id, message_id, body.content)
    return JSONResponse(message_object(*edited), status_code=201)


@router.delete("/{message_id}", responses={200: {"model": ConversationRead}})
async def delete_message(
    conversation_id: str, message_id: str, owner: OwnerDep, conversing: ConversingDep
) -> JSONResponse:
    """Remove a message with all that followed on it, and what was remembered of it. Tells where the head is now."""
    return JSONResponse(conversation_object(await conversing.remove(owner, conversation_id, message_id)))
