"""What outlives everything: a tenant's own characters, and the conversations of its people."""

from collections.abc import Sequence
from typing import Protocol

from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner


class Characters(Protocol):
    """Characters that a tenant made. Built-in ones live elsewhere."""

    async def get(self, owner: Owner, character_id: str) -> Character | None:
        """Return one, or None."""
        ...

    async def list(self, owner: Owner) -> Sequence[Character]:
        """Return all of the tenant's, by id."""
        ...

    async def add(self, owner: Owner, character: Character) -> bool:
        """Store a new one; False when the id is taken."""
        ...

    async def delete(self, owner: Owner, character_id: str) -> bool:
        """Remove one; False when there was none."""
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
        """Return the newest first; `before` is the id that the previous page ended with."""
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

    async def update(self, owner: Owner, conversation: Conversation, *names: str) -> None:
        """Write the fields of these names, and no others. Raises `NotFound` when the conversation is gone.

        A `head_id` that is written has to be a message of it; else it raises `NotFound` too.
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
