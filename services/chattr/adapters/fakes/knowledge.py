"""Knowledge in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, Fact
from chattr.domain.memory import Changed, Memory, Selection
from chattr.ports.knowledge import Facts

UNTOUCHED: Final = Amendment(Memory("", "", "user", "", "", "", 0.0))


class FakeKnowledge:
    """Knowledge by owner. What changes is put down in `outbox` with the same step."""

    def __init__(self, outbox: FakeOutbox | None = None) -> None:
        self._outbox = outbox
        self._facts: dict[Owner, Facts] = {}
        self._learned: dict[tuple[Owner, str], set[str]] = {}
        self._amended: dict[tuple[Owner, str], Amendment] = {}

    async def facts(self, owner: Owner) -> Facts:
        """Return a person's facts."""
        return self._facts.get(owner, Facts((), 0))

    async def revision(self, owner: Owner) -> int:
        """Return how often facts and amendments changed."""
        return (await self.facts(owner)).revision

    async def write_facts(self, owner: Owner, before: Facts, after: Sequence[Fact]) -> Facts | None:
        """Put facts in the place of what was read; None where that changed since."""
        now = await self.facts(owner)
        if now.revision != before.revision:
            return None
        changed = set(before.all) ^ set(after)
        if changed:
            for place in sorted({source.conversation_id for fact in changed for source in fact.sources}):
                self._note(owner, place)
            by_id = sorted(after, key=lambda fact: fact.id)
            self._facts[owner] = Facts(by_id, now.revision + 1)
        return await self.facts(owner)

    async def learned(self, owner: Owner, conversation_id: str) -> frozenset[str]:
        """Return the messages from which facts were drawn already."""
        return frozenset(self._learned.get((owner, conversation_id), ()))

    async def note_learned(self, owner: Owner, conversation_id: str, message_ids: Sequence[str]) -> None:
        """Say that facts were drawn from messages."""
        self._learned.setdefault((owner, conversation_id), set()).update(message_ids)

    async def amendments(self, owner: Owner) -> Mapping[str, Amendment]:
        """Return what a person did to memories."""
        return {memory_id: one for (whose, memory_id), one in self._amended.items() if whose == owner}

    async def amend(self, owner: Owner, amendment: Amendment) -> bool:
        """Keep what was done to a memory; False where something else was done meanwhile."""
        place = (owner, amendment.memory.id)
        if self._amended.get(place, UNTOUCHED).revision != amendment.revision:
            return False
        self._note(owner, amendment.memory.conversation_id)
        self._amended[place] = replace(amendment, revision=amendment.revision + 1)
        now = await self.facts(owner)
        self._facts[owner] = Facts(now.all, now.revision + 1)
        return True

    async def forget(self, owner: Owner, what: Selection, *, revision: int) -> bool:
        """Put down what to forget; False where facts or amendments changed since."""
        if await self.revision(owner) != revision:
            return False
        if self._outbox is not None:
            await self._outbox.forget(owner, what)
        return True

    async def drop(self, owner: Owner, ids: Sequence[str]) -> None:
        """Forget what was done to memories."""
        for each in ids:
            self._amended.pop((owner, each), None)

    async def drop_conversation(self, owner: Owner, conversation_id: str) -> None:
        """Forget from which messages of a conversation facts were drawn."""
        self._learned.pop((owner, conversation_id), None)

    def _note(self, owner: Owner, conversation_id: str) -> None:
        if self._outbox is not None:
            self._outbox.put(owner, Changed(conversation_id))
