"""What holds for every counter of requests in flight."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatacter.chassis.errors import Busy, ChatacterError, NotFound
from chattr.adapters.fakes.demand import FakeDemand
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_demand import RedisDemand
from chattr.ports.demand import Demand
from chattr.ports.jobs import Modality
from tests.redis_server import started

pytestmark = pytest.mark.contract

KOKORO: tuple[Modality, str] = ("speech", "kokoro")


@pytest.fixture(params=["fake", "redis"])
async def demand(request: pytest.FixtureRequest) -> AsyncIterator[Demand]:
    if request.param == "fake":
        yield FakeDemand()
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisDemand(redis)


async def test_demand_rises_with_each_request_and_falls_after_it(demand: Demand) -> None:
    assert not any((await demand.outstanding()).values())
    async with demand.holding("speech", "kokoro"):
        async with demand.holding("speech", "kokoro"), demand.holding("video", "portrait"):
            assert await demand.outstanding() == {KOKORO: 2, ("video", "portrait"): 1}
        assert (await demand.outstanding())[KOKORO] == 1
    assert not any((await demand.outstanding()).values())


async def test_it_falls_also_when_the_request_fails_or_is_cancelled(demand: Demand) -> None:
    async def held(inside: asyncio.Event) -> None:
        async with demand.holding("speech", "kokoro"):
            inside.set()
            await asyncio.Event().wait()

    inside = asyncio.Event()
    task = asyncio.create_task(held(inside))
    await inside.wait()
    assert (await demand.outstanding())[KOKORO] == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not any((await demand.outstanding()).values())


@pytest.mark.parametrize(("error", "counts"), [(Busy("Full."), 1), (NotFound("No such voice."), 0)])
async def test_a_request_that_found_nobody_still_calls_for_a_replica(
    demand: Demand, error: ChatacterError, counts: int
) -> None:
    with pytest.raises(type(error)):
        async with demand.holding("speech", "kokoro"):
            raise error
    assert (await demand.outstanding()).get(KOKORO, 0) == counts


async def test_and_stops_calling_after_a_while(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        demand = RedisDemand(redis, linger=0.3)
        for _ in range(5):  # however often it is asked
            with pytest.raises(Busy):
                async with demand.holding("speech", "kokoro"):
                    raise Busy("Full.")
        assert await demand.outstanding() == {KOKORO: 1}
        async with asyncio.timeout(5):
            while await demand.outstanding():
                await asyncio.sleep(0.01)


async def test_one_truth_for_all_processes(redis_url: str) -> None:
    async with connected(redis_url) as one, connected(redis_url) as other, RedisDemand(one).holding("speech", "kokoro"):
        assert await RedisDemand(other).outstanding() == {KOKORO: 1}


async def test_a_request_is_counted_as_long_as_it_lasts(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        demand = RedisDemand(redis, ttl=0.15)
        async with demand.holding("speech", "kokoro"):
            for _ in range(10):  # several times its ticket's life
                assert await demand.outstanding() == {KOKORO: 1}
                await asyncio.sleep(0.04)


async def test_a_dead_process_is_counted_out(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        demand = RedisDemand(redis, ttl=0.1)
        await demand._renew("speech/kokoro", "of a process that died", 0.1)
        assert await demand.outstanding() == {KOKORO: 1}
        async with asyncio.timeout(5):
            while await demand.outstanding():
                await asyncio.sleep(0.01)


async def test_a_store_that_is_away_stops_nobody() -> None:
    with started() as server:
        async with connected(server.url) as redis:
            server.kill()
            async with RedisDemand(redis).holding("speech", "kokoro"):
                pass
