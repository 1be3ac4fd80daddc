"""Long-term memory follows what is stored: whichever conversation changed is read, and its memory made to match.

Nothing is done by what an entry once said, so that it may come late, twice, or after a crash between any two steps. Two
replicas may write at once: whoever wrote what was read before another change sees that afterwards, and does it again.

A turn is indexed together with the talk around it, so that one that comes or goes has its neighbours indexed anew.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np

from chatacter.chassis.errors import ChatacterError, UpstreamFailed
from chattr.domain.conversation import Conversation
from chattr.domain.identity import Owner
from chattr.domain.knowledge import standing
from chattr.domain.memory import Branch, Changed, Forgotten, Memory, Selection, memories_of, memory_id, memory_ids
from chattr.domain.talk import Talk, in_their_talk
from chattr.domain.terms import Stem, weighted_terms
from chattr.ports.embedder import Embedder, Vectors
from chattr.ports.memory import MemoryIndex, Point
from chattr.ports.outbox import Entry, Outbox
from chattr.ports.records import Conversations
from chattr.usecases.carrying import FIRST_PAUSE, LONGEST_PAUSE, carried_on
from chattr.usecases.knowing import Knowing

logger = logging.getLogger(__name__)

BATCH: Final = 32
# More messages than anybody says in one conversation.
MOST: Final = 100_000
# Memories looked at for what was said after all that was forgotten.
LATEST: Final = 64

# Tells one state of a conversation from another, also from one of the same id that was begun anew.
State: TypeAlias = tuple[float, ...]


@dataclass(slots=True)
class Difference:
    """What long-term memory lacks, and has too much, of one conversation as it was read."""

    owner: Owner
    conversation_id: str
    state: State
    expected: dict[str, Memory] = field(default_factory=dict)
    upsert: list[Memory] = field(default_factory=list)
    mark: dict[Branch, list[str]] = field(default_factory=dict)
    forget: Selection | None = None
    overtaken: bool = False
    """Whether something of it was forgotten while it was written."""


class Indexer:
    """Carries the outbox to long-term memory, at least once. Any number of replicas may run one."""

    def __init__(
        self,
        *,
        memory: MemoryIndex,
        conversations: Conversations,
        knowing: Knowing,
        embedder: Embedder,
        outbox: Outbox,
        stem: Stem,
        lessons: Outbox | None = None,
        pause: float = FIRST_PAUSE,
    ) -> None:
        self._memory = memory
        self._conversations = conversations
        self._knowing = knowing
        self._embedder = embedder
        self._outbox = outbox
        self._stem = stem
        self._lessons = lessons
        self._pause = pause

    async def run(self) -> None:
        """Work until cancelled. While something is away it waits, holding what it took; nothing is given up."""
        await carried_on(self._outbox, self.carry, doing="indexing", at_once=BATCH, pause=self._pause)

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

    async def renew(self) -> int:
        """Index some memories anew that another embedder or an older version indexed; return how many were such."""
        stale = await self._memory.stale(self._embedder.name, limit=BATCH)
        await self._follow([(owner, Changed(memory.conversation_id)) for owner, memory in stale], anew=stale)
        return len(stale)

    async def _do(self, entries: Sequence[Entry]) -> None:
        """Follow, forget, and strike off. Where facts are drawn from what is said, that is put down meanwhile."""
        changes = joined(entries)
        await self._follow(changes)
        if self._lessons is not None:
            for owner, change in changes:
                await self._lessons.note(owner, [change])
        for one in entries:
            if isinstance(one.work, Selection):
                beside = await conversations_beside(self._memory, one.owner, one.work)
                await self._memory.forget(one.owner, one.work)
                await self._knowing.erase(one.owner, one.work)
                await self._follow([(one.owner, Changed(each)) for each in beside])
        await self._outbox.done(entries)

    async def _follow(
        self, changes: Sequence[tuple[Owner, Changed]], *, anew: Sequence[tuple[Owner, Memory]] = ()
    ) -> None:
        """Make the memory of conversations match what is stored, `anew` in any case."""
        waiting = dict.fromkeys(changes)
        stale = {memory.id for _, memory in anew}
        while waiting:
            differences = [await self._difference(owner, change, stale) for owner, change in waiting]
            await self._write(differences)
            moved = [one for one in differences if await self._moved(one)]
            waiting = dict.fromkeys((one.owner, Changed(one.conversation_id)) for one in moved)

    async def _difference(self, owner: Owner, change: Changed, stale: Collection[str]) -> Difference:
        """Compare a conversation with its memory. Where it has one branch, only what was added is looked at."""
        conversation = await self._conversations.get(owner, change.conversation_id)
        messages = await self._conversations.messages(owner, change.conversation_id) if conversation else ()
        known = await self._knowing.follow(owner, change.conversation_id, conversation, messages)
        difference = Difference(owner, change.conversation_id, state_of(conversation, known.revision))
        place = Selection(conversation_id=change.conversation_id)
        if conversation is None:
            difference.forget = place
            return difference
        facts = (fact.memory() for fact in standing(known.all))
        expected = memories_of(owner, conversation, messages)
        expected |= {fact.id: fact for fact in facts if fact.conversation_id == conversation.id}
        expected = await self._wanted(owner, expected)
        difference.expected = expected
        if change.message_ids is not None and not conversation.branched:
            added = [message for message in messages if message.id in change.message_ids]
            ids = dict.fromkeys((*(memory_id(owner, each) for each in change.message_ids), *memory_ids(owner, added)))
            talk = Talk(expected.values())
            difference.upsert = [
                memory for memory in expected.values() if ids.keys() & {one.id for one, _ in talk.around(memory)}
            ]
            surplus = [each for each in ids if each not in expected]
        else:
            found = await self._memory.newest(owner, place, limit=MOST)
            stored = {one.id: one for one in found}
            compare(difference, expected, {each: one for each, one in stored.items() if each not in stale})
            surplus = [each for each in stored if each not in expected]
        difference.forget = Selection(ids=tuple(surplus)) if surplus else None
        return difference

    async def _wanted(self, owner: Owner, expected: Mapping[str, Memory]) -> dict[str, Memory]:
        """Leave out what was forgotten, and read what remains as somebody corrected it."""
        forgotten = Forgotten(await self._outbox.forgotten(owner))
        amended = await self._knowing.amendments(owner)
        wanted = {
            each: amended[each].applied(memory) if each in amended else memory
            for each, memory in expected.items()
            if not forgotten.covers(memory)
        }
        return in_their_talk(wanted)

    async def _write(self, differences: Sequence[Difference]) -> None:
        """Make memory match. What was forgotten is looked up after writing: whatever the order, it ends forgotten."""
        for one in differences:
            talk, vectors = Talk(one.expected.values()), dict[str, Vectors]()
            for some in batches(one.upsert):
                near = [each for memory in some for each, _ in talk.around(memory)]
                await self._embed(one.owner, near, vectors)
                await self._upsert(one.owner, [self._point(memory, talk, vectors) for memory in some])
                one.overtaken |= await self._forget_again(one.owner, some)
            for branch, ids in one.mark.items():
                await self._memory.mark(one.owner, ids, branch)
            if one.forget is not None:
                await self._memory.forget(one.owner, one.forget)
                await self._knowing.drop(one.owner, one.forget)

    async def _embed(self, owner: Owner, memories: Iterable[Memory], vectors: dict[str, Vectors]) -> None:
        """Add the vectors of memories; what is indexed already is not made anew."""
        texts = {memory.id: memory.text for memory in memories if memory.id not in vectors}
        for there in await self._memory.indexed(owner, [*texts], self._embedder.name):
            if there.dense is not None and there.memory.text == texts[there.memory.id]:
                vectors[there.memory.id] = there.dense
        missing = [each for each in texts if each not in vectors]
        if missing:
            made = await self._embedder.embed([texts[each] for each in missing])
            vectors.update(zip(missing, made, strict=True))

    def _point(self, memory: Memory, talk: Talk, vectors: Mapping[str, Vectors]) -> Point:
        around = talk.around(memory)
        return Point(
            memory=memory,
            dense=vectors[memory.id],
            talk=mean([(vectors[one.id], weight) for one, weight in around]),
            terms=weighted_terms(((one.text, weight) for one, weight in around), self._stem),
            embedder=self._embedder.name,
        )

    async def _upsert(self, owner: Owner, points: Sequence[Point]) -> None:
        """Write points; one that is rejected holds up no other. Raises `UpstreamFailed` at the end."""
        try:
            await self._memory.upsert(owner, points)
        except UpstreamFailed:
            if len(points) == 1:
                raise
            rejected: UpstreamFailed | None = None
            for one in points:
                try:
                    await self._memory.upsert(owner, [one])
                except UpstreamFailed as error:
                    rejected = error
            if rejected is not None:
                raise rejected from None

    async def _forget_again(self, owner: Owner, indexed: Sequence[Memory]) -> bool:
        forgotten = Forgotten(await self._outbox.forgotten(owner))
        ids = tuple(memory.id for memory in indexed if forgotten.covers(memory))
        if ids:
            await self._memory.forget(owner, Selection(ids=ids))
        return bool(ids)

    async def _moved(self, difference: Difference) -> bool:
        """Whether the conversation, what is known of the person, or what is forgotten changed since it was read."""
        if difference.overtaken:
            return True
        owner = difference.owner
        conversation = await self._conversations.get(owner, difference.conversation_id)
        return state_of(conversation, await self._knowing.revision(owner)) != difference.state


def compare(difference: Difference, expected: Mapping[str, Memory], stored: Mapping[str, Memory]) -> None:
    """Sort what differs: where only the branch was left or returned to, no vector is made anew."""
    for each, memory in expected.items():
        there = stored.get(each)
        if there is None or replace(there, branch=memory.branch) != memory:
            difference.upsert.append(memory)
        elif there.branch != memory.branch:
            difference.mark.setdefault(memory.branch, []).append(each)


def joined(entries: Iterable[Entry]) -> list[tuple[Owner, Changed]]:
    """Return the changes among entries, one a conversation."""
    changes: dict[tuple[Owner, str], Changed] = {}
    for one in entries:
        if isinstance(one.work, Changed):
            place = (one.owner, one.work.conversation_id)
            changes[place] = one.work.joined(changes.get(place, one.work))
    return [(owner, change) for (owner, _), change in changes.items()]


def batches(wanted: Sequence[Memory]) -> Iterator[Sequence[Memory]]:
    """Cut what is to be embedded into pieces, so that one long conversation holds no embedder for minutes."""
    for first in range(0, len(wanted), BATCH):
        yield wanted[first : first + BATCH]


def mean(weighted: Sequence[tuple[Vectors, float]]) -> Vectors:
    """Return the weighted mean of vectors, scaled to length 1."""
    total = np.sum([weight * vector for vector, weight in weighted], axis=0)
    return np.asarray(total / (np.linalg.norm(total) or 1.0), np.float32)


async def conversations_beside(memory: MemoryIndex, owner: Owner, forgotten: Selection) -> list[str]:
    """Name the conversations in which what is left stands beside what is to be forgotten."""
    if forgotten.ids is not None:
        found = await memory.newest(owner, forgotten, limit=MOST)
    else:
        latest = await memory.newest(owner, replace(forgotten, until=None), limit=LATEST)
        found = [one for one in latest if not forgotten.covers(one)]
    return list(dict.fromkeys(one.conversation_id for one in found))


def state_of(conversation: Conversation | None, known: int) -> State:
    """Say which state of a conversation, and of what is known of the person, this is."""
    return (known,) if conversation is None else (known, conversation.created_at, conversation.revision)
