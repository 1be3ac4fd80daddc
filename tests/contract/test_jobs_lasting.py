"""Jobs that take long, come from an older version, or meet a disk that is late: for every store of jobs."""

import asyncio
import time
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from chatacter.chassis.errors import NotFound, Unavailable
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_job_log import RedisJobLog
from chattr.adapters.redis_jobs import NotOnDisk, RedisJobs
from chattr.adapters.redis_jobs_records import base_key, events_key, index_key, record_key, slot_key, slots_key
from chattr.ports.jobs import SCHEMA, JobError
from tests.contract.test_jobs import ANNA, LONG, SHORT, eventually, jobs, new, stored, taken

pytestmark = pytest.mark.contract
__all__ = ["jobs"]

LOST = JobError("upstream_failed", "Lost.")


@pytest.mark.parametrize("end", ["handed back", "failed", "lost"])
async def test_what_has_begun_in_time_may_be_taken_up_again_at_any_time(jobs: Any, end: str) -> None:
    await jobs.enqueue(ANNA, new(expires_in=2.0))
    lease = await taken(jobs, seconds=SHORT if end == "lost" else LONG)
    if end == "handed back":
        await jobs.hand_back(lease)
    elif end == "failed":
        await jobs.fail(lease, LOST, retry_after=0.6)
    else:
        await asyncio.sleep(2 * SHORT)
        await jobs.hand_back(await taken(jobs))
    await asyncio.sleep(2.1)
    again = await eventually(lambda: jobs.lease("video", worker="w2", seconds=LONG))
    assert again.job.id == "video_1"
    assert again.job.expires_at is None


async def test_what_could_not_begin_still_expires(jobs: Any) -> None:
    await jobs.enqueue(ANNA, new(expires_in=2.0))
    await jobs.hand_back(await taken(jobs), phase="waiting_for_gpu", delay=0.05)
    await asyncio.sleep(2.1)
    assert await jobs.lease("video", worker="w", seconds=LONG) is None
    assert (await stored(jobs)).status == "failed"


async def test_a_job_tells_since_when_it_waits_for_a_predictor(jobs: Any) -> None:
    made = await jobs.enqueue(ANNA, new())
    assert made.waiting_since is None
    await jobs.hand_back(await taken(jobs), phase="waiting_for_gpu", delay=0.0)
    first = (await stored(jobs)).waiting_since
    assert first is not None
    again = await eventually(lambda: jobs.lease("video", worker="w", seconds=LONG))
    await jobs.hand_back(again, phase="waiting_for_gpu", delay=0.0)
    assert (await stored(jobs)).waiting_since == first
    await jobs.fail(await eventually(lambda: jobs.lease("video", worker="w", seconds=LONG)), LOST)
    assert (await jobs.retry(ANNA, "video_1")).waiting_since is None


async def test_only_what_has_ended_is_removed_where_that_is_asked_for(jobs: Any) -> None:
    await jobs.enqueue(ANNA, new())
    assert await jobs.delete(ANNA, "video_1", only_ended=True) is None
    lease = await taken(jobs)
    assert await jobs.delete(ANNA, "video_1", only_ended=True) is None
    await jobs.complete(lease, {})
    assert await jobs.delete(ANNA, "video_1", only_ended=True) is not None
    assert await jobs.get(ANNA, "video_1") is None


async def test_of_an_ended_job_only_the_last_steps_are_kept(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        store, log = RedisJobs(redis), RedisJobLog(redis, block_ms=50)
        await store.enqueue(ANNA, new())
        lease = await taken(store)
        for step in range(60):
            await store.heartbeat(lease, progress=step / 100, phase="filming")
        await store.complete(lease, {})
        told = [event async for event in log.follow(ANNA, "video_1") if event]
        assert (len(told), told[-1].status) == (16, "completed")
        assert [event async for event in log.follow(ANNA, "video_1", told[-1].id)] == []
        assert await redis.xlen(events_key(ANNA, "video_1")) == 16


async def older(redis: Redis, job_id: str, state: str, at: int) -> None:
    """Store a job as the version before turns and priorities did."""
    spec: dict[str, Any] = {"schema": SCHEMA, "id": job_id, "tenant": ANNA.tenant, "person": ANNA.person}
    spec |= {"modality": "video", "model": "portrait", "request": {}, "carrier": {}, "max_attempts": 3}
    record, slot = record_key(ANNA, job_id), slot_key("video", "portrait")
    fields: dict[Any, Any] = {"spec": orjson.dumps(spec), "status": state, "phase": state, "progress": "0"}
    fields |= {"attempts": 1, "max_attempts": 3, "fence": 1, "created": at, "started": at, "worker": "w", "slot": slot}
    await redis.hset(record, mapping=fields)
    await redis.zadd(index_key(ANNA, "video"), {job_id: at})
    await redis.sadd(slot, record)
    await redis.hset(slots_key(), "video/portrait", slot)
    await redis.zadd(f"{base_key('video')}:{'queued' if state == 'queued' else 'leased'}", {record: at})


async def test_jobs_of_the_version_before_are_seen_through(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        for number, state in enumerate(["queued", "running", "queued", "queued"]):
            await older(redis, f"video_{number}", state, 1_700_000_000_000_000 + number)
        store = RedisJobs(redis)
        listed = await store.list(ANNA, "video", order="asc")
        assert [(job.priority, job.weight) for job in listed] == [("normal", 1.0)] * 4
        assert await store.outlook(ANNA, "video_0") is not None
        await store.cancel(ANNA, "video_2")
        await store.delete(ANNA, "video_3")
        for _ in range(2):
            await store.complete(await taken(store), {})
        assert await store.lease("video", worker="w", seconds=LONG) is None
        ended = [job.status for job in await store.list(ANNA, "video", order="asc")]
        assert ended == ["completed", "completed", "cancelled"]


class Late(RedisJobs):
    """Has a disk that is late with everything."""

    late = True

    async def _kept(self, *given: Any) -> Any:
        answer = await super()._kept(*given)
        if self.late:
            raise NotOnDisk(answer)
        return answer


async def test_a_lease_that_is_not_on_disk_in_time_is_handed_back(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        await RedisJobs(redis).enqueue(ANNA, new())
        store = Late(redis)
        with pytest.raises(Unavailable):
            await store.lease("video", worker="w", seconds=LONG)
        store.late = False
        lease = await taken(store)
        assert (lease.job.attempts, lease.fence) == (1, 2)


async def test_what_was_leased_and_is_not_on_disk_has_not_begun(redis_url: str) -> None:
    """It still expires, and the wait for its predictor goes on."""
    async with connected(redis_url) as redis:
        jobs = RedisJobs(redis)
        await jobs.enqueue(ANNA, new(expires_in=LONG))
        await jobs.hand_back(await taken(jobs), phase="waiting_for_gpu", delay=0.0)
        before = await stored(jobs)
        with pytest.raises(Unavailable):
            await Late(redis).lease("video", worker="w", seconds=LONG)
        after = await stored(jobs)
        assert (after.status, after.attempts) == ("queued", 0)
        assert (after.expires_at, after.waiting_since) == (before.expires_at, before.waiting_since)
        assert None not in {after.expires_at, after.waiting_since}
        assert await redis.zcard(f"{base_key('video')}:expiring") == 1


async def test_what_could_not_be_handed_back_either_is_asked_for_again(redis_url: str) -> None:
    async def cut(**_: Any) -> None:
        raise RedisConnectionError

    async with connected(redis_url) as redis:
        await RedisJobs(redis).enqueue(ANNA, new())
        store: Any = Late(redis)
        store._hand_back = cut
        with pytest.raises(Unavailable):
            await store.lease("video", worker="w", seconds=LONG)
        assert (await stored(store)).status == "running"
        store.late = False
        lease = await taken(store, worker="w")
        assert (lease.job.attempts, lease.fence) == (1, 1)


class Deaf(RedisJobs):
    """Hears no answer to what it has written."""

    deaf = True

    async def _kept(self, *given: Any) -> Any:
        answer = await super()._kept(*given)
        if self.deaf:
            raise Unavailable("Redis was lost in the middle of its answer.")
        return answer


async def test_a_lease_whose_answer_was_lost_is_given_again(redis_url: str) -> None:
    """Otherwise its job would wait for the end of a lease that nobody knows of, and have lost an attempt."""

    async with connected(redis_url) as redis:
        for job_id in ("video_1", "video_2"):
            await RedisJobs(redis).enqueue(ANNA, new(job_id))
        store = Deaf(redis)
        with pytest.raises(Unavailable):
            await store.lease("video", worker="w", seconds=LONG)
        store.deaf = False
        again = await taken(store, worker="w")
        assert (again.job.id, again.job.attempts, again.fence) == ("video_1", 1, 1)
        assert (await taken(store, worker="w")).job.id == "video_2"
        await store.heartbeat(again, progress=0.5, phase="filming")
        assert await store.attempts(ANNA, "video_1") == []


async def test_answers_may_be_lost_again_and_again(redis_url: str) -> None:
    """What it was given is remembered for as long as the lease lasts, which each asking prolongs."""
    async with connected(redis_url) as redis:
        await RedisJobs(redis).enqueue(ANNA, new())
        store = Deaf(redis)
        with pytest.raises(Unavailable):
            await store.lease("video", worker="w", seconds=LONG)
        (asked,) = [name async for name in redis.scan_iter("*:asked:*")]
        await redis.pexpire(asked, 20_000)
        with pytest.raises(Unavailable):
            await store.lease("video", worker="w", seconds=LONG)
        assert await redis.pttl(asked) > 20_000
        store.deaf = False
        again = await taken(store, worker="w")
        assert (again.job.attempts, again.fence) == (1, 1)


async def test_a_lease_whose_answer_was_lost_may_have_run_out_since(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        await RedisJobs(redis).enqueue(ANNA, new())
        store = Deaf(redis)
        with pytest.raises(Unavailable):
            await store.lease("video", worker="w", seconds=SHORT)
        other = await eventually(lambda: RedisJobs(redis).lease("video", worker="w2", seconds=LONG))
        store.deaf = False
        assert await store.lease("video", worker="w", seconds=LONG) is None
        assert other.fence == 2


async def test_what_time_does_is_done_without_anybody_who_has_time(jobs: Any) -> None:
    """Every dispatcher may be busy for long: what nobody began in time has failed all the same, and what was lost waits
    in its old place."""
    await jobs.enqueue(ANNA, new("video_lost"))
    await taken(jobs, seconds=SHORT)
    await jobs.enqueue(ANNA, new("video_next"))
    await jobs.enqueue(ANNA, new("video_late", expires_in=SHORT))
    await jobs.enqueue(ANNA, new("video_cold", expires_in=SHORT))
    await asyncio.sleep(2 * SHORT)
    assert (await stored(jobs, "video_late")).status == "queued"
    await jobs.sweep("speech")
    assert (await stored(jobs, "video_lost")).status == "running"
    await jobs.sweep("video")
    late, lost = await stored(jobs, "video_late"), await stored(jobs, "video_lost")
    assert (late.status, late.error and late.error.code) == ("failed", "expired")
    assert (lost.status, lost.attempts) == ("queued", 1)
    assert (await taken(jobs)).job.id == "video_lost"
    assert await jobs.outstanding() == {("video", "portrait"): 2}


async def test_what_an_older_replica_left_among_what_expires_is_let_be(redis_url: str) -> None:
    """During an update it leases, ends and removes jobs, and takes none of them out of there."""
    async with connected(redis_url) as redis:
        store, names = RedisJobs(redis), ["video_done", "video_begun", "video_runs", "video_gone"]
        for name in names:
            await store.enqueue(ANNA, new(name, expires_in=LONG))
        await store.delete(ANNA, "video_gone")
        await store.complete(await taken(store), {})
        begun = await taken(store)
        await taken(store)
        await store.hand_back(begun)
        expiring = f"{base_key('video')}:expiring"
        await redis.zadd(expiring, {record_key(ANNA, name): 1 for name in names})
        await store.sweep("video")
        told = [(await stored(store, name)).status for name in names[:3]]
        assert told == ["completed", "queued", "running"]
        assert await redis.zcard(expiring) == 0


async def test_a_wait_for_a_predictor_ends_when_a_job_expires(jobs: Any) -> None:
    await jobs.enqueue(ANNA, new(expires_in=2.0))
    await jobs.hand_back(await taken(jobs), phase="waiting_for_gpu", delay=LONG)
    await asyncio.sleep(2.1)
    await jobs.sweep("video")
    assert (await stored(jobs)).status == "failed"


async def test_what_runs_does_not_expire(jobs: Any) -> None:
    await jobs.enqueue(ANNA, new(expires_in=2.0))
    await taken(jobs)
    await asyncio.sleep(2.1)
    await jobs.sweep("video")
    assert (await stored(jobs)).status == "running"


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_go_on_though_their_last_job_was_removed(jobs: Any, order: Any) -> None:
    """Who lists jobs and removes them as it goes meets each once."""
    for number in range(7):
        await jobs.enqueue(ANNA, new(f"video_{number}"))
    seen, after = [], None
    while page := await jobs.list(ANNA, "video", after=after, limit=2, order=order):
        seen += [job.id for job in page]
        after = page[-1].id
        await jobs.delete(ANNA, after)
    everything = [f"video_{number}" for number in range(7)]
    assert seen == (everything if order == "asc" else everything[::-1])


async def test_failed_jobs_are_removed_page_by_page_too(jobs: Any) -> None:
    for number in range(4):
        await jobs.enqueue(ANNA, new(f"video_{number}"))
        await jobs.fail(await taken(jobs), LOST)
    first = await jobs.list(ANNA, "video", limit=2, failed=True)
    await jobs.delete(ANNA, first[-1].id)
    rest = await jobs.list(ANNA, "video", after=first[-1].id, failed=True)
    assert [job.id for job in [*first, *rest]] == ["video_3", "video_2", "video_1", "video_0"]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_failed_jobs_are_tried_again_page_by_page(jobs: Any, order: Any) -> None:
    names = [f"video_{number}" for number in range(6)]
    for name in names:
        await jobs.enqueue(ANNA, new(name))
        await jobs.fail(await taken(jobs), LOST)
    seen, after = [], None
    while page := await jobs.list(ANNA, "video", after=after, limit=2, order=order, failed=True):
        seen += [job.id for job in page]
        after = page[-1].id
        for job in page:
            await jobs.retry(ANNA, job.id)
    assert seen == (names if order == "asc" else names[::-1])
    await jobs.delete(ANNA, after)
    assert await jobs.list(ANNA, "video", after=after, failed=True, order=order) == []


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_what_failed_in_one_moment_is_met_once(jobs: Any, order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"video_{number}" for number in range(7)]
    for name in names:
        await jobs.enqueue(ANNA, new(name, expires_in=SHORT))
    await asyncio.sleep(2 * SHORT)
    with monkeypatch.context() as stopped:
        now = time.time()
        stopped.setattr(time, "time", lambda: now)
        await jobs.sweep("video")
    assert len({job.ended_at for job in await jobs.list(ANNA, "video", failed=True)}) == 1
    seen, after = [], None
    while page := await jobs.list(ANNA, "video", after=after, limit=2, order=order, failed=True):
        seen += [job.id for job in page]
        after = page[-1].id
        await jobs.delete(ANNA, after)
    assert seen == (names if order == "asc" else names[::-1])


async def test_a_page_after_nothing_is_a_mistake(jobs: Any) -> None:
    await jobs.enqueue(ANNA, new())
    with pytest.raises(NotFound):
        await jobs.list(ANNA, "video", after="video_9")
    with pytest.raises(NotFound):
        await jobs.list(ANNA, "speech", after="video_1")
