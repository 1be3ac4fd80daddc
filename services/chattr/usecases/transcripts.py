"""Conversations as files, in and out. Reading and writing happen aside."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import anyio.to_thread

from chatacter.chassis.errors import InvalidInput
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner, new_id
from chattr.domain.transcript import ours, sillytavern
from chattr.domain.transcript.model import Transcript
from chattr.domain.tree import Tree
from chattr.ports.records import Conversations
from chattr.usecases.characters import Cast
from chattr.usecases.conversing import Conversing, Whole, renamed

Form = Literal["json", "sillytavern"]
MEDIA_TYPES: Final[dict[Form, str]] = {"json": "application/json", "sillytavern": "application/jsonl"}
SUFFIXES: Final[dict[Form, str]] = {"json": "json", "sillytavern": "jsonl"}

WITH_WHOM: Final = "Say with whom this conversation is: `?character=` and the character's id."
NOBODY_HERE: Final = "{count} messages are of somebody who is nobody here; the name stands before the words."


@dataclass(frozen=True, slots=True)
class Exported:
    """A conversation as a file."""

    data: bytes
    media_type: str
    name: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A conversation that came from a file, and what its sender should know."""

    whole: Whole
    warnings: list[str]


class Transcripts:
    """Writes conversations as files, and makes conversations of them."""

    def __init__(
        self,
        conversing: Conversing,
        conversations: Conversations,
        cast: Cast,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._conversing = conversing
        self._conversations = conversations
        self._cast = cast
        self._clock = clock

    async def give(self, owner: Owner, conversation_id: str, form: Form) -> Exported:
        """Write a conversation. Raises `NotFound`."""
        conversation, tree = await self._conversing.whole(owner, conversation_id)
        if form == "json":
            data = await anyio.to_thread.run_sync(ours.written, conversation, tree)
        else:
            called = {each.id: each.name for each in await self._cast.list(owner)}
            names = {conversation.character_id: conversation.character_id, **called}
            data = await anyio.to_thread.run_sync(sillytavern.written, conversation, tree, names)
        return Exported(data, MEDIA_TYPES[form], f"{conversation.id}.{SUFFIXES[form]}")

    async def take(self, owner: Owner, data: bytes, character_id: str | None = None) -> Imported:
        """Make a conversation of a file. Raises `InvalidInput` and its kin, and `NotFound` for the character."""
        transcript = await anyio.to_thread.run_sync(read, data, self._clock())
        known = await self._cast.list(owner)
        called = {name.casefold(): each.id for each in reversed(known) for name in (each.nickname, each.name, each.id)}
        named = character_id or transcript.character_id or called.get((transcript.name or "").casefold())
        if named is None:
            raise InvalidInput(WITH_WHOM, param="character")
        character = await self._cast.get(owner, named)
        messages = said_by(transcript, called, character.id, character.name)
        if not character.memory.long_term:
            messages = [replace(message, memorable=False) for message in messages]
        copies = renamed(messages)
        head = next((new.id for old, new in zip(messages, copies, strict=True) if old.id == transcript.head_id), None)
        made = Conversation(new_id("conv"), character.id, transcript.created_at, transcript.title, head)
        here = {each.id for each in known}
        made = replace(
            made,
            members=tuple(each for each in transcript.members if each in here),
            order=transcript.order,
            replies=transcript.replies,
        )
        made = replace(made, persona=transcript.persona, branched=len(Tree(copies).path(head)) < len(copies))
        await self._conversations.create(owner, made, copies)
        return Imported(Whole(made, Tree(copies)), transcript.warnings)


def read(data: bytes, now: float) -> Transcript:
    """Read a file of either form; which one shows in its first line. Raises `InvalidInput` and its kin. Blocks."""
    first = data.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0]
    if first.rstrip().endswith(b"}") and ours.FORMAT.encode() not in first:
        return sillytavern.read(data, now)
    return ours.read(data)


def said_by(transcript: Transcript, called: dict[str, str], character_id: str, name: str) -> list[Message]:
    """Say of each message which character said it, or whom it was said to."""
    messages, strangers = [], 0
    for message in transcript.messages:
        speaker = transcript.names.get(message.id)
        if speaker is None or speaker.casefold() in {(transcript.name or "").casefold(), name.casefold()}:
            messages.append(replace(message, character_id=message.character_id or character_id))
        elif speaker.casefold() in called:
            messages.append(replace(message, character_id=called[speaker.casefold()]))
        else:
            strangers += 1
            messages.append(replace(message, character_id=character_id, content=f"{speaker}: {message.content}"))
    if strangers:
        transcript.warnings.append(NOBODY_HERE.format(count=strangers))
    return messages
