"""Remembering: what was said comes back when it matters, and can be forgotten. `indexing` sees to it that it is there.

Memory being away never stops a reply. It is told.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry.trace import Tracer

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError
from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, Recalled, Selection, memory_id
from chattr.domain.recall import MAX_RECALLED, Stem, chosen, line, query_terms, ranked
from chattr.ports.embedder import Embedder
from chattr.ports.memory import MemoryIndex, Query
from chattr.ports.outbox import Outbox
from chattr.usecases.indexing import covered
from chattr.usecases.knowing import Knowing

logger = logging.getLogger(__name__)

MEMORY_AWAY: Final = "Long-term memory is away; this reply does without it."
FORGET_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Recollection:
    """What came back for a prompt, the best first; `told` says what is missing, for whoever gets the reply."""

    memories: tuple[Recalled, ...]
    told: str | None

    @property
    def items(self) -> tuple[str, ...]:
        """The memories as the prompt takes them, a line each."""
        return tuple(line(one.memory) for one in self.memories)


class Remember:
    """What characters remember of a person."""

    def __init__(
        self,
        *,
        memory: MemoryIndex,
        embedder: Embedder,
        outbox: Outbox,
        knowing: Knowing,
        stem: Stem,
        tracer: Tracer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._memory = memory
        self._embedder = embedder
        self._outbox = outbox
        self._knowing = knowing
        self._stem = stem
        self._tracer = tracer
        self._clock = clock

    async def recall(
        self,
        owner: Owner,
        character_id: str,
        text: str,
        exclude: Sequence[str],
        deadline: Deadline,
        *,
        limit: int = MAX_RECALLED,
    ) -> Recollection:
        """Return what this character remembers that bears on a text, at most `limit`, which is no less than one.

        Messages in `exclude` are left out, and what was said on branches that were left. Never raises.
        """
        with self._tracer.start_as_current_span("recall") as span:
            try:
                async with deadline.timeout():
                    within = Selection(character_id=character_id)
                    found = await self.search(owner, text, within, exclude=exclude, active=True)
            except (ChatacterError, TimeoutError) as error:
                span.set_attribute("error.type", type(error).__name__)
                logger.warning("recall failed", extra={"error.type": type(error).__name__})
                return Recollection((), MEMORY_AWAY)
            best = chosen(found, text, self._stem, limit=limit)
            span.set_attribute("chatacter.recall.items", len(best))
            return Recollection(tuple(best), None)

    async def search(
        self,
        owner: Owner,
        text: str,
        within: Selection,
        *,
        exclude: Sequence[str] = (),
        limit: int = 50,
        active: bool = False,
    ) -> Sequence[Recalled]:
        """Return memories that bear on a text, the best first; `active`: of no branch that was left.

        Raises `Unavailable`.
        """
        vectors, forgotten = await asyncio.gather(self._embedder.embed([text]), self._outbox.forgotten(owner))
        query = Query(
            dense=vectors[0],
            terms=query_terms(text, self._stem),
            embedder=self._embedder.name,
            within=within,
            exclude=tuple(memory_id(owner, message_id) for message_id in exclude),
            limit=limit,
            active=active,
        )
        found = await self._memory.search(owner, query)
        return ranked((one for one in found if not covered(one.memory, forgotten)), text, self._stem)[:limit]

    async def newest(self, owner: Owner, within: Selection, *, limit: int) -> Sequence[Memory]:
        """Return a person's memories, the newest first. Raises `Unavailable`."""
        forgotten, found = await asyncio.gather(
            self._outbox.forgotten(owner), self._memory.newest(owner, within, limit=limit)
        )
        return [memory for memory in found if not covered(memory, forgotten)]

    async def forget(self, owner: Owner, what: Selection) -> bool:
        """Forget for good, with what was drawn from it: no answer holds it, nor does what still waits come back.

        True when it is erased already; False when that waits for long-term memory to return. Raises `Unavailable` when
        not even that could be put down.
        """
        what = replace(what, until=self._clock())
        await self._outbox.forget(owner, what)
        gone = await self._knowing.erase(owner, what)
        try:
            async with asyncio.timeout(FORGET_SECONDS):
                await self._memory.forget(owner, what)
                if gone:
                    await self._memory.forget(owner, Selection(ids=tuple(gone)))
        except (ChatacterError, TimeoutError) as error:
            logger.warning("forgetting waits for memory", extra={"error.type": type(error).__name__})
            return False
        return True
