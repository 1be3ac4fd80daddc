"""Kept answers of the language model: one suite over the fake and a real Redis."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from chatacter.chassis.errors import Unavailable
from chattr.adapters.fakes.replies import FakeReplyCache
from chattr.adapters.redis_connection import connected, key
from chattr.adapters.redis_replies import RedisReplyCache
from chattr.domain.identity import Owner
from chattr.ports.replies import LARGEST_REPLY, ReplyCache
from tests.redis_server import free_port

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
EVE = Owner("evil", "ann")
CHUNKS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"content": "Grüß Gott 🎩"}, "finish_reason": None, "logprobs": None}]},
    {"choices": [], "usage": {"total_tokens": 3, "prompt_tokens_details": {"cached_tokens": 0}}},
]


@dataclass
class Case:
    """A cache, and how its answers are made to run out."""

    cache: ReplyCache
    run_out: Callable[[], Awaitable[None]]


@pytest.fixture(params=["fake", "redis"])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    if request.param == "fake":
        now = [100.0]

        async def later() -> None:
            now[0] += 61

        yield Case(FakeReplyCache(ttl=60, clock=lambda: now[0]), later)
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:

        async def expired() -> None:
            await redis.pexpire(key(ANN, "replies", "print"), 0)

        yield Case(RedisReplyCache(redis, ttl=60), expired)


async def test_what_was_kept_is_found_with_the_seconds_that_it_still_stands(case: Case) -> None:
    assert await case.cache.find(ANN, "print") is None
    assert await case.cache.keep(ANN, "print", CHUNKS)
    found = await case.cache.find(ANN, "print")
    assert found is not None
    assert found.chunks == CHUNKS
    assert 55 <= found.ttl <= 60


async def test_another_request_finds_nothing(case: Case) -> None:
    await case.cache.keep(ANN, "print", CHUNKS)
    assert await case.cache.find(ANN, "another") is None


@pytest.mark.parametrize("stranger", [BOB, EVE, ANN.shared])
async def test_nobody_finds_another_ones_answers(case: Case, stranger: Owner) -> None:
    await case.cache.keep(ANN, "print", CHUNKS)
    assert await case.cache.find(stranger, "print") is None


async def test_the_newest_answer_stands(case: Case) -> None:
    await case.cache.keep(ANN, "print", CHUNKS)
    await case.cache.keep(ANN, "print", CHUNKS[1:])
    found = await case.cache.find(ANN, "print")
    assert found is not None
    assert found.chunks == CHUNKS[1:]


async def test_an_answer_runs_out(case: Case) -> None:
    await case.cache.keep(ANN, "print", CHUNKS)
    await case.run_out()
    assert await case.cache.find(ANN, "print") is None


async def test_an_answer_that_is_too_large_is_not_kept(case: Case) -> None:
    large = [{"choices": [{"index": 0, "delta": {"content": "a" * LARGEST_REPLY}}]}]
    assert not await case.cache.keep(ANN, "print", large)
    assert await case.cache.find(ANN, "print") is None


async def test_a_cache_that_is_away_says_so() -> None:
    fake = FakeReplyCache()
    fake.away = True
    async with connected(f"redis://127.0.0.1:{free_port()}") as redis:
        for cache in (fake, RedisReplyCache(redis, ttl=60)):
            with pytest.raises(Unavailable):
                await cache.find(ANN, "print")
            with pytest.raises(Unavailable):
                await cache.keep(ANN, "print", CHUNKS)


async def test_what_another_version_kept_is_as_good_as_nothing(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        await redis.set(key(ANN, "replies", "print"), b'{"schema_version": 99, "answer": "?"}', ex=60)
        assert await RedisReplyCache(redis, ttl=60).find(ANN, "print") is None


async def test_what_is_kept_for_a_person_goes_at_once_and_nobody_else_s(case: Case) -> None:
    for name in ("print", "another"):
        await case.cache.keep(ANN, name, CHUNKS)
    await case.cache.keep(BOB, "print", CHUNKS)
    await case.cache.keep(EVE, "print", CHUNKS)
    await case.cache.drop(ANN)
    assert [await case.cache.find(ANN, name) for name in ("print", "another")] == [None, None]
    assert await case.cache.find(BOB, "print")
    assert await case.cache.find(EVE, "print")
    await case.cache.drop(ANN)
    await case.cache.keep(ANN, "print", CHUNKS)
    assert await case.cache.find(ANN, "print")


async def test_redis_keeps_no_name_of_what_has_run_out(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        await redis.zadd(key(ANN, "kept"), {"old": 1.0})
        await RedisReplyCache(redis, ttl=60).keep(ANN, "print", CHUNKS)
        assert await redis.zrange(key(ANN, "kept"), 0, -1) == [b"print"]
        assert 0 < await redis.ttl(key(ANN, "kept")) <= 60
        await RedisReplyCache(redis, ttl=60).drop(ANN)
        assert await redis.keys("*") == []
