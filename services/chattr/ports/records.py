"""What outlives everything: a tenant's own characters, and the conversations of its people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from chattr.domain.character import Brief, Character
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner

Written = Literal["done", "stale", "taken"]


@dataclass(frozen=True, slots=True)
class StoredCharacter:
    """A character as it lies in the records."""

    character: Character
    tenant: str
    """Whose it is."""
    revision: str
    """Of what is stored: every change makes another one."""


class Characters(Protocol):
    """Characters that tenants made; built-in ones live elsewhere. Those that are published have one id among all."""

    async def get(self, owner: Owner, character_id: str) -> StoredCharacter | None:
        """Return one of the tenant's, or None."""
        ...

    async def some(self, places: Sequence[tuple[str, str]]) -> Sequence[StoredCharacter]:
        """Return those that are there, in the order in which they are named, each by its tenant and its id."""
        ...

    async def list(self, owner: Owner) -> Sequence[Brief]:
        """Return all of the tenant's, by id. Reads none of them whole."""
        ...

    async def published(self, character_id: str) -> StoredCharacter | None:
        """Return the one that any tenant published under this id, or None."""
        ...

    async def all_published(self) -> Sequence[tuple[str, Brief]]:
        """Return all that any tenant published, by id, each behind its tenant. Reads none of them whole."""
        ...

    async def write(self, owner: Owner, character: Character, expected: str | None) -> Written:
        """Store one in a single step, with its claim on the id where it is published.

        `stale`: what is stored has not the revision `expected` (None: nothing is stored). `taken`: another tenant has
        published this id. Then nothing was changed.
        """
        ...

    async def delete(self, owner: Owner, character_id: str, expected: str) -> bool:
        """Remove one, and its claim; False when what is stored has not the revision `expected`, or is gone."""
        ...


class Conversations(Protocol):
    """Conversations of one person each. Writing is atomic: a crash leaves all of a call, or nothing.

    A message never changes, and never stands without the one that it answers. Every change raises the `revision`.
    """

    async def create(self, owner: Owner, conversation: Conversation, messages: Sequence[Message] = ()) -> bool:
        """Store a new one with its first messages; False when the id is taken (the stored one stands)."""
        ...

    async def get(self, owner: Owner, conversation_id: str) -> Conversation | None:
        """Return one, or None."""
        ...

    async def list(self, owner: Owner, *, before: str | None, limit: int) -> Sequence[Conversation]:
        """Return the newest first; `before` is the id that the previous page ended with. Raises `NotFound` where that
        is not there, or no longer.
        """
        ...

    async def openings(self, owner: Owner, conversation_ids: Sequence[str]) -> Sequence[str | None]:
        """Return the beginning of what the person said first in each, None where that is nothing. Reads no more."""
        ...

    async def append(self, owner: Owner, conversation_id: str, messages: Sequence[Message]) -> None:
        """Add messages and make the last of them the head. Raises `NotFound`: the conversation is gone, or a parent."""
        ...

    async def answer(self, owner: Owner, conversation_id: str, message: Message, *, begun_at: str | None) -> bool:
        """Add a reply. It becomes the head only where that is still the message `begun_at`; True when it did.

        Raises `NotFound` when the conversation is gone, or what the reply answers.
        """
        ...

    async def messages(self, owner: Owner, conversation_id: str) -> Sequence[Message]:
        """Return all messages of all branches, in the order in which they were added."""
        ...

    async def update(
        self, owner: Owner, conversation: Conversation, *names: str, at_revision: int | None = None
    ) -> bool:
        """Write the fields of these names, and no others; False, and nothing is done, where it is at another revision.

        Raises `NotFound` when the conversation is gone, or a `head_id` that is written is no message of it.
        """
        ...

    async def prune(self, owner: Owner, conversation: Conversation, removed: Sequence[str]) -> bool:
        """Remove messages and write the head of `conversation`; False, and nothing is done, where it changed since.

        It is the conversation as it was read, its head replaced.
        """
        ...

    async def set_live(self, owner: Owner, conversation_id: str, reply_id: str) -> None:
        """Say which reply is being written, so that another device can follow it."""
        ...

    async def end_live(self, owner: Owner, conversation_id: str, reply_id: str) -> None:
        """Take that back; a reply that began since stays."""
        ...

    async def delete(self, owner: Owner, conversation_id: str) -> bool:
        """Remove a conversation with its messages; False when there was none."""
        ...
