"""Requests that a key may make: one suite over the fake and a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatacter.chassis.errors import Unavailable
from chattr.adapters.fakes.allowance import FakeRateLimiter
from chattr.adapters.redis_allowance import RedisRateLimiter
from chattr.adapters.redis_connection import connected
from chattr.domain.identity import Owner
from chattr.ports.allowance import Policy, RateLimiter
from tests.redis_server import free_port

pytestmark = pytest.mark.contract

ACME = Owner("acme")
EVIL = Owner("evil")
SLOW = Policy(3, 60.0)
QUICK = Policy(3, 0.3)


class Limiters:
    """Makes limiters of a kind."""

    def __init__(self, url: str | None) -> None:
        self.url = url

    async def each(self, policy: Policy) -> AsyncIterator[RateLimiter]:
        if self.url is None:
            yield FakeRateLimiter(policy)
            return
        async with connected(self.url) as redis:
            yield RedisRateLimiter(redis, policy)


@pytest.fixture(params=["fake", "redis"])
def limiters(request: pytest.FixtureRequest) -> Limiters:
    return Limiters(request.getfixturevalue("redis_url") if request.param == "redis" else None)


async def test_a_key_has_so_many_and_no_more(limiters: Limiters) -> None:
    async for limiter in limiters.each(SLOW):
        taken = [await limiter.take(ACME, "k") for _ in range(5)]
        assert [each.remaining for each in taken] == [2, 1, 0, 0, 0]
        assert [each.retry_after is None for each in taken] == [True, True, True, False, False]
        assert [round(each.reset, -1) for each in taken] == [20, 40, 60, 60, 60]
        assert all(each.retry_after is None or 19 < each.retry_after <= 20 for each in taken)


async def test_keys_and_tenants_have_their_own(limiters: Limiters) -> None:
    async for limiter in limiters.each(SLOW):
        for _ in range(4):
            await limiter.take(ACME, "k")
        assert (await limiter.take(ACME, "other")).retry_after is None
        assert (await limiter.take(EVIL, "k")).retry_after is None


async def test_a_request_comes_back_after_its_part_of_the_time(limiters: Limiters) -> None:
    async for limiter in limiters.each(QUICK):
        for _ in range(3):
            await limiter.take(ACME, "k")
        async with asyncio.timeout(5):
            while (again := await limiter.take(ACME, "k")).retry_after is not None:  # its clock is the limiter's own
                await asyncio.sleep(0.005)
        assert again.remaining == 0
        assert again.reset <= QUICK.seconds


async def test_twenty_at_a_time_get_three_together(limiters: Limiters) -> None:
    async for limiter in limiters.each(SLOW):
        taken = await asyncio.gather(*(limiter.take(ACME, "k") for _ in range(20)))
        assert sum(each.retry_after is None for each in taken) == 3


async def test_counts_that_are_away_say_so() -> None:
    fake = FakeRateLimiter(SLOW)
    fake.away = True
    async with connected(f"redis://127.0.0.1:{free_port()}") as redis:
        for limiter in (fake, RedisRateLimiter(redis, SLOW)):
            with pytest.raises(Unavailable):
                await limiter.take(ACME, "k")


async def test_a_key_that_is_not_used_leaves_nothing_behind(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        await RedisRateLimiter(redis, QUICK).take(ACME, "k")
        (name,) = await redis.keys("*rate*")
        assert 0 < await redis.pttl(name) <= 100
