"""Remembering: what was said comes back when it matters, and can be forgotten. `indexing` sees to it that it is there.

Memory being away never stops a reply. It is told.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry.trace import Tracer

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError
from chattr.domain.conversation import Reminder
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, forgets, standing, without
from chattr.domain.memory import Changed, Forgotten, Memory, Recalled, Selection, memory_id
from chattr.domain.question import understood
from chattr.domain.recall import MAX_FACTS, MAX_RECALLED, chosen, line, ranked, relevant
from chattr.domain.terms import Stem, query_terms, words
from chattr.ports.embedder import Embedder, Vectors
from chattr.ports.memory import MemoryIndex, Query
from chattr.ports.outbox import Outbox
from chattr.ports.replies import ReplyCache
from chattr.usecases.caching import forget_kept
from chattr.usecases.indexing import conversations_beside
from chattr.usecases.knowing import Knowing

logger = logging.getLogger(__name__)

MEMORY_AWAY: Final = "Long-term memory is away; this reply does without it."
BY_WORDS_ALONE: Final = "The embedder is away; memories were looked for by their words alone."
FORGET_SECONDS: Final = 5.0
# For the meaning of a question, out of the time that a reply gives to recall: words are left the rest.
EMBED_SECONDS: Final = 1.2
# Candidates by each way of searching: of the turns that answer a question, 96 of 100 are among them (ADR 0018).
CANDIDATES: Final = 100
# The cosine from which a turn is about a text by itself: of MiniLM's the best in `benchmarks/forgetting.py`, where to
# find a turn counts twice as much as to show no other one, since nothing is forgotten before it was seen.
ABOUT_IT: Final = 0.28
# Pinned memories of one character: they take their place in every prompt.
MOST_PINNED: Final = 8


@dataclass(frozen=True, slots=True)
class Recollection:
    """What came back for a prompt, the best first; `told` says what is missing, for whoever gets the reply."""

    memories: tuple[Recalled, ...]
    told: str | None

    @property
    def items(self) -> tuple[str, ...]:
        """All of it, a line each."""
        return (*self.facts, *self.turns)

    @property
    def facts(self) -> tuple[str, ...]:
        """What is known, as the prompt takes it, a line each."""
        return tuple(line(one.memory) for one in self.memories if one.memory.kind == "fact")

    @property
    def turns(self) -> tuple[str, ...]:
        """What was said, as the prompt takes it, a line each."""
        return tuple(line(one.memory) for one in self.memories if one.memory.kind == "turn")

    @property
    def pinned(self) -> frozenset[str]:
        """The lines that somebody pinned."""
        return frozenset(line(one.memory) for one in self.memories if one.memory.standing == "pinned")

    def reminders(self, reached: Collection[str]) -> tuple[Reminder, ...]:
        """Say which memories these were, and which of them are among the lines that reached a prompt."""
        return tuple(
            Reminder(
                one.memory.id,
                " ".join(line(one.memory).split()) in reached,
                tuple(one.parts.items()),
                "facts" if one.memory.kind == "fact" else "turns",
            )
            for one in self.memories
        )


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
        replies: ReplyCache | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._memory = memory
        self._embedder = embedder
        self._outbox = outbox
        self._knowing = knowing
        self._stem = stem
        self._tracer = tracer
        self._replies = replies
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
        """Return what this character remembers that bears on a text: turns, at most `limit`, which is no less than
        one, and facts that hold.

        Messages in `exclude` are left out, and what was said on branches that were left. Never raises.
        """
        with self._tracer.start_as_current_span("recall") as span:
            try:
                async with deadline.timeout():
                    within = Selection(character_id=character_id)
                    (found, whole), pinned = await asyncio.gather(
                        self._found(owner, text, within, exclude, active=True),
                        self._pinned(owner, character_id, exclude),
                    )
                    found, pinned = await self._holding(owner, found), await self._holding(owner, pinned)
            except (ChatacterError, TimeoutError) as error:
                span.set_attribute("error.type", type(error).__name__)
                logger.warning("recall failed", extra={"error.type": type(error).__name__})
                return Recollection((), MEMORY_AWAY)
            others = [one for one in found if one.memory.standing == "plain" and one.memory.message_id not in exclude]
            turns = [one for one in others if one.memory.kind == "turn"]
            facts = [one for one in others if one.memory.kind == "fact"]
            known = chosen(facts, text, self._stem, limit=MAX_FACTS)
            best = [*pinned, *known, *chosen(turns, text, self._stem, limit=limit)]
            span.set_attribute("chatacter.recall.items", len(best))
            return Recollection(tuple(best), None if whole else BY_WORDS_ALONE)

    async def _holding(self, owner: Owner, found: Sequence[Recalled]) -> list[Recalled]:
        """Leave out facts in whose place something else came, also while the index does not say so yet."""
        if not any(one.memory.kind == "fact" for one in found):
            return list(found)
        holding = {fact.id for fact in standing(await self._knowing.facts(owner))}
        return [one for one in found if one.memory.kind == "turn" or one.memory.id in holding]

    async def _pinned(self, owner: Owner, character_id: str, exclude: Sequence[str]) -> list[Recalled]:
        """Return what was pinned, the oldest first, without a score."""
        amended = await self._knowing.amendments(owner)
        ids = tuple(each for each, one in amended.items() if one.pinned)
        if not ids:
            return []
        found = await self.newest(owner, Selection(ids=ids, character_id=character_id), limit=MOST_PINNED)
        return [
            Recalled(memory)
            for memory in reversed(found)
            if memory.branch == "active" and memory.message_id not in exclude
        ]

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
        found, _ = await self._found(owner, text, within, exclude, active=active)
        return found[:limit]

    async def _found(
        self, owner: Owner, text: str, within: Selection, exclude: Sequence[str], *, active: bool
    ) -> tuple[list[Recalled], bool]:
        """Return what bears on a text, and whether it was looked for by meaning too."""
        speakers, forgotten = await asyncio.gather(self._memory.speakers(owner, within), self._outbox.forgotten(owner))
        question = understood(text, speakers, self._clock(), self._stem)
        dense = await self._embedded(question.as_told)
        query = Query(
            dense=dense,
            terms=query_terms(question.stems),
            embedder=self._embedder.name,
            within=within,
            exclude=tuple(memory_id(owner, message_id) for message_id in exclude),
            limit=CANDIDATES,
            active=active,
        )
        found, amended = await asyncio.gather(self._memory.search(owner, query), self._knowing.amendments(owner))
        gone = Forgotten(forgotten)
        kept = (one for one in found if not gone.covers(one.memory))
        best = [
            replace(one, memory=as_amended(one.memory, amended)) if one.memory.id in amended else one
            for one in ranked(kept, question)
        ]
        return best, dense is not None

    async def _embedded(self, text: str) -> Vectors | None:
        """Embed a text; None while the embedder is away, slow, or refuses."""
        try:
            async with asyncio.timeout(EMBED_SECONDS):
                vectors = await self._embedder.embed([text])
        except (ChatacterError, TimeoutError) as error:
            logger.warning("a question was not embedded", extra={"error.type": type(error).__name__})
            return None
        first: Vectors = vectors[0]
        return first

    async def newest(self, owner: Owner, within: Selection, *, limit: int) -> Sequence[Memory]:
        """Return a person's memories, the newest first. Raises `Unavailable`."""
        forgotten, amended, found = await asyncio.gather(
            self._outbox.forgotten(owner),
            self._knowing.amendments(owner),
            self._memory.newest(owner, within, limit=limit),
        )
        gone = Forgotten(forgotten)
        return [as_amended(memory, amended) for memory in found if not gone.covers(memory)]

    async def bearing(self, owner: Owner, text: str, within: Selection, *, limit: int) -> Sequence[Recalled]:
        """Return memories that bear on a text by themselves, not by the talk around them, and are no noise beside the
        best. Raises `Unavailable`.
        """
        found = relevant(await self.search(owner, text, within, limit=CANDIDATES))
        asked, dense = set(words(text, self._stem)), await self._embedded(text)
        indexed = await self._memory.indexed(owner, [one.memory.id for one in found], self._embedder.name)
        vectors = {one.memory.id: one.dense for one in indexed}

        def itself(memory: Memory) -> bool:
            own = vectors.get(memory.id)
            near = dense is not None and own is not None and float(dense @ own) >= ABOUT_IT
            return near or bool(asked & set(words(memory.text, self._stem)))

        return [one for one in found if itself(one.memory)][:limit]

    async def going_along(self, owner: Owner, what: Selection) -> Sequence[Memory]:
        """Return the facts that would be gone with what is forgotten. Raises `Unavailable`."""
        facts = await self._knowing.facts(owner)
        left = {fact.id for fact in without(owner, facts, what)}
        return [fact.memory() for fact in facts if fact.id not in left and not forgets(what, fact)]

    async def forget(self, owner: Owner, what: Selection) -> bool:
        """Forget for good, with what was drawn from it: no answer holds it, nor does what still waits come back.

        True when it is erased already; False when that waits for long-term memory to return. Raises `Unavailable` when
        not even that could be put down.
        """
        what = replace(what, until=self._clock())
        await self._outbox.forget(owner, what)
        return await self._erased(owner, what)

    async def forget_at(self, owner: Owner, what: Selection, revision: int) -> bool | None:
        """Forget as `forget` does, where what is known of the person is at this revision still.

        None, and nothing is forgotten, where facts or corrections changed since.
        """
        what = replace(what, until=self._clock())
        if not await self._knowing.forget(owner, what, revision=revision):
            return None
        return await self._erased(owner, what)

    async def _erased(self, owner: Owner, what: Selection) -> bool:
        """Erase what is put down to be forgotten; False where that waits."""
        gone = await self._knowing.erase(owner, what)
        await forget_kept(self._replies, owner)
        try:
            async with asyncio.timeout(FORGET_SECONDS):
                beside = await conversations_beside(self._memory, owner, what)
                await self._outbox.note(owner, [Changed(each) for each in beside])
                await self._memory.forget(owner, what)
                if gone:
                    await self._memory.forget(owner, Selection(ids=tuple(gone)))
        except (ChatacterError, TimeoutError) as error:
            logger.warning("forgetting waits for memory", extra={"error.type": type(error).__name__})
            return False
        return True


def as_amended(memory: Memory, amended: Mapping[str, Amendment]) -> Memory:
    """Return a memory as somebody corrected or pinned it, also while its index does not say so yet."""
    amendment = amended.get(memory.id)
    return amendment.applied(memory) if amendment else memory
