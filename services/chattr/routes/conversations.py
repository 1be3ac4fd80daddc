"""A person's conversations: begin, list, read, name, switch, fork, delete; as files, in and out."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatacter.chassis.auth import scope
from chatacter.contracts.base import Strict
from chattr.dependencies import ConversingDep, OwnerDep, TranscriptsDep
from chattr.domain.conversation import MOST_MEMBERS, MOST_REPLIES, Conversation, Order
from chattr.domain.person import Persona
from chattr.domain.tree import Tree
from chattr.routes.download import HARMLESS
from chattr.routes.idempotency import IdempotentRoute
from chattr.routes.tree_objects import (
    ConversationPage,
    ConversationRead,
    ConversationWhole,
    conversation_object,
    whole_object,
)
from chattr.usecases.conversing import Beginning
from chattr.usecases.transcripts import Form

router = APIRouter(
    prefix="/api/v1/conversations",
    tags=["Conversations"],
    dependencies=[Depends(scope("chat"))],
    route_class=IdempotentRoute,
)

FILE: Final = {"schema": {"type": "string", "format": "binary"}}
FILE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}, "application/jsonl": FILE},
    }
}

Replies = Annotated[int, Field(ge=1, le=MOST_REPLIES)]
Title = Annotated[str, Field(max_length=200)]


class NewConversation(Strict):
    """A conversation to begin."""

    character: str | None = Field(default=None, description="With whom")
    characters: Annotated[list[str], Field(min_length=1, max_length=MOST_MEMBERS)] | None = Field(
        default=None, description="With whom, where there are several: a group"
    )
    id: str | None = Field(default=None, description="What it is to be called; made up when absent")
    title: Title | None = None
    persona: Persona | None = Field(default=None, description="Who the person is in it")
    greeting: bool | Annotated[int, Field(ge=0, le=100)] = Field(
        default=True, description="Whether the character speaks first, or with which of its greetings, from 0"
    )

    order: Order = Field(default="mention", description="Who of a group answers")
    replies: Replies = Field(default=1, description="How many of a group may answer one after the other")

    @model_validator(mode="after")
    def is_with_somebody(self) -> "NewConversation":
        """One says with whom, in one way."""
        if (self.character is None) == (self.characters is None):
            raise ValueError("set character or characters")
        return self

    @property
    def cast(self) -> list[str]:
        """With whom it is."""
        return self.characters or [self.character or ""]

    @property
    def opening(self) -> int | None:
        """The number of the greeting that is heard; None: none is."""
        if isinstance(self.greeting, bool):
            return 0 if self.greeting else None
        return self.greeting

    @property
    def beginning(self) -> Beginning:
        """How it begins, as the use case takes it."""
        return Beginning(self.id, self.title, self.persona, self.opening, self.order, self.replies)


class ConversationChange(Strict):
    """What is to be changed; what is left out stays."""

    title: Title | None = None
    persona: Persona | None = None
    head_id: str | None = Field(default=None, description="Another branch: the newest leaf under this message")
    order: Order | None = Field(default=None, description="Who of a group answers")
    replies: Replies | None = Field(default=None, description="How many of a group may answer one after the other")

    @model_validator(mode="after")
    def says_what(self) -> "ConversationChange":
        """A branch ends somewhere; a group has an order."""
        for name in ("head_id", "order", "replies"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        return self

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that were named."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Fork(Strict):
    """What a new conversation takes over."""

    message_id: str | None = Field(default=None, description="The last message that is copied; the head when absent")
    title: Title | None = Field(default=None, description="The old one's when absent")


class ConversationImported(ConversationWhole):
    """A conversation that came from a file."""

    warnings: list[str]
    """What of the file was left out, or reads otherwise."""


@router.post("", status_code=201, responses={201: {"model": ConversationWhole}})
async def create_conversation(body: NewConversation, owner: OwnerDep, conversing: ConversingDep) -> JSONResponse:
    """Begin a conversation with a character, or a group of several. Greetings stand at the root, side by side."""
    return made(*await conversing.begin(owner, body.cast, body.beginning))


@router.post(":preview", responses={200: {"model": ConversationWhole}})
async def preview_conversation(body: NewConversation, owner: OwnerDep, conversing: ConversingDep) -> JSONResponse:
    """Show how a conversation would begin, and store nothing. Begun with this `id`, it opens in the same words."""
    return JSONResponse(whole_object(*await conversing.imagined(owner, body.cast, body.beginning)))


@router.get("", responses={200: {"model": ConversationPage}})
async def list_conversations(
    owner: OwnerDep,
    conversing: ConversingDep,
    character: Annotated[
        str | None, Query(max_length=64, description="Only those that were begun with this one")
    ] = None,
    after: Annotated[str | None, Query(description="Id that the previous page ended with")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JSONResponse:
    """List a person's conversations, newest first."""
    found = await conversing.list(owner, character_id=character, before=after, limit=limit + 1)
    page = found[:limit]
    openings = await conversing.openings(owner, page)
    return JSONResponse(
        {
            "object": "list",
            "data": [{**conversation_object(each), "opening": said} for each, said in zip(page, openings, strict=True)],
            "has_more": len(found) > limit,
            "last_id": page[-1].id if page else None,
        }
    )


@router.post("/import", status_code=201, responses={201: {"model": ConversationImported}}, openapi_extra=FILE_BODY)
async def import_conversation(
    request: Request,
    owner: OwnerDep,
    transcripts: TranscriptsDep,
    character: Annotated[str | None, Query(max_length=64, description="With whom it is; else as the file says")] = None,
) -> JSONResponse:
    """Make a conversation of a file: an export, or SillyTavern's chat (JSONL), whose swipes become siblings."""
    imported = await transcripts.take(owner, await request.body(), character)
    return made(*imported.whole, warnings=imported.warnings)


@router.get(
    "/{conversation_id}/export",
    response_class=Response,
    responses={200: {"content": {"application/json": {}, "application/jsonl": {}}}},
)
async def export_conversation(
    conversation_id: str,
    owner: OwnerDep,
    transcripts: TranscriptsDep,
    form: Annotated[Form, Query(alias="format", description="`json` holds everything")] = "json",
) -> Response:
    """Return a conversation as a file. SillyTavern's form holds the active branch, and what stands beside as swipes."""
    file = await transcripts.give(owner, conversation_id, form)
    headers = {"content-disposition": f'attachment; filename="{file.name}"', "cache-control": "no-store", **HARMLESS}
    return Response(file.data, media_type=file.media_type, headers=headers)


@router.get("/{conversation_id}", responses={200: {"model": ConversationWhole}})
async def get_conversation(conversation_id: str, owner: OwnerDep, conversing: ConversingDep) -> JSONResponse:
    """Return a conversation with all its branches."""
    return JSONResponse(whole_object(*await conversing.whole(owner, conversation_id)))


@router.patch("/{conversation_id}", responses={200: {"model": ConversationRead}})
async def change_conversation(
    conversation_id: str, body: ConversationChange, owner: OwnerDep, conversing: ConversingDep
) -> JSONResponse:
    """Rename a conversation, say who the person is in it, switch to another branch, order a group's turns."""
    return JSONResponse(conversation_object(await conversing.change(owner, conversation_id, body.changes)))


@router.put("/{conversation_id}/members/{character_id}", responses={200: {"model": ConversationRead}})
async def join_conversation(
    conversation_id: str, character_id: str, owner: OwnerDep, conversing: ConversingDep
) -> JSONResponse:
    """Let a character join. It knows what is said from now on; the conversation is a group from now on."""
    return JSONResponse(conversation_object(await conversing.join(owner, conversation_id, character_id)))


@router.delete("/{conversation_id}/members/{character_id}", responses={200: {"model": ConversationRead}})
async def leave_conversation(
    conversation_id: str, character_id: str, owner: OwnerDep, conversing: ConversingDep
) -> JSONResponse:
    """Let a character go. It keeps what it heard, and misses what follows."""
    return JSONResponse(conversation_object(await conversing.leave(owner, conversation_id, character_id)))


@router.post("/{conversation_id}/fork", status_code=201, responses={201: {"model": ConversationWhole}})
async def fork_conversation(
    conversation_id: str, body: Fork, owner: OwnerDep, conversing: ConversingDep
) -> JSONResponse:
    """Begin a new conversation with a copy of one branch, up to a message."""
    return made(*await conversing.fork(owner, conversation_id, body.message_id, title=body.title))


@router.delete("/{conversation_id}", status_code=204)
async def delete_conversation(conversation_id: str, owner: OwnerDep, conversing: ConversingDep) -> Response:
    """Remove a conversation with its messages, and what was remembered of it."""
    await conversing.delete(owner, conversation_id)
    return Response(status_code=204)


def made(conversation: Conversation, tree: Tree, **more: Any) -> JSONResponse:
    """Answer with a conversation that is new."""
    body = {**whole_object(conversation, tree), **more}
    return JSONResponse(body, status_code=201, headers={"location": f"/api/v1/conversations/{body['id']}"})
