"""How long a job waits before it is tried again: doubled each time, bounded, and stretched by chance."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from opentelemetry.trace import NoOpTracer

from chatacter.chassis.errors import ChatacterError, Unavailable, UpstreamFailed
from chattr.adapters.fakes.jobs import FakeJobs
from chattr.dispatcher import LONGEST_RETRY, Dispatcher, Pace
from chattr.domain.identity import Owner
from chattr.ports.jobs import JobError, Lease, NewJob
from chattr.usecases.filming import Report

pytestmark = pytest.mark.unit

ANNA = Owner("acme", "anna")


class Noted(FakeJobs):
    """Notes for how long a job is to wait, and lets it run again at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self.over = asyncio.Event()

    async def fail(self, lease: Lease, error: JobError, *, retry_after: float | None = None) -> None:
        self.waits.append(retry_after)
        await super().fail(lease, error, retry_after=None if retry_after is None else 0.0)
        if lease.job.attempts == lease.job.max_attempts:
            self.over.set()

    async def hand_back(self, lease: Lease, *, phase: str = "queued", delay: float | None = None) -> None:
        self.waits.append(delay)
        self.over.set()
        await super().hand_back(lease, phase=phase, delay=delay)


class Broken:
    """Work that always fails in one way."""

    def __init__(self, error: ChatacterError) -> None:
        self._error = error

    async def perform(self, lease: Lease, report: Report) -> Mapping[str, Any]:
        raise self._error

    async def discard(self, lease: Lease) -> None:
        """Nothing was put away."""


async def waits(error: ChatacterError, attempts: int = 1, **more: Callable[[], float]) -> list[float | None]:
    jobs, stopping = Noted(), asyncio.Event()
    await jobs.enqueue(ANNA, NewJob("video_1", "video", "svd", {}, {}, max_attempts=attempts))
    pace = Pace(lease=5, heartbeat=1, grace=1, retry=2.0)
    dispatcher = Dispatcher(jobs, Broken(error), worker="w", tracer=NoOpTracer(), pace=pace, **more)
    running = asyncio.create_task(dispatcher.run(stopping))
    async with asyncio.timeout(20):
        await jobs.over.wait()
    stopping.set()
    await running
    return jobs.waits


@pytest.mark.parametrize(("chance", "stretched"), [(0.0, 1.0), (0.5, 1.25), (1.0, 1.5)])
async def test_each_wait_is_twice_the_one_before_and_stretched(chance: float, stretched: float) -> None:
    found = await waits(UpstreamFailed("It broke."), 8, chance=lambda: chance)
    plain = [min(2.0 * 2**attempt, LONGEST_RETRY) for attempt in range(8)]
    assert found == pytest.approx([each * stretched for each in plain])


@pytest.mark.parametrize(("chance", "stretched"), [(0.0, 1.0), (1.0, 1.5)])
async def test_so_is_the_wait_for_a_predictor_that_is_away(chance: float, stretched: float) -> None:
    assert await waits(Unavailable("Nobody.", retry_after=4), chance=lambda: chance) == [4 * stretched]


async def test_what_failed_together_does_not_come_back_together() -> None:
    found = [(await waits(UpstreamFailed("It broke.")))[0] for _ in range(6)]
    assert len(set(found)) == 6
