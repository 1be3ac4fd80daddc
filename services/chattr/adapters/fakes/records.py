"""Records in memory."""

from collections.abc import Sequence
from dataclasses import replace

from chatacter.chassis.errors import NotFound
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner


class FakeCharacters:
    """Characters by tenant."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], Character] = {}

    async def get(self, owner: Owner, character_id: str) -> Character | None:
        """Return one, or None."""
        return self._stored.get((owner.tenant, character_id))

    async def list(self, owner: Owner) -> Sequence[Character]:
        """Return all of the tenant's, by id."""
        return [self._stored[place] for place in sorted(self._stored) if place[0] == owner.tenant]

    async def add(self, owner: Owner, character: Character) -> bool:
        """Store a new one; False when the id is taken."""
        place = (owner.tenant, character.id)
        return self._stored.setdefault(place, character) is character

    async def delete(self, owner: Owner, character_id: str) -> bool:
        """Remove one; False when there was none."""
        return self._stored.pop((owner.tenant, character_id), None) is not None


class FakeConversations:
    """Conversations by owner."""

    def __init__(self) -> None:
        self._heads: dict[tuple[Owner, str], Conversation] = {}
        self._messages: dict[tuple[Owner, str], dict[str, Message]] = {}

    async def create(self, owner: Owner, conversation: Conversation) -> bool:
        """Store a new one; False when the id is taken."""
        return self._heads.setdefault((owner, conversation.id), conversation) is conversation

    async def get(self, owner: Owner, conversation_id: str) -> Conversation | None:
        """Return one, or None."""
        return self._heads.get((owner, conversation_id))

    async def list(self, owner: Owner, *, before: str | None, limit: int) -> Sequence[Conversation]:
        """Return the newest first."""
        own = [conversation for (whose, _), conversation in self._heads.items() if whose == owner]
        own.sort(key=lambda conversation: (conversation.created_at, conversation.id), reverse=True)
        start = next((index + 1 for index, each in enumerate(own) if each.id == before), 0)
        return own[start : start + limit]

    async def append(self, owner: Owner, conversation_id: str, messages: Sequence[Message]) -> None:
        """Add messages and make the last of them the head."""
        place = (owner, conversation_id)
        if place not in self._heads:
            raise NotFound("There is no such conversation.")
        for message in messages:
            self._messages.setdefault(place, {}).setdefault(message.id, message)
        self._heads[place] = replace(self._heads[place], head_id=messages[-1].id)

    async def messages(self, owner: Owner, conversation_id: str) -> Sequence[Message]:
        """Return all messages, in the order in which they were added."""
        return list(self._messages.get((owner, conversation_id), {}).values())

    async def set_live(self, owner: Owner, conversation_id: str, reply_id: str) -> None:
        """Say which reply is being written."""
        place = (owner, conversation_id)
        if place in self._heads:
            self._heads[place] = replace(self._heads[place], live_reply_id=reply_id)

    async def end_live(self, owner: Owner, conversation_id: str, reply_id: str) -> None:
        """Take that back."""
        place = (owner, conversation_id)
        if place in self._heads and self._heads[place].live_reply_id == reply_id:
            self._heads[place] = replace(self._heads[place], live_reply_id=None)

    async def delete(self, owner: Owner, conversation_id: str) -> bool:
        """Remove a conversation with its messages."""
        self._messages.pop((owner, conversation_id), None)
        return self._heads.pop((owner, conversation_id), None) is not None
