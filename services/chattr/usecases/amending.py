"""People correct what is remembered of them, and pin what must not be missed. What it said before is kept beside it."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from chatacter.chassis.errors import Busy, Conflict, NotFound
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, Correction, superseded
from chattr.domain.memory import Memory, Selection
from chattr.usecases.knowing import Knowing
from chattr.usecases.remember import MOST_PINNED, Remember

# Two changes of one memory at once are made one after the other; so often one looks again.
TRIES: Final = 16
NO_MEMORY: Final = "There is no such memory of this person."
FULL: Final = "At most {most} memories of one character can be pinned. Take another pin away first."
RESTLESS: Final = "This memory is changed all the time; nothing was done. Try again in a moment."


class Known(NamedTuple):
    """A memory, and what it said before, the oldest first."""

    memory: Memory
    history: tuple[Correction, ...]


Check: TypeAlias = Callable[[Known], None]


class Amending:
    """Changes memories of a person. Every method raises `NotFound` for one that is not theirs, and `Unavailable`.

    `check` is asked about the very memory that is changed, and raises where it is not the one that was meant.
    """

    def __init__(self, remember: Remember, knowing: Knowing, *, clock: Callable[[], float] = time.time) -> None:
        self._remember = remember
        self._knowing = knowing
        self._clock = clock

    async def get(self, owner: Owner, memory_id: str) -> Known:
        """Return a memory and what it said before, also where something newer took a fact's place."""
        memory = await self._existing(owner, memory_id)
        return await self._known(owner, memory, await self._amendment(owner, memory))

    async def correct(self, owner: Owner, memory_id: str, text: str, check: Check | None = None) -> Known:
        """Let a memory say something else."""

        async def corrected(known: Memory, amendment: Amendment) -> Amendment:
            if known.text == text:
                return amendment
            history = (*amendment.history, Correction(known.text, self._clock()))
            return replace(amendment, text=text, history=history)

        return await self._change(owner, memory_id, corrected, check)

    async def pin(self, owner: Owner, memory_id: str, *, pinned: bool, check: Check | None = None) -> Known:
        """Have a memory reach every prompt, or take that back. Raises `Conflict` where too many do."""

        async def repinned(known: Memory, amendment: Amendment) -> Amendment:
            if pinned and not amendment.pinned:
                amended = (await self._knowing.amendments(owner)).values()
                others = [one for one in amended if one.pinned and one.memory.character_id == known.character_id]
                if len(others) >= MOST_PINNED:
                    raise Conflict(FULL.format(most=MOST_PINNED), param="memory_id")
            return replace(amendment, pinned=pinned)

        return await self._change(owner, memory_id, repinned, check)

    async def forget(self, owner: Owner, memory_id: str, check: Check) -> bool:
        """Forget a memory that passes the check, as `Remember.forget` does. Looking and forgetting are one step.

        What was corrected, pinned or superseded in between is looked at again.
        """
        for _ in range(TRIES):
            revision = await self._knowing.revision(owner)
            check(await self.get(owner, memory_id))
            erased = await self._remember.forget_at(owner, Selection(ids=(memory_id,)), revision)
            if erased is not None:
                return erased
        raise Busy(RESTLESS, retry_after=1)

    async def _change(
        self,
        owner: Owner,
        memory_id: str,
        work: Callable[[Memory, Amendment], Awaitable[Amendment]],
        check: Check | None,
    ) -> Known:
        """Work a change out from what there is, again where somebody else changed it meanwhile."""
        for _ in range(TRIES):
            memory = await self._existing(owner, memory_id)
            amendment = await self._amendment(owner, memory)
            now = amendment.applied(memory)
            if check is not None:
                check(await self._known(owner, now, amendment))
            changed = await work(now, amendment)
            if changed == amendment or await self._knowing.amend(owner, changed):
                return await self._after(owner, memory_id)
        raise Busy(RESTLESS, retry_after=1)

    async def _after(self, owner: Owner, memory_id: str) -> Known:
        """Return a memory that was changed. One that was forgotten meanwhile takes what was done to it along."""
        try:
            return await self.get(owner, memory_id)
        except NotFound:
            await self._knowing.drop(owner, Selection(ids=(memory_id,)))
            raise

    async def _known(self, owner: Owner, memory: Memory, amendment: Amendment) -> Known:
        facts = {fact.id: fact for fact in await self._knowing.facts(owner)}
        older: list[Correction] = []
        if memory.id in facts:
            chain = [facts[each] for each in superseded(facts[memory.id], facts)]
            older = [Correction(fact.text, fact.valid_to or memory.created_at) for fact in reversed(chain)]
        return Known(memory, (*older, *amendment.history))

    async def _existing(self, owner: Owner, memory_id: str) -> Memory:
        found = await self._remember.newest(owner, Selection(ids=(memory_id,)), limit=1)
        if not found:
            raise NotFound(NO_MEMORY, param="memory_id")
        return found[0]

    async def _amendment(self, owner: Owner, memory: Memory) -> Amendment:
        """Return what was done to a memory until now."""
        return (await self._knowing.amendments(owner)).get(memory.id) or Amendment(memory)
