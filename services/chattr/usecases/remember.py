"""Remembering: turns go to an outbox at once, from there to long-term memory, and come back when they matter.

Memory being away never stops a reply. It is told, and what should have been remembered waits in the outbox.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry.trace import Tracer

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, UpstreamFailed
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, Recalled, Selection, memory_id, memory_of
from chattr.domain.recall import MAX_RECALLED, Stem, chosen, line, query_terms, ranked, turn_terms
from chattr.ports.embedder import Embedder
from chattr.ports.memory import MemoryIndex, Point, Query
from chattr.ports.outbox import Entry, Outbox

logger = logging.getLogger(__name__)

MEMORY_AWAY: Final = "Long-term memory is away; this reply does without it."
FORGET_SECONDS: Final = 5.0
BATCH: Final = 32
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0


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
        stem: Stem,
        tracer: Tracer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._memory = memory
        self._embedder = embedder
        self._outbox = outbox
        self._stem = stem
        self._tracer = tracer
        self._clock = clock

    async def index(self, owner: Owner, character_id: str, conversation_id: str, messages: Sequence[Message]) -> None:
        """See to it that messages are remembered: durable when this returns. Raises `Unavailable`."""
        memories = [memory_of(owner, character_id, conversation_id, message) for message in messages]
        told = [memory for memory in memories if memory.text]
        if told:
            await self._outbox.remember(owner, told)

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

        Messages in `exclude` are left out. Never raises.
        """
        with self._tracer.start_as_current_span("recall") as span:
            try:
                async with deadline.timeout():
                    found = await self.search(owner, text, Selection(character_id=character_id), exclude=exclude)
            except (ChatacterError, TimeoutError) as error:
                span.set_attribute("error.type", type(error).__name__)
                logger.warning("recall failed", extra={"error.type": type(error).__name__})
                return Recollection((), MEMORY_AWAY)
            best = chosen(found, text, self._stem, limit=limit)
            span.set_attribute("chatacter.recall.items", len(best))
            return Recollection(tuple(best), None)

    async def search(
        self, owner: Owner, text: str, within: Selection, *, exclude: Sequence[str] = (), limit: int = 50
    ) -> Sequence[Recalled]:
        """Return memories that bear on a text, the best first. Raises `Unavailable`."""
        vectors, forgotten = await asyncio.gather(self._embedder.embed([text]), self._outbox.forgotten(owner))
        query = Query(
            dense=vectors[0],
            terms=query_terms(text, self._stem),
            embedder=self._embedder.name,
            within=within,
            exclude=tuple(memory_id(owner, message_id) for message_id in exclude),
            limit=limit,
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
        """Forget for good: no answer holds it from now on, nor does what still waits come back.

        True when it is erased already; False when that waits for long-term memory to return. Raises `Unavailable` when
        not even that could be put down.
        """
        what = replace(what, until=self._clock())
        await self._outbox.forget(owner, what)
        try:
            async with asyncio.timeout(FORGET_SECONDS):
                await self._memory.forget(owner, what)
        except (ChatacterError, TimeoutError) as error:
            logger.warning("forgetting waits for memory", extra={"error.type": type(error).__name__})
            return False
        return True


class Indexer:
    """Carries the outbox to long-term memory, at least once. Any number of replicas may run one."""

    def __init__(
        self,
        *,
        memory: MemoryIndex,
        embedder: Embedder,
        outbox: Outbox,
        stem: Stem,
        pause: float = FIRST_PAUSE,
    ) -> None:
        self._memory = memory
        self._embedder = embedder
        self._outbox = outbox
        self._stem = stem
        self._pause = pause

    async def run(self) -> None:
        """Work until cancelled. While something is away it waits, holding what it took; nothing is given up."""
        pause = self._pause
        while True:
            try:
                await self.carry(await self._outbox.take(BATCH))
                pause = self._pause
            except ChatacterError as error:
                logger.warning("the outbox is away", extra={"error.type": type(error).__name__})
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def carry(self, entries: Sequence[Entry]) -> None:
        """Do what entries say, again until it is done. One that long-term memory rejects is left, and comes back."""
        pause = self._pause
        while entries:
            try:
                await self._do(entries)
                break
            except UpstreamFailed:
                if len(entries) == 1:
                    logger.exception("long-term memory rejected an entry")
                    return
                for one in entries:
                    await self.carry([one])
                return
            except ChatacterError as error:
                logger.warning("indexing waits", extra={"error.type": type(error).__name__})
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _do(self, entries: Sequence[Entry]) -> None:
        """Index, forget, and strike off.

        What was forgotten is looked up after indexing: whatever the order in which things arrive, it ends forgotten.
        """
        told = [(one.owner, one.work) for one in entries if isinstance(one.work, Memory)]
        if told:
            vectors = await self._embedder.embed([memory.text for _, memory in told])
            points: dict[Owner, list[Point]] = {}
            for (owner, memory), vector in zip(told, vectors, strict=True):
                terms = turn_terms(memory.text, self._stem)
                points.setdefault(owner, []).append(Point(memory, vector, terms, self._embedder.name))
            for owner, theirs in points.items():
                await self._memory.upsert(owner, theirs)
            await self._forget_again(points)
        for one in entries:
            if isinstance(one.work, Selection):
                await self._memory.forget(one.owner, one.work)
        await self._outbox.done(entries)

    async def _forget_again(self, indexed: Mapping[Owner, Sequence[Point]]) -> None:
        for owner, points in indexed.items():
            forgotten = await self._outbox.forgotten(owner)
            ids = tuple(point.memory.id for point in points if covered(point.memory, forgotten))
            if ids:
                await self._memory.forget(owner, Selection(ids=ids))


def covered(memory: Memory, forgotten: Iterable[Selection]) -> bool:
    """Whether a memory was forgotten."""
    return any(what.covers(memory) for what in forgotten)
