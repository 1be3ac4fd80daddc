"""Whose turn it is, what is learnt from jobs, what happens to them as told to others: for every store of jobs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound
from chattr.adapters.fakes.jobs import FakeJobs
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_job_log import RedisJobLog
from chattr.adapters.redis_jobs import RedisJobs
from chattr.domain.identity import Owner
from chattr.ports.jobs import Job, JobError, JobEvent, JobLog, Jobs, Lease, NewJob, Token

pytestmark = pytest.mark.contract

ACME, BETA, CORP = Owner("acme", "anna"), Owner("beta", "ben"), Owner("corp", "cleo")
LONG, SHORT = 60.0, 0.05
LOST = JobError("upstream_failed", "Lost.")


class Shop:
    """A store, its log, and others like it with another limit on the same data where that is possible."""

    def __init__(self, store: Callable[[int], Jobs], log: Callable[[Jobs], JobLog]) -> None:
        self._store = store
        self._log = log
        self.jobs: Any = store(0)
        self.log = log(self.jobs)

    def limited(self, most_a_tenant: int) -> None:
        self.jobs = self._store(most_a_tenant)
        self.log = self._log(self.jobs)

    async def order(self, owner: Owner, *ids: str, **changes: Any) -> None:
        for job_id in ids:
            await self.jobs.enqueue(owner, new(job_id, **changes))

    async def taken(self, seconds: float = LONG, worker: str = "w1") -> Lease:
        lease = await self.jobs.lease("video", worker=worker, seconds=seconds)
        assert lease is not None
        return lease  # type: ignore[no-any-return]

    async def ids(self, number: int) -> list[str]:
        return [(await self.taken()).job.id for _ in range(number)]

    async def job(self, job_id: str, owner: Owner = ACME) -> Job:
        job = await self.jobs.get(owner, job_id)
        assert job is not None
        return job  # type: ignore[no-any-return]

    async def told(self, job_id: str, after: str | None = None) -> list[JobEvent]:
        async with asyncio.timeout(10):
            return [event async for event in self.log.follow(ACME, job_id, after) if event is not None]


def new(job_id: str, model: str = "portrait", **changes: Any) -> NewJob:
    given: dict[str, Any] = {"id": job_id, "modality": "video", "model": model, "request": {"prompt": "Hello"}}
    return NewJob(**{**given, "carrier": {}, **changes})


@pytest.fixture(params=["fake", "redis"])
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            yield Shop(lambda most: FakeJobs(most_a_tenant=most), lambda jobs: jobs)  # type: ignore[arg-type,return-value]
            return
        redis = await stack.enter_async_context(connected(request.getfixturevalue("redis_url")))
        log = RedisJobLog(redis, block_ms=50)
        yield Shop(lambda most: RedisJobs(redis, most_a_tenant=most), lambda _: log)


async def test_a_tenant_with_one_job_does_not_wait_for_another_s_hundred(shop: Shop) -> None:
    await shop.order(ACME, *(f"a{number}" for number in range(100)))
    await shop.order(BETA, "b0", "b1")
    await shop.order(CORP, "c0")
    assert await shop.ids(6) == ["a0", "b0", "c0", "a1", "b1", "a2"]


async def test_turns_go_round_when_one_place_is_free_at_a_time(shop: Shop) -> None:
    await shop.order(ACME, "a0", "a1", "a2")
    await shop.order(BETA, "b0", "b1", "b2")
    order = []
    for _ in range(6):
        lease = await shop.taken()
        order.append(lease.job.id)
        await shop.jobs.complete(lease, {})
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_who_has_fewer_running_comes_first(shop: Shop) -> None:
    await shop.order(ACME, "a0", "a1", "a2", "a3")
    assert await shop.ids(3) == ["a0", "a1", "a2"]
    await shop.order(BETA, "b0", "b1")
    assert await shop.ids(3) == ["b0", "b1", "a3"]


async def test_priorities_order_a_tenant_s_own_jobs(shop: Shop) -> None:
    await shop.order(ACME, "low", priority="low")
    await shop.order(ACME, "n0", "n1")
    await shop.order(ACME, "h0", "h1", priority="high")
    await shop.order(BETA, "b0", priority="low")  # another's priorities are its own matter
    assert await shop.ids(6) == ["h0", "b0", "h1", "n0", "n1", "low"]


async def test_no_tenant_has_more_running_than_it_may(shop: Shop) -> None:
    shop.limited(2)
    await shop.order(ACME, "a0", "a1", "a2")
    first, second = await shop.taken(), await shop.taken()
    assert await shop.jobs.lease("video", worker="w", seconds=LONG) is None
    await shop.order(BETA, "b0")
    assert await shop.ids(1) == ["b0"]
    await shop.jobs.complete(first, {})
    assert await shop.ids(1) == ["a2"]
    await shop.jobs.fail(second, LOST)
    assert await shop.jobs.lease("video", worker="w", seconds=LONG) is None  # nothing is left


async def test_a_lost_worker_s_place_under_the_limit_is_free_again(shop: Shop) -> None:
    shop.limited(1)
    await shop.order(ACME, "a0", "a1")
    await shop.taken(seconds=SHORT)
    async with asyncio.timeout(5):
        while (lease := await shop.jobs.lease("video", worker="w2", seconds=LONG)) is None:
            await asyncio.sleep(0.01)
    assert lease.job.id == "a0"


async def test_what_nobody_began_in_time_fails(shop: Shop) -> None:
    await shop.order(ACME, "late", expires_in=SHORT)
    await shop.order(ACME, "patient", expires_in=LONG)
    assert (await shop.job("patient")).expires_at is not None
    await asyncio.sleep(2 * SHORT)
    assert await shop.ids(1) == ["patient"]
    late = await shop.job("late")
    assert (late.status, late.error and late.error.code) == ("failed", "expired")
    assert await shop.jobs.outstanding() == {("video", "portrait"): 1}


async def test_what_has_begun_in_time_is_finished(shop: Shop) -> None:
    await shop.order(ACME, "slow", expires_in=0.3)
    lease = await shop.taken()
    await asyncio.sleep(0.4)
    await shop.jobs.heartbeat(lease, progress=0.5, phase="filming")
    await shop.jobs.complete(lease, {})
    assert (await shop.job("slow")).status == "completed"


async def test_a_token_names_one_job(shop: Shop) -> None:
    token = Token("key", "print")
    first = await shop.jobs.enqueue(ACME, new("a0", token=token))
    again = await shop.jobs.enqueue(ACME, new("a1", token=token))
    assert again == first
    assert await shop.jobs.get(ACME, "a1") is None
    with pytest.raises(InvalidInput):
        await shop.jobs.enqueue(ACME, new("a2", token=Token("key", "another")))
    other = await shop.jobs.enqueue(BETA, new("b0", token=token))
    assert other.id == "b0"
    await shop.jobs.delete(ACME, "a0")
    assert (await shop.jobs.enqueue(ACME, new("a3", token=token))).id == "a3"
    assert await shop.jobs.outstanding() == {("video", "portrait"): 2}


async def test_of_many_with_one_token_one_is_made(shop: Shop) -> None:
    token = Token("key", "print")
    made = await asyncio.gather(*(shop.jobs.enqueue(ACME, new(f"a{n}", token=token)) for n in range(20)))
    assert len({job.id for job in made}) == 1
    assert len(await shop.jobs.list(ACME, "video")) == 1


async def test_dead_letters_are_listed_inspected_and_tried_again(shop: Shop) -> None:
    await shop.order(ACME, "a0", "a1", "a2", max_attempts=2)
    for error in (LOST, JobError("not_found", "No such voice.")):
        await shop.jobs.fail(await shop.taken(), error, retry_after=0.0)
        await shop.jobs.fail(await shop.taken(), error, retry_after=0.0)
    dead = await shop.jobs.list(ACME, "video", failed=True)
    assert [(job.id, job.error.code) for job in dead] == [("a1", "not_found"), ("a0", "upstream_failed")]
    assert [job.id for job in await shop.jobs.list(ACME, "video", failed=True, after="a1")] == ["a0"]
    assert await shop.jobs.list(BETA, "video", failed=True) == []
    attempts = await shop.jobs.attempts(ACME, "a0")
    assert [(each.fence, each.worker, each.outcome, each.error) for each in attempts] == [
        (1, "w1", "failed", LOST),
        (2, "w1", "failed", LOST),
    ]
    assert all(each.started_at <= each.ended_at for each in attempts)
    again = await shop.jobs.retry(ACME, "a0")
    assert (again.status, again.attempts, again.fence, again.error, again.ended_at) == ("queued", 0, 2, None, None)
    assert [job.id for job in await shop.jobs.list(ACME, "video", failed=True)] == ["a1"]
    assert await shop.jobs.outstanding() == {("video", "portrait"): 2}
    assert await shop.ids(2) == ["a2", "a0"]
    assert (await shop.job("a0")).fence == 3  # what the dead leases still say is refused


async def test_only_what_failed_or_was_cancelled_is_tried_again(shop: Shop) -> None:
    await shop.order(ACME, "a0", "a1")
    with pytest.raises(Conflict):
        await shop.jobs.retry(ACME, "a0")
    lease = await shop.taken()
    with pytest.raises(Conflict):
        await shop.jobs.retry(ACME, "a0")
    await shop.jobs.complete(lease, {"asset": "a"})
    with pytest.raises(Conflict):
        await shop.jobs.retry(ACME, "a0")
    await shop.jobs.cancel(ACME, "a1")
    assert (await shop.jobs.retry(ACME, "a1")).status == "queued"
    assert await shop.jobs.retry(BETA, "a1") is None
    assert await shop.jobs.retry(ACME, "a9") is None


async def test_attempts_tell_how_each_ended(shop: Shop) -> None:
    await shop.order(ACME, "a0")
    await shop.jobs.hand_back(await shop.taken(worker="w1"))
    await shop.taken(seconds=SHORT, worker="w2")
    async with asyncio.timeout(5):
        while (lease := await shop.jobs.lease("video", worker="w3", seconds=LONG)) is None:
            await asyncio.sleep(0.01)
    await shop.jobs.complete(lease, {})
    ended = [(each.worker, each.outcome) for each in await shop.jobs.attempts(ACME, "a0")]
    assert ended == [("w1", "handed_back"), ("w2", "worker_lost"), ("w3", "completed")]


async def test_the_outlook_counts_what_is_ahead(shop: Shop) -> None:
    await shop.order(ACME, "a0", "a1", "a2")
    await shop.order(BETA, "b0")
    ahead = [(await shop.jobs.outlook(ACME, job_id)).ahead for job_id in ("a0", "a1", "a2")]
    assert ahead == [0, 2, 3]
    assert (await shop.jobs.outlook(BETA, "b0")).ahead in {0, 1}
    assert await shop.jobs.outlook(BETA, "a0") is None
    lease = await shop.taken()
    running = await shop.jobs.outlook(ACME, lease.job.id)
    assert (running.ahead, running.running) == (None, 1)


async def test_the_outlook_is_what_comes_true(shop: Shop) -> None:
    await shop.order(ACME, *(f"a{number}" for number in range(4)))
    await shop.order(BETA, *(f"b{number}" for number in range(7)))
    await shop.order(CORP, "c0")
    owners = {"a": ACME, "b": BETA, "c": CORP}
    names = [f"a{n}" for n in range(4)] + [f"b{n}" for n in range(7)] + ["c0"]
    told = {name: (await shop.jobs.outlook(owners[name[0]], name)).ahead for name in names}
    order = []
    for _ in names:
        lease = await shop.taken()
        order.append(lease.job.id)
        await shop.jobs.complete(lease, {})
    for place, name in enumerate(order):  # who of equals goes first is the store's own business
        assert abs(told[name] - place) <= 2, (name, told[name], place)


async def test_durations_are_learnt_by_model_and_weight(shop: Shop) -> None:
    await shop.order(ACME, "a0", weight=10.0)
    lease = await shop.taken()
    await asyncio.sleep(0.1)
    await shop.jobs.complete(lease, {})
    await shop.order(ACME, "a1")
    await shop.order(ACME, "a2", model="svd")
    found, other = await shop.jobs.outlook(ACME, "a1"), await shop.jobs.outlook(ACME, "a2")
    assert len(found.durations) == 1
    assert 0.009 < found.durations[0] < 0.1
    assert (len(other.durations), len(other.others)) == (0, 1)
    assert found.others[0] == pytest.approx(10 * found.durations[0], rel=0.01)


async def test_only_the_last_durations_count(shop: Shop) -> None:
    for number in range(70):
        await shop.order(ACME, f"a{number}")
        await shop.jobs.complete(await shop.taken(), {})
    await shop.order(ACME, "last")
    found = await shop.jobs.outlook(ACME, "last")
    assert (len(found.durations), len(found.others)) == (64, 64)


async def test_a_job_s_steps_are_told_in_order(shop: Shop) -> None:
    await shop.order(ACME, "a0")
    lease = await shop.taken()
    await shop.jobs.heartbeat(lease, progress=0.25, phase="filming")
    await shop.jobs.heartbeat(lease, progress=0.25, phase="filming")  # nothing new
    await shop.jobs.complete(lease, {})
    told = await shop.told("a0")
    assert [(event.status, event.phase, event.progress) for event in told] == [
        ("queued", "queued", 0.0),
        ("running", "starting", 0.0),
        ("running", "filming", 0.25),
        ("completed", "completed", 1.0),
    ]
    assert len({event.id for event in told}) == 4
    assert await shop.told("a0", after=told[1].id) == told[2:]
    assert await shop.told("a0", after=told[3].id) == []


async def test_steps_are_told_as_they_happen(shop: Shop) -> None:
    await shop.order(ACME, "a0")
    heard: list[str] = []

    async def listen() -> None:
        async for event in shop.log.follow(ACME, "a0"):
            phase = event.phase if event else "-"
            heard.append(phase)

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(10):
        while "-" not in heard:
            await asyncio.sleep(0.01)
        lease = await shop.taken()
        while heard[-1] == "-" and "starting" not in heard:
            await asyncio.sleep(0.01)
        await shop.jobs.fail(lease, LOST)
        await listening
    assert [phase for phase in heard if phase != "-"] == ["queued", "starting", "failed"]


async def test_a_deleted_job_s_followers_learn_of_it(shop: Shop) -> None:
    await shop.order(ACME, "a0")
    listening = asyncio.create_task(shop.told("a0"))
    await asyncio.sleep(0.1)
    await shop.jobs.delete(ACME, "a0")
    assert [event.status for event in await listening] == ["queued", "deleted"]


async def test_a_job_that_is_tried_again_goes_on_in_its_log(shop: Shop) -> None:
    await shop.order(ACME, "a0")
    await shop.jobs.cancel(ACME, "a0")
    first = await shop.told("a0")
    await shop.jobs.retry(ACME, "a0")
    await shop.jobs.complete(await shop.taken(), {})
    assert [event.status for event in await shop.told("a0", after=first[-1].id)] == ["queued", "running", "completed"]


async def test_another_tenant_hears_nothing(shop: Shop) -> None:
    await shop.order(ACME, "a0")
    with pytest.raises(NotFound):
        await anext(shop.log.follow(BETA, "a0"))
    with pytest.raises(InvalidInput):
        await anext(shop.log.follow(ACME, "a0", after="+; DEL"))


async def test_what_ended_long_ago_is_found_for_all_tenants(shop: Shop) -> None:
    await shop.order(ACME, "a0", "a1")
    await shop.order(BETA, "b0")
    for _ in range(2):
        await shop.jobs.complete(await shop.taken(), {})
    now = (await shop.jobs.outlook(ACME, "a1")).now + 1
    over = await shop.jobs.ended("video", before=now)
    assert [(job.owner.tenant, job.id) for job in over] == [("acme", "a0"), ("beta", "b0")]
    assert [job.id for job in await shop.jobs.ended("video", before=now, limit=1)] == ["a0"]
    assert await shop.jobs.ended("video", before=now - 3600) == []
    assert await shop.jobs.ended("speech", before=now) == []
    await shop.jobs.delete(ACME, "a0")
    assert [job.id for job in await shop.jobs.ended("video", before=now)] == ["b0"]


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "delete"])
async def test_nothing_of_an_ended_job_stands_in_line(shop: Shop, end: str) -> None:
    shop.limited(1)
    await shop.order(ACME, "a0", "a1")
    lease = await shop.taken()
    if end == "complete":
        await shop.jobs.complete(lease, {})
    elif end == "fail":
        await shop.jobs.fail(lease, LOST)
    elif end == "cancel":
        await shop.jobs.cancel(ACME, "a0")
    else:
        await shop.jobs.delete(ACME, "a0")
    assert await shop.ids(1) == ["a1"]
