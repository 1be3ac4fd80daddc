"""The outbox: one suite over the fake and a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import orjson
import pytest

from chatacter.chassis.errors import Unavailable
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.redis_connection import connected, key
from chattr.adapters.redis_outbox import STREAM, RedisOutbox
from chattr.domain.identity import Owner
from chattr.domain.memory import Changed, Selection
from chattr.ports.outbox import Entry, Outbox
from chattr.usecases.holding import held
from tests.redis_server import started
from tests.waiting import eventually

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
Make = Callable[[int], AbstractAsyncContextManager[Outbox]]


@pytest.fixture(params=["fake", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Opens the same outbox with a lease of so many milliseconds."""
    if request.param == "fake":
        shared: dict[int, FakeOutbox] = {}
        return lambda lease_ms: given(shared.setdefault(lease_ms, FakeOutbox(lease_ms=lease_ms, block_ms=20)))
    url = request.getfixturevalue("redis_url")

    @asynccontextmanager
    async def over_redis(lease_ms: int) -> AsyncIterator[Outbox]:
        async with connected(url) as redis:
            yield RedisOutbox(redis, lease_ms=lease_ms, block_ms=20)

    return over_redis


@pytest.fixture
async def outbox(make: Make) -> AsyncIterator[Outbox]:
    async with make(60_000) as made:
        yield made


@asynccontextmanager
async def given(outbox: Outbox) -> AsyncIterator[Outbox]:
    yield outbox


def said(number: int) -> Changed:
    return Changed("c1", (f"m{number}",))


async def test_hands_out_what_was_put_down_with_its_owner_in_order(outbox: Outbox) -> None:
    await outbox.note(ANN, [said(1), said(2)])
    await outbox.note(BOB, [Changed("c3")])
    assert await outbox.waiting() == 3
    taken = [*await outbox.take(2), *await outbox.take(2)]
    assert [(one.owner, one.work) for one in taken] == [
        (ANN, said(1)),
        (ANN, said(2)),
        (BOB, Changed("c3")),
    ]
    assert await outbox.take(2) == []


async def test_what_is_done_is_gone(outbox: Outbox) -> None:
    await outbox.note(ANN, [said(1)])
    await outbox.done(await outbox.take(10))
    assert await outbox.waiting() == 0


async def test_what_is_taken_and_not_done_comes_back_once_the_lease_is_over(make: Make) -> None:
    async with make(50) as outbox:
        await outbox.note(ANN, [said(1)])
        first = await outbox.take(10)
        again: list[Entry] = []
        while not again:
            again.extend(await outbox.take(10))
        assert again == first
        assert await outbox.waiting() == 1


async def test_what_somebody_is_still_at_is_held_beyond_its_lease(make: Make) -> None:
    async with make(200) as outbox, make(200) as other:
        assert outbox.lease == 0.2
        await outbox.note(ANN, [Changed("c1")])
        entries = await outbox.take(1)
        async with held(outbox, entries):
            for _ in range(5):
                await asyncio.sleep(0.1)
                assert not await other.take(1)
        await asyncio.sleep(0.25)
        assert len(await other.take(1)) == 1
        await outbox.done(entries)
        await outbox.hold(entries)
        await outbox.hold([])
        assert await outbox.waiting() == 0


async def test_two_readers_never_hold_the_same_entry(outbox: Outbox) -> None:
    await outbox.note(ANN, [said(number) for number in range(40)])
    batches = await asyncio.gather(*(outbox.take(10) for _ in range(5)))
    ids = [one.id for batch in batches for one in batch]
    assert len(ids) == len(set(ids)) == 40


async def test_forgetting_is_an_entry_and_is_known_for_good(outbox: Outbox) -> None:
    what = Selection(character_id="ada", until=5.0)
    await outbox.forget(ANN, what)
    (entry,) = await outbox.take(10)
    assert (entry.owner, entry.work) == (ANN, what)
    await outbox.done([entry])
    assert await outbox.forgotten(ANN) == [what]
    assert await outbox.forgotten(BOB) == []


async def test_what_was_forgotten_is_known_for_good_with_nothing_left_to_do(redis_url: str) -> None:
    """It has no end of its own, and outlives the work, the conversations, and an entry that is struck off twice."""
    async with connected(redis_url) as redis:
        outbox = RedisOutbox(redis, block_ms=5)
        await outbox.forget(ANN, Selection(until=9.0))
        entries = await outbox.take(10)
        await outbox.done(entries)
        await outbox.done(entries)
        assert await redis.ttl(key(ANN, "forgotten")) == -1
        assert list(await RedisOutbox(redis).forgotten(ANN)) == [Selection(until=9.0)]


async def test_the_later_of_two_forgettings_stands(outbox: Outbox) -> None:
    for until in (5.25, 1785312000.123456, 3.0):
        await outbox.forget(ANN, Selection(character_id="ada", until=until))
    assert await outbox.forgotten(ANN) == [Selection(character_id="ada", until=1785312000.123456)]


async def test_forgetting_needs_a_moment(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="moment"):
        await outbox.forget(ANN, Selection())


async def test_waits_for_the_first_entry(make: Make) -> None:
    async with make(60_000) as outbox:
        taking = asyncio.create_task(outbox.take(1))
        await outbox.note(ANN, [said(1)])
        taken = [*await taking, *([] if taking.result() else await outbox.take(1))]
        assert len(taken) == 1


async def test_a_restarted_redis_holds_what_waited_and_what_was_taken() -> None:
    with started(appendfsync="always") as server:
        async with connected(server.url) as redis:
            outbox = RedisOutbox(redis, lease_ms=50, block_ms=20)
            await outbox.note(ANN, [said(1), said(2)])
            await outbox.take(1)
            await asyncio.to_thread(server.kill)
            with pytest.raises(Unavailable):
                await outbox.take(1)
            await asyncio.to_thread(server.start)
            works: set[object] = set()
            while len(works) < 2:
                works.update(one.work for one in await outbox.take(10))
            assert works == {said(1), said(2)}


async def test_a_redis_that_is_emptied_while_it_waits_is_away_and_then_works_again(redis_url: str) -> None:
    async with connected(redis_url) as redis, connected(redis_url) as other:
        outbox = RedisOutbox(redis, block_ms=4_000)
        waiting = asyncio.create_task(outbox.take(1))

        async def blocked() -> bool:
            return bool((await other.info("clients"))["blocked_clients"])

        await eventually(blocked)
        await other.flushall()
        with pytest.raises(Unavailable):
            await waiting
        await outbox.note(ANN, [said(1)])
        assert len(await outbox.take(1)) == 1


async def test_an_emptied_redis_needs_no_restart_of_ours(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        outbox = RedisOutbox(redis, block_ms=20)
        assert await outbox.take(1) == []
        await redis.flushall()
        await outbox.note(ANN, [said(1)])
        assert len(await outbox.take(1)) == 1


async def test_a_turn_that_an_earlier_version_put_down_is_a_change_of_its_conversation(redis_url: str) -> None:
    turn = {"schema_version": 1, "id": "x", "text": "t", "conversation_id": "c1", "message_id": "m1"}
    async with connected(redis_url) as redis:
        stored = {"tenant": ANN.tenant, "person": ANN.person, "kind": "remember", "work": orjson.dumps(turn)}
        await redis.xadd(STREAM, stored)  # type: ignore[arg-type]
        (entry,) = await RedisOutbox(redis, block_ms=20).take(1)
    assert (entry.owner, entry.work) == (ANN, said(1))
