"""What is known beside what was said: one suite over the fake and a real Redis."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import orjson
import pytest

from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.redis_connection import connected, key
from chattr.adapters.redis_knowledge import RedisKnowledge
from chattr.adapters.redis_outbox import RedisOutbox
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, Correction, Fact, Source
from chattr.domain.memory import Changed, Selection, memory_of
from chattr.ports.knowledge import Facts, Knowledge
from chattr.ports.outbox import Outbox

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
EVE = Owner("evil", "ann")


@dataclass
class Shelf:
    """Knowledge, and the outbox that hears of it."""

    knowledge: Knowledge
    outbox: Outbox

    async def told(self) -> list[tuple[Owner, object]]:
        entries = await self.outbox.take(100)
        if entries:
            await self.outbox.done(entries)
        return [(entry.owner, entry.work) for entry in entries]


@pytest.fixture(params=["fake", "redis"])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    if request.param == "fake":
        outbox = FakeOutbox(block_ms=5)
        yield Shelf(FakeKnowledge(outbox), outbox)
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield Shelf(RedisKnowledge(redis), RedisOutbox(redis, block_ms=5))


def fact(number: int, *, conversation: str = "c1") -> Fact:
    return Fact(f"f{number}", "ada", "person", f"fact {number}", (Source(conversation, "m1", 1.0),), float(number))


async def test_facts_are_written_as_a_whole_and_told_to_the_outbox(shelf: Shelf) -> None:
    nothing = await shelf.knowledge.facts(ANN)
    assert nothing == Facts([], 0) or (list(nothing.all), nothing.revision) == ([], 0)
    both = await shelf.knowledge.write_facts(ANN, nothing, [fact(1), fact(2, conversation="c2")])
    assert both is not None
    assert await shelf.told() == [(ANN, Changed("c1")), (ANN, Changed("c2"))]
    later = await shelf.knowledge.write_facts(ANN, both, [replace(fact(1), valid_to=9.0)])
    assert later is not None
    assert await shelf.told() == [(ANN, Changed("c1")), (ANN, Changed("c2"))]
    assert list((await shelf.knowledge.facts(ANN)).all) == [replace(fact(1), valid_to=9.0)] == list(later.all)


async def test_what_changed_meanwhile_is_not_written_over(shelf: Shelf) -> None:
    read = await shelf.knowledge.facts(ANN)
    assert await shelf.knowledge.write_facts(ANN, read, [fact(1)]) is not None
    assert await shelf.knowledge.write_facts(ANN, read, [fact(2)]) is None
    now = await shelf.knowledge.facts(ANN)
    assert list(now.all) == [fact(1)]
    assert await shelf.knowledge.revision(ANN) == now.revision > read.revision


async def test_nothing_is_written_and_nobody_told_where_nothing_changed(shelf: Shelf) -> None:
    made = await shelf.knowledge.write_facts(ANN, await shelf.knowledge.facts(ANN), [fact(1)])
    assert made is not None
    await shelf.told()
    again = await shelf.knowledge.write_facts(ANN, made, [fact(1)])
    assert again is not None
    assert again.revision == made.revision
    assert await shelf.told() == []


async def test_nobody_knows_what_another_does(shelf: Shelf) -> None:
    await shelf.knowledge.write_facts(ANN, await shelf.knowledge.facts(ANN), [fact(1)])
    await shelf.knowledge.amend(ANN, amendment(1))
    await shelf.knowledge.note_learned(ANN, "c1", ["m1"])
    for other in (BOB, EVE):
        assert list((await shelf.knowledge.facts(other)).all) == []
        assert await shelf.knowledge.amendments(other) == {}
        assert await shelf.knowledge.learned(other, "c1") == frozenset()


def amendment(number: int) -> Amendment:
    memory = memory_of(ANN, "ada", "c1", Message(f"m{number}", None, "user", "as it was", 1.0))
    return Amendment(memory, "as it is", pinned=True, history=(Correction("as it was", 2.0),))


async def test_what_was_done_to_memories_is_kept_told_and_dropped(shelf: Shelf) -> None:
    one, two = amendment(1), amendment(2)
    before = await shelf.knowledge.revision(ANN)
    await shelf.knowledge.amend(ANN, one)
    await shelf.knowledge.amend(ANN, two)
    assert await shelf.told() == [(ANN, Changed("c1")), (ANN, Changed("c1"))]
    assert await shelf.knowledge.revision(ANN) > before
    one, two = replace(one, revision=1), replace(two, revision=1)
    assert await shelf.knowledge.amendments(ANN) == {one.memory.id: one, two.memory.id: two}
    await shelf.knowledge.drop(ANN, [one.memory.id, "another"])
    await shelf.knowledge.drop(ANN, [])
    assert await shelf.knowledge.amendments(ANN) == {two.memory.id: two}


async def test_of_two_changes_of_what_was_read_the_second_is_refused(shelf: Shelf) -> None:
    first = amendment(1)
    assert await shelf.knowledge.amend(ANN, first)
    assert not await shelf.knowledge.amend(ANN, replace(first, pinned=False))
    kept = (await shelf.knowledge.amendments(ANN))[first.memory.id]
    assert kept == replace(first, revision=1)
    assert await shelf.knowledge.amend(ANN, replace(kept, text="as it is now"))
    assert not await shelf.knowledge.amend(ANN, replace(kept, text="too late"))
    await shelf.knowledge.drop(ANN, [first.memory.id])
    assert not await shelf.knowledge.amend(ANN, kept), "what was forgotten does not come back"
    assert await shelf.told() == [(ANN, Changed("c1")), (ANN, Changed("c1"))]


async def test_what_is_forgotten_as_it_was_read_is_not_forgotten_once_it_changed(shelf: Shelf) -> None:
    what = Selection(ids=(amendment(1).memory.id,), until=9.0)
    read = await shelf.knowledge.revision(ANN)
    await shelf.knowledge.amend(ANN, amendment(1))
    assert not await shelf.knowledge.forget(ANN, what, revision=read)
    assert list(await shelf.outbox.forgotten(ANN)) == []
    assert await shelf.told() == [(ANN, Changed("c1"))]
    now = await shelf.knowledge.revision(ANN)
    assert await shelf.knowledge.forget(ANN, what, revision=now)
    assert list(await shelf.outbox.forgotten(ANN)) == [what]
    assert await shelf.told() == [(ANN, what)]
    assert await shelf.knowledge.forget(BOB, what, revision=0), "nobody knows anything of Bob"
    assert [owner for owner, _ in await shelf.told()] == [BOB]


async def test_what_an_earlier_version_kept_has_been_done_once(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        knowledge, old = RedisKnowledge(redis), amendment(1)
        record = old.record()
        del record["revision"]
        await redis.hset(key(ANN, "amended"), old.memory.id, orjson.dumps(record))
        kept = (await knowledge.amendments(ANN))[old.memory.id]
        assert kept == replace(old, revision=1)
        assert await knowledge.amend(ANN, replace(kept, pinned=False))
        assert (await knowledge.amendments(ANN))[old.memory.id] == replace(kept, pinned=False, revision=2)


async def test_messages_are_learned_from_once(shelf: Shelf) -> None:
    await shelf.knowledge.note_learned(ANN, "c1", ["m1", "m2"])
    await shelf.knowledge.note_learned(ANN, "c1", ["m2"])
    await shelf.knowledge.note_learned(ANN, "c1", [])
    assert await shelf.knowledge.learned(ANN, "c1") == {"m1", "m2"}
    await shelf.knowledge.drop_conversation(ANN, "c1")
    assert await shelf.knowledge.learned(ANN, "c1") == frozenset()
