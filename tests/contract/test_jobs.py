"""What holds for every store of jobs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from chatacter.chassis.errors import Conflict
from chattr.adapters.fakes.jobs import FakeJobs
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_jobs import RedisJobs
from chattr.domain.identity import Owner
from chattr.ports.jobs import Job, JobError, Jobs, Lease, LeaseLost, NewJob

pytestmark = pytest.mark.contract

ANNA = Owner("acme", "anna")
OTHER = Owner("other", "anna")
LONG = 60.0
SHORT = 0.05


@pytest.fixture(params=["fake", "redis"])
async def jobs(request: pytest.FixtureRequest) -> AsyncIterator[Jobs]:
    if request.param == "fake":
        yield FakeJobs()
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisJobs(redis)


def new(job_id: str = "video_1", model: str = "portrait", **changes: Any) -> NewJob:
    given: dict[str, Any] = {"id": job_id, "modality": "video", "model": model, "request": {"prompt": "Hello"}}
    return NewJob(**{**given, "carrier": {"traceparent": "00-1"}, **changes})


async def taken(jobs: Jobs, seconds: float = LONG, worker: str = "w1") -> Lease:
    lease = await jobs.lease("video", worker=worker, seconds=seconds)
    assert lease is not None
    return lease


async def stored(jobs: Jobs, job_id: str = "video_1") -> Job:
    job = await jobs.get(ANNA, job_id)
    assert job is not None
    return job


async def eventually(ask: Callable[[], Awaitable[Lease | None]]) -> Lease:
    async with asyncio.timeout(5):
        while True:
            if lease := await ask():
                return lease
            await asyncio.sleep(0.005)


async def test_a_job_is_stored_as_it_was_asked_for(jobs: Jobs) -> None:
    made = await jobs.enqueue(ANNA, new())
    assert made == await stored(jobs)
    assert (made.owner, made.status, made.phase, made.attempts, made.fence) == (ANNA, "queued", "queued", 0, 0)
    assert made.request == {"prompt": "Hello"}
    assert made.carrier == {"traceparent": "00-1"}
    assert made.created_at > 1_700_000_000


async def test_an_id_is_taken_once(jobs: Jobs) -> None:
    once = await jobs.enqueue(ANNA, new())
    assert await jobs.enqueue(ANNA, new()) == once  # as after an answer that was lost
    with pytest.raises(Conflict):
        await jobs.enqueue(ANNA, new(model="svd"))
    assert (await stored(jobs)).model == "portrait"
    assert await jobs.outstanding() == {("video", "portrait"): 1}


async def test_another_tenant_sees_nothing_of_it(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    assert await jobs.get(OTHER, "video_1") is None
    assert await jobs.list(OTHER, "video") == []
    assert await jobs.cancel(OTHER, "video_1") is None
    assert await jobs.delete(OTHER, "video_1") is None
    assert (await stored(jobs)).status == "queued"


async def test_the_whole_tenant_sees_it(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    assert await jobs.get(Owner("acme", "ben"), "video_1") is not None


async def test_jobs_are_listed_by_age_in_pages(jobs: Jobs) -> None:
    for number in range(5):
        await jobs.enqueue(ANNA, new(f"video_{number}"))
    newest = await jobs.list(ANNA, "video", limit=2)
    assert [job.id for job in newest] == ["video_4", "video_3"]
    assert [job.id for job in await jobs.list(ANNA, "video", after="video_3", limit=9)] == [
        "video_2",
        "video_1",
        "video_0",
    ]
    assert [job.id for job in await jobs.list(ANNA, "video", limit=2, order="asc")] == ["video_0", "video_1"]
    assert await jobs.list(ANNA, "speech") == []


async def test_the_oldest_is_leased_first_and_only_once(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new("video_a"))
    await jobs.enqueue(OTHER, new("video_b"))
    first, second = await taken(jobs), await taken(jobs, worker="w2")
    assert (first.job.id, second.job.id) == ("video_a", "video_b")
    assert second.job.owner == OTHER
    assert (first.job.status, first.job.attempts, first.fence) == ("running", 1, 1)
    assert await jobs.lease("video", worker="w3", seconds=LONG) is None


async def test_queues_of_modalities_are_apart(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    assert await jobs.lease("speech", worker="w1", seconds=LONG) is None


async def test_of_many_workers_one_wins(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    leases = await asyncio.gather(*(jobs.lease("video", worker=f"w{n}", seconds=LONG) for n in range(20)))
    assert sum(lease is not None for lease in leases) == 1


async def test_heartbeats_tell_progress_and_keep_the_lease(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    lease = await taken(jobs, seconds=2.0)
    for step in range(8):  # longer than the lease
        await jobs.heartbeat(lease, progress=step / 10, phase="filming")
        assert await jobs.lease("video", worker="w2", seconds=LONG) is None
        await asyncio.sleep(0.3)
    job = await stored(jobs)
    assert (job.status, job.phase, job.progress) == ("running", "filming", 0.7)


async def test_a_lease_that_runs_out_is_taken_up_again_and_its_fence_is_refused(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    stale = await taken(jobs, seconds=SHORT)
    fresh = await eventually(lambda: jobs.lease("video", worker="w2", seconds=LONG))
    assert (fresh.job.id, fresh.fence, fresh.job.attempts) == ("video_1", 2, 2)
    for late in (
        jobs.heartbeat(stale, progress=0.9, phase="filming"),
        jobs.complete(stale, {"asset": "late"}),
        jobs.fail(stale, JobError("late", "late")),
        jobs.hand_back(stale),
    ):
        with pytest.raises(LeaseLost):
            await late
    await jobs.complete(fresh, {"asset": "fresh"})
    with pytest.raises(LeaseLost):
        await jobs.complete(stale, {"asset": "late"})
    job = await stored(jobs)
    assert (job.status, job.result, job.progress) == ("completed", {"asset": "fresh"}, 1.0)


async def test_a_worker_that_is_late_and_alone_may_still_finish(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    lease = await taken(jobs, seconds=SHORT)
    await asyncio.sleep(2 * SHORT)
    await jobs.complete(lease, {"asset": "a"})
    assert (await stored(jobs)).status == "completed"
    assert await jobs.lease("video", worker="w2", seconds=LONG) is None


async def test_saying_completed_twice_is_one_publication(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    lease = await taken(jobs)
    await jobs.complete(lease, {"asset": "a"})
    once = await stored(jobs)
    await jobs.complete(lease, {"asset": "b"})
    assert await stored(jobs) == once


async def test_workers_that_die_again_and_again_fail_the_job(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new(max_attempts=2))
    for _ in range(2):
        await eventually(lambda: jobs.lease("video", worker="w", seconds=SHORT))
    await asyncio.sleep(2 * SHORT)
    assert await jobs.lease("video", worker="w", seconds=LONG) is None
    job = await stored(jobs)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.code == "worker_lost"
    assert job.ended_at is not None
    assert await jobs.outstanding() == {("video", "portrait"): 0}


async def test_a_failed_attempt_runs_again_after_its_delay(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    await jobs.fail(await taken(jobs), JobError("upstream_failed", "Lost."), retry_after=LONG)
    assert await jobs.lease("video", worker="w1", seconds=LONG) is None
    assert (await stored(jobs)).status == "queued"
    assert await jobs.outstanding() == {("video", "portrait"): 1}
    await jobs.enqueue(ANNA, new("video_2"))
    await jobs.fail(await taken(jobs), JobError("upstream_failed", "Lost."), retry_after=SHORT)
    again = await eventually(lambda: jobs.lease("video", worker="w1", seconds=LONG))
    assert (again.job.id, again.job.attempts, again.fence) == ("video_2", 2, 2)


async def test_a_failure_for_good_and_the_last_attempt_end_the_job(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    await jobs.enqueue(ANNA, new("video_2", max_attempts=1))
    await jobs.fail(await taken(jobs), JobError("not_found", "No such voice."))
    await jobs.fail(await taken(jobs), JobError("upstream_failed", "Lost."), retry_after=0.0)
    for job_id, code in (("video_1", "not_found"), ("video_2", "upstream_failed")):
        job = await stored(jobs, job_id)
        assert (job.status, job.error and job.error.code) == ("failed", code)
    assert await jobs.outstanding() == {("video", "portrait"): 0}


async def test_handed_back_it_keeps_its_place_and_its_attempts(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new("video_1"))
    await jobs.enqueue(ANNA, new("video_2"))
    await jobs.hand_back(await taken(jobs))
    again = await taken(jobs)
    assert (again.job.id, again.job.attempts, again.fence) == ("video_1", 1, 2)


async def test_handed_back_with_a_delay_it_lets_others_pass(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new("video_1"))
    await jobs.enqueue(ANNA, new("video_2"))
    await jobs.hand_back(await taken(jobs), phase="waiting_for_gpu", delay=LONG)
    assert (await taken(jobs)).job.id == "video_2"
    waiting = await stored(jobs)
    assert (waiting.status, waiting.phase) == ("queued", "waiting_for_gpu")


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_a_cancelled_job_ends_and_its_worker_is_told(jobs: Jobs, state: str) -> None:
    await jobs.enqueue(ANNA, new())
    lease = await taken(jobs) if state == "running" else None
    cancelled = await jobs.cancel(ANNA, "video_1")
    assert cancelled is not None
    assert cancelled.status == "cancelled"
    assert await jobs.lease("video", worker="w2", seconds=LONG) is None
    assert await jobs.outstanding() == {("video", "portrait"): 0}
    if lease:
        with pytest.raises(LeaseLost):
            await jobs.heartbeat(lease, progress=0.5, phase="filming")
        with pytest.raises(LeaseLost):
            await jobs.complete(lease, {})


async def test_cancelling_what_has_ended_changes_nothing(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new())
    await jobs.complete(await taken(jobs), {"asset": "a"})
    cancelled = await jobs.cancel(ANNA, "video_1")
    assert cancelled == await stored(jobs)
    assert cancelled.status == "completed"
    assert await jobs.cancel(ANNA, "video_9") is None


@pytest.mark.parametrize("state", ["queued", "running", "completed"])
async def test_a_deleted_job_leaves_nothing(jobs: Jobs, state: str) -> None:
    await jobs.enqueue(ANNA, new())
    lease = await taken(jobs) if state != "queued" else None
    if lease and state == "completed":
        await jobs.complete(lease, {"asset": "a"})
    was = await jobs.delete(ANNA, "video_1")
    assert was is not None
    assert was.status == state
    assert await jobs.get(ANNA, "video_1") is None
    assert await jobs.list(ANNA, "video") == []
    assert await jobs.lease("video", worker="w2", seconds=LONG) is None
    assert await jobs.outstanding() == {("video", "portrait"): 0}
    assert await jobs.delete(ANNA, "video_1") is None
    if lease:
        with pytest.raises(LeaseLost):
            await jobs.complete(lease, {})


async def test_outstanding_counts_queued_and_running_by_model(jobs: Jobs) -> None:
    await jobs.enqueue(ANNA, new("video_1"))
    await jobs.enqueue(OTHER, new("video_2"))
    await jobs.enqueue(ANNA, new("video_3", model="svd"))
    lease = await taken(jobs)
    assert await jobs.outstanding() == {("video", "portrait"): 2, ("video", "svd"): 1}
    await jobs.complete(lease, {})
    assert await jobs.outstanding() == {("video", "portrait"): 1, ("video", "svd"): 1}


async def test_waiting_ends_when_a_job_comes(jobs: Jobs) -> None:
    async with asyncio.timeout(20):
        waiting = asyncio.create_task(jobs.wait_for_work("video", 40))
        await asyncio.sleep(0)
        await jobs.enqueue(ANNA, new())
        await waiting


async def test_waiting_ends_without_a_job_too(jobs: Jobs) -> None:
    await jobs.wait_for_work("video", SHORT)
