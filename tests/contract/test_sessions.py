"""Short-term memory and reply logs: one suite over the fakes and a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatacter.chassis.errors import NotFound, Unavailable
from chattr.adapters.fakes.sessions import FakeSessionLog, FakeShortTerm
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_sessions import RedisSessionLog, RedisShortTerm
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Beside
from chattr.ports.sessions import COMPLETED, CREATED, DELTA, FAILED, Event, Recent, SessionLog, ShortTerm

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")


@pytest.fixture(params=["fake", "redis"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[SessionLog]:
    if request.param == "fake":
        yield FakeSessionLog()
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisSessionLog(redis, redis, ttl=60, block_ms=20)


@pytest.fixture(params=["fake", "redis"])
async def short_term(request: pytest.FixtureRequest) -> AsyncIterator[ShortTerm]:
    if request.param == "fake":
        yield FakeShortTerm(max_size=4)
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisShortTerm(redis, ttl=60, max_size=4)


def delta(seq: int) -> Event:
    return Event(seq, DELTA, {"text": f"word {seq} "})


async def followed(log: SessionLog, after: int = 0) -> list[Event]:
    return [event async for event in log.follow(ANN, "r", after)]


async def test_a_log_is_read_from_any_event_on_also_within_a_batch(log: SessionLog) -> None:
    whole = [Event(1, CREATED, {}), *(delta(seq) for seq in range(2, 8)), Event(8, COMPLETED, {})]
    await log.append(ANN, "r", whole[:1])
    await log.append(ANN, "r", whole[1:5])
    await log.append(ANN, "r", whole[5:])
    for after in range(10):
        assert await followed(log, after) == whole[after:]


async def test_a_follower_sees_events_as_they_come(log: SessionLog) -> None:
    await log.append(ANN, "r", [Event(1, CREATED, {})])
    follower = asyncio.create_task(followed(log))
    for seq in range(2, 6):
        await log.append(ANN, "r", [delta(seq)])
    await log.append(ANN, "r", [Event(6, COMPLETED, {"finish_reason": "stop"})])
    async with asyncio.timeout(30):
        assert [event.seq for event in await follower] == [1, 2, 3, 4, 5, 6]


async def test_cancelling_reaches_the_writer(log: SessionLog) -> None:
    assert not await log.append(ANN, "r", [Event(1, CREATED, {})])
    assert not await log.append(ANN, "r", [])
    await log.cancel(ANN, "r")
    assert await log.append(ANN, "r", [])


async def test_nobody_else_follows_or_cancels(log: SessionLog) -> None:
    await log.append(ANN, "r", [Event(1, CREATED, {})])
    with pytest.raises(NotFound):
        await log.cancel(BOB, "r")
    with pytest.raises(NotFound):
        await anext(log.follow(BOB, "r"))
    assert not await log.append(ANN, "r", [])


async def test_events_sent_again_stand_once(log: SessionLog) -> None:
    """The client sends a command again when its answer was lost."""
    await log.append(ANN, "r", [Event(1, CREATED, {})])
    for _ in range(2):
        await log.append(ANN, "r", [delta(2)])
    await log.append(ANN, "r", [Event(3, COMPLETED, {})])
    assert [event.seq for event in await followed(log)] == [1, 2, 3]


@pytest.mark.parametrize("reply_id", ["r:lease", "r:cancel", "", "a b"])
async def test_what_cannot_be_an_id_is_not_found(log: SessionLog, reply_id: str) -> None:
    await log.append(ANN, "r", [Event(1, CREATED, {})])
    with pytest.raises(NotFound):
        await anext(log.follow(ANN, reply_id))
    with pytest.raises(NotFound):
        await log.cancel(ANN, reply_id)


async def test_followers_keep_nobody_else_waiting(redis_url: str) -> None:
    async with connected(redis_url, connections=2) as redis, connected(redis_url) as followers:
        log = RedisSessionLog(redis, followers, ttl=60)
        await log.append(ANN, "r", [Event(1, CREATED, {})])
        following = [asyncio.create_task(followed(log)) for _ in range(8)]
        for seq in range(2, 20):
            await log.append(ANN, "r", [delta(seq)])
        await log.append(ANN, "r", [Event(20, COMPLETED, {})])
        assert [len(events) for events in await asyncio.gather(*following)] == [20] * 8


async def test_a_redis_that_is_full_is_told(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        log = RedisSessionLog(redis, redis, ttl=60)
        await redis.config_set("maxmemory", "1")
        try:
            with pytest.raises(Unavailable, match="maxmemory"):
                await log.append(ANN, "r", [Event(1, CREATED, {})])
        finally:
            await redis.config_set("maxmemory", "0")


async def test_a_writer_that_died_is_told(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        log = RedisSessionLog(redis, redis, ttl=60, lease_ms=50, block_ms=20)
        await log.append(ANN, "r", [Event(1, CREATED, {}), delta(2)])
        async with asyncio.timeout(30):
            events = await followed(log)
    assert [event.type for event in events] == [CREATED, DELTA, FAILED]
    assert events[-1].data["retryable"] is True


def at(revision: int) -> Conversation:
    return Conversation("c", "ada", 1.0, revision=revision)


async def test_the_active_branch_is_held_up_to_the_limit(short_term: ShortTerm) -> None:
    messages = [Message(f"m{n}", f"m{n - 1}" if n else None, "user", str(n), float(n)) for n in range(6)]
    elsewhere = [Beside("x1", in_group=False), Beside("x2", in_group=True)]
    await short_term.keep(ANN, "c", Recent(messages, 7, elsewhere))
    assert await short_term.recent(ANN, at(7), "m5") == Recent(messages[-4:], 7, elsewhere)
    assert await short_term.recent(ANN, at(7), "m3") is None
    assert await short_term.recent(ANN, at(8), "m5") is None, "something changed since"
    assert await short_term.recent(BOB, at(7), "m5") is None
    await short_term.drop(ANN, "c")
    assert await short_term.recent(ANN, at(7), "m5") is None
