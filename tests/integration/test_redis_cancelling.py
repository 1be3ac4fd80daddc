"""A task that is cancelled while it talks with Redis ends, in whatever moment the cancellation arrives."""

import asyncio

import pytest

from chattr.adapters.redis_connection import connected

pytestmark = pytest.mark.integration

# More turns of the loop than a command takes to send.
MOMENTS = 16


async def test_no_moment_swallows_a_cancellation(redis_url: str) -> None:
    async with connected(redis_url) as redis:

        async def wait() -> None:
            await redis.blpop(["nothing"], timeout=30)

        await redis.ping()
        for moments in [*range(MOMENTS)] * 8:
            task = asyncio.create_task(wait())
            for _ in range(moments):
                await asyncio.sleep(0)
            assert task.cancel()
            done, _ = await asyncio.wait([task], timeout=10.0)
            assert done, f"cancelled after {moments} turns of the loop, it runs on"
            assert task.cancelled()
