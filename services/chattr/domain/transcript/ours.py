"""Our own form: one JSON object with all that is stored, and a schema version. Later fields are passed over."""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError

from chatacter.chassis.errors import InvalidInput
from chattr.domain.conversation import (
    MOST_MEMBERS,
    MOST_REPLIES,
    SCHEMA_VERSION,
    Conversation,
    Message,
    Order,
    Role,
    Status,
)
from chattr.domain.person import Persona
from chattr.domain.transcript.model import LATEST, Transcript, parents_first, require_fitting
from chattr.domain.tree import Tree

FORMAT: Final = "chatacter.conversation"
NOT_OURS: Final = "This is no exported conversation: {where} {what}."
NEWER: Final = "A newer version wrote this file; what is new in it was left out."

Id = Annotated[str, Field(min_length=1, max_length=128)]
Members = Annotated[tuple[Id, ...], Field(max_length=MOST_MEMBERS)]
Moment = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]


class SavedMessage(BaseModel):
    """A message in a file."""

    id: Id
    parent_id: Id | None
    role: Role
    content: str
    created_at: Moment
    character_id: Id | None = None
    status: Status = "complete"
    memorable: bool = True
    audience: Members = ()
    kept_by: Members = ()


class SavedConversation(BaseModel):
    """What a file says of the conversation."""

    character_id: Id
    created_at: Moment
    title: Annotated[str, Field(max_length=200)] | None = None
    head_id: Id | None = None
    persona: Persona | None = None
    members: Members = ()
    order: Order = "mention"
    replies: Annotated[int, Field(ge=1, le=MOST_REPLIES)] = 1


class Saved(BaseModel):
    """A whole file."""

    format: Literal["chatacter.conversation"]
    schema_version: Annotated[int, Field(ge=1)]
    conversation: SavedConversation
    messages: list[SavedMessage]


def written(conversation: Conversation, tree: Tree) -> bytes:
    """Write a conversation."""
    body: dict[str, Any] = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "conversation": conversation.record(),
        "messages": [message.record() for message in tree.messages],
    }
    return json.dumps(body, ensure_ascii=False, indent=1).encode()


def read(data: bytes) -> Transcript:
    """Read what `written` wrote, now or in another version. Raises `InvalidInput` and its kin."""
    try:
        saved = Saved.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidInput(NOT_OURS.format(where=where, what=f"is wrong ({first['type']})")) from None
    messages = [Message(**message.model_dump()) for message in saved.messages]
    require_fitting(messages)
    ordered = parents_first(messages)
    told = saved.conversation
    known = {message.id for message in ordered}
    head = told.head_id if told.head_id in known else (ordered[-1].id if ordered else None)
    return Transcript(
        messages=ordered,
        head_id=head,
        created_at=told.created_at,
        title=told.title,
        persona=told.persona,
        character_id=told.character_id,
        members=told.members,
        order=told.order,
        replies=told.replies,
        warnings=[NEWER] if saved.schema_version > SCHEMA_VERSION else [],
    )
