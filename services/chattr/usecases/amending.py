"""People correct what is remembered of them, and pin what must not be missed. What it said before is kept beside it."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from chatacter.chassis.errors import Conflict, NotFound
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, Correction, superseded
from chattr.domain.memory import Memory, Selection
from chattr.usecases.knowing import Knowing
from chattr.usecases.remember import MOST_PINNED, Remember

NO_MEMORY: Final = "There is no such memory of this person."
FULL: Final = "At most {most} memories of one character can be pinned. Take another pin away first."


class Known(NamedTuple):
    """A memory, and what it said before, the oldest first."""

    memory: Memory
    history: tuple[Correction, ...]


class Amending:
    """Changes memories of a person. Every method raises `NotFound` for one that is not theirs, and `Unavailable`."""

    def __init__(self, remember: Remember, knowing: Knowing, *, clock: Callable[[], float] = time.time) -> None:
        self._remember = remember
        self._knowing = knowing
        self._clock = clock

    async def get(self, owner: Owner, memory_id: str) -> Known:
        """Return a memory and what it said before, also where something newer took a fact's place."""
        memory = await self._existing(owner, memory_id)
        amendment = await self._amendment(owner, memory)
        facts = {fact.id: fact for fact in await self._knowing.facts(owner)}
        older: list[Correction] = []
        if memory_id in facts:
            chain = [facts[each] for each in superseded(facts[memory_id], facts)]
            older = [Correction(fact.text, fact.valid_to or memory.created_at) for fact in reversed(chain)]
        return Known(memory, (*older, *amendment.history))

    async def correct(self, owner: Owner, memory_id: str, text: str) -> Known:
        """Let a memory say something else."""
        memory = await self._existing(owner, memory_id)
        if memory.text != text:
            amendment = await self._amendment(owner, memory)
            history = (*amendment.history, Correction(memory.text, self._clock()))
            await self._knowing.amend(owner, replace(amendment, text=text, history=history))
        return await self.get(owner, memory_id)

    async def pin(self, owner: Owner, memory_id: str, *, pinned: bool) -> Known:
        """Have a memory reach every prompt, or take that back. Raises `Conflict` where too many do."""
        memory = await self._existing(owner, memory_id)
        amended = await self._knowing.amendments(owner)
        others = [one for one in amended.values() if one.pinned and one.memory.character_id == memory.character_id]
        if pinned and memory.standing == "plain" and len(others) >= MOST_PINNED:
            raise Conflict(FULL.format(most=MOST_PINNED), param="memory_id")
        if pinned != (memory.standing == "pinned"):
            amendment = await self._amendment(owner, memory)
            await self._knowing.amend(owner, replace(amendment, pinned=pinned))
        return await self.get(owner, memory_id)

    async def _existing(self, owner: Owner, memory_id: str) -> Memory:
        found = await self._remember.newest(owner, Selection(ids=(memory_id,)), limit=1)
        if not found:
            raise NotFound(NO_MEMORY, param="memory_id")
        return found[0]

    async def _amendment(self, owner: Owner, memory: Memory) -> Amendment:
        """Return what was done to a memory until now."""
        return (await self._knowing.amendments(owner)).get(memory.id) or Amendment(memory)
