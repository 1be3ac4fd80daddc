"""Summaries in memory, beside the conversations that are kept there."""

from collections.abc import Sequence

from chattr.adapters.fakes.conversations import FakeConversations, Kept
from chattr.domain.identity import Owner
from chattr.domain.summary import Summary


class FakeSummaries:
    """Summaries by conversation."""

    def __init__(self, conversations: FakeConversations) -> None:
        self._conversations = conversations

    async def of(self, owner: Owner, conversation_id: str) -> Sequence[Summary]:
        """Return all of one conversation."""
        kept = self._kept(owner, conversation_id)
        return list(kept.summaries.values()) if kept else []

    async def put(self, owner: Owner, summary: Summary, *, instead_of: Summary | None = None) -> bool:
        """Keep a new one, or one in another's place."""
        kept = self._kept(owner, summary.conversation_id)
        if kept is None or summary.through_id not in kept.messages:
            return False
        if summary.previous_id is not None and summary.previous_id not in kept.summaries:
            return False
        if kept.summaries.get(summary.id) != instead_of:
            return False
        kept.summaries[summary.id] = summary
        return True

    async def drop(self, owner: Owner, conversation_id: str, ids: Sequence[str]) -> None:
        """Remove some of one conversation."""
        kept = self._kept(owner, conversation_id)
        if kept is not None:
            kept.summaries = {each: one for each, one in kept.summaries.items() if each not in ids}

    async def places(self, owner: Owner) -> Sequence[str]:
        """Return the conversations that have any."""
        return sorted(each for each, kept in self._conversations.kept(owner).items() if kept.summaries)

    def _kept(self, owner: Owner, conversation_id: str) -> Kept | None:
        return self._conversations.kept(owner).get(conversation_id)
