"""Conversations in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chatacter.chassis.errors import NotFound
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.domain.conversation import OPENING_CHARACTERS, Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Changed
from chattr.domain.summary import Summary


@dataclass(slots=True)
class Kept:
    """One conversation."""

    meta: Conversation
    messages: dict[str, Message] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)

    def add(self, messages: Sequence[Message]) -> bool:
        """Add messages whose parents are there; False when the last was there. Raises `NotFound`, and adds none."""
        there = set(self.messages)
        for message in messages:
            if message.parent_id is not None and message.parent_id not in there:
                raise NotFound("The message that this belongs to is no longer there.", param="message_id")
            there.add(message.id)
        tip, new = self.meta.head_id, False
        for message in messages:
            new = message.id not in self.messages
            if new and message.parent_id != tip:
                self.change(branched=True)
            self.messages.setdefault(message.id, message)
            tip = message.id
        self.change(revision=self.meta.revision + 1)
        return new

    def change(self, **fields: Any) -> None:
        """Set fields of the meta."""
        self.meta = replace(self.meta, **fields)


class FakeConversations:
    """Conversations by owner. What changes is put down in `outbox` with the same step."""

    def __init__(self, outbox: FakeOutbox | None = None) -> None:
        self._kept: dict[tuple[Owner, str], Kept] = {}
        self._outbox = outbox

    async def create(self, owner: Owner, conversation: Conversation, messages: Sequence[Message] = ()) -> bool:
        """Store a new one with its first messages; False when the id is taken."""
        made = Kept(conversation, {message.id: message for message in messages})
        if messages:
            self._note(owner, conversation.id)
        return self._kept.setdefault((owner, conversation.id), made) is made

    async def get(self, owner: Owner, conversation_id: str) -> Conversation | None:
        """Return one, or None."""
        kept = self._kept.get((owner, conversation_id))
        return kept.meta if kept else None

    async def list(self, owner: Owner, *, before: str | None, limit: int) -> Sequence[Conversation]:
        """Return the newest first."""
        own = [kept.meta for (whose, _), kept in self._kept.items() if whose == owner]
        own.sort(key=lambda conversation: (conversation.created_at, conversation.id), reverse=True)
        ids = [each.id for each in own]
        if before is not None and before not in ids:
            raise NotFound("There is no such conversation to go on after.", param="after")
        start = 0 if before is None else ids.index(before) + 1
        return own[start : start + limit]

    async def openings(self, owner: Owner, conversation_ids: Sequence[str]) -> Sequence[str | None]:
        """Return the beginning of what the person said first in each, None where that is nothing."""
        kept = [await self.messages(owner, each) for each in conversation_ids]
        firsts = (next((one.content for one in said if one.role == "user"), None) for said in kept)
        return [first if first is None else first[:OPENING_CHARACTERS] for first in firsts]

    async def append(self, owner: Owner, conversation_id: str, messages: Sequence[Message]) -> None:
        """Add messages and make the last of them the head."""
        kept = self._found(owner, conversation_id)
        self._note(owner, conversation_id, *messages)
        if kept.add(messages):
            kept.change(head_id=messages[-1].id)

    async def answer(self, owner: Owner, conversation_id: str, message: Message, *, begun_at: str | None) -> bool:
        """Add a reply; it becomes the head only where that is still `begun_at`."""
        kept = self._found(owner, conversation_id)
        self._note(owner, conversation_id, message)
        if not kept.add([message]) or kept.meta.head_id != begun_at:
            return False
        kept.change(head_id=message.id)
        return True

    async def messages(self, owner: Owner, conversation_id: str) -> Sequence[Message]:
        """Return all messages, in the order in which they were added."""
        kept = self._kept.get((owner, conversation_id))
        return list(kept.messages.values()) if kept else []

    async def update(
        self, owner: Owner, conversation: Conversation, *names: str, at_revision: int | None = None
    ) -> bool:
        """Write the fields of these names; False where it is at another revision."""
        kept = self._found(owner, conversation.id)
        if "head_id" in names and conversation.head_id is not None and conversation.head_id not in kept.messages:
            raise NotFound("The message that this belongs to is no longer there.", param="message_id")
        if at_revision is not None and at_revision != kept.meta.revision:
            return False
        if {"head_id", "persona"} & set(names):
            self._note(owner, conversation.id)
        branched = kept.meta.branched or "head_id" in names
        changes = {name: getattr(conversation, name) for name in names}
        kept.change(**changes, branched=branched, revision=kept.meta.revision + 1)
        return True

    async def prune(self, owner: Owner, conversation: Conversation, removed: Sequence[str]) -> bool:
        """Remove messages and write the head; False where the conversation changed since."""
        kept = self._found(owner, conversation.id)
        if kept.meta.revision != conversation.revision:
            return False
        self._note(owner, conversation.id)
        for message_id in removed:
            kept.messages.pop(message_id, None)
        kept.summaries = {each: one for each, one in kept.summaries.items() if one.through_id in kept.messages}
        kept.change(head_id=conversation.head_id, revision=kept.meta.revision + 1)
        return True

    async def set_live(self, owner: Owner, conversation_id: str, reply_id: str) -> None:
        """Say which reply is being written."""
        kept = self._kept.get((owner, conversation_id))
        if kept:
            kept.change(live_reply_id=reply_id)

    async def end_live(self, owner: Owner, conversation_id: str, reply_id: str) -> None:
        """Take that back."""
        kept = self._kept.get((owner, conversation_id))
        if kept and kept.meta.live_reply_id == reply_id:
            kept.change(live_reply_id=None)

    async def delete(self, owner: Owner, conversation_id: str) -> bool:
        """Remove a conversation with its messages."""
        self._note(owner, conversation_id)
        return self._kept.pop((owner, conversation_id), None) is not None

    def kept(self, owner: Owner) -> dict[str, Kept]:
        """Return what is kept of a person's conversations, for what lies beside them."""
        return {conversation_id: kept for (whose, conversation_id), kept in self._kept.items() if whose == owner}

    def _note(self, owner: Owner, conversation_id: str, *messages: Message) -> None:
        if self._outbox is not None:
            self._outbox.put(owner, Changed(conversation_id, tuple(message.id for message in messages) or None))

    def _found(self, owner: Owner, conversation_id: str) -> Kept:
        kept = self._kept.get((owner, conversation_id))
        if kept is None:
            raise NotFound("There is no such conversation.", param="conversation_id")
        return kept
