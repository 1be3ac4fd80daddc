"""What is over goes, what is of use stays, and one replica at a time sees to it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from chattr.adapters.assets_fsspec import FsspecAssets
from chattr.adapters.fakes.assets import FakeAssets
from chattr.adapters.fakes.duty import FakeDuties
from chattr.adapters.fakes.jobs import FakeJobs
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_duty import RedisDuties, RedisSecret
from chattr.adapters.redis_jobs import RedisJobs
from chattr.domain.identity import Owner
from chattr.ports.duty import Duties
from chattr.ports.jobs import Jobs, NewJob
from chattr.usecases.job_files import image_id, made_id, rendition_id
from chattr.usecases.tidying import DAY, UNFINISHED, Tidying

pytestmark = pytest.mark.integration

ACME, BETA = Owner("acme", "anna"), Owner("beta", "ben")
IDS = [f"video_{number:032x}" for number in range(5)]


class House:
    """Jobs, assets and duties of one deployment."""

    def __init__(self, jobs: Jobs, assets: Any, duties: Duties) -> None:
        self.jobs = jobs
        self.assets = assets
        self.duties = duties

    def tidying(self, days: int = 7, **times: float) -> Tidying:
        return Tidying(self.jobs, self.assets, self.duties, days=days, **times)

    async def order(self, job_id: str, owner: Owner = ACME) -> None:
        await self.assets.put(owner.shared, image_id(job_id), b"face", "image/png")
        await self.jobs.enqueue(owner, NewJob(job_id, "video", "svd", {"image": image_id(job_id)}, {}))

    async def film(self) -> str:
        lease = await self.jobs.lease("video", worker="w", seconds=60)
        assert lease is not None
        made = made_id(lease.job.id, lease.fence)
        still = rendition_id(lease.job.id, lease.fence, "thumbnail")
        for name in (made, still):
            await self.assets.put(lease.job.owner.shared, name, b"film", "video/webm")
        await self.jobs.complete(lease, {"asset": made, "renditions": {"thumbnail": still}})
        return lease.job.id

    async def names(self) -> set[str]:
        return {name async for _, name in self.assets.names(before=time.time() + 60)}


@pytest.fixture(params=["fake", "real"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            yield House(FakeJobs(), FakeAssets(), FakeDuties())
            return
        redis = await stack.enter_async_context(connected(request.getfixturevalue("redis_url")))
        assets = await FsspecAssets((tmp_path / "assets").as_uri()).open()
        yield House(RedisJobs(redis), assets, RedisDuties(redis))


async def test_what_ended_long_ago_goes_with_all_its_files(house: House) -> None:
    await house.order(IDS[0])
    await house.order(IDS[1], BETA)
    for _ in range(2):
        await house.film()
    await house.order(IDS[2])  # waits still
    await house.assets.put(ACME.shared, "portrait_of_ada", b"face", "image/png")
    everything = await house.names()
    assert len(everything) == 8
    await house.tidying(days=7).tidy(time.time() + 6 * DAY)
    assert await house.names() == everything
    await house.tidying(days=0).tidy(time.time() + 999 * DAY)
    assert await house.names() == everything
    await house.tidying(days=7).tidy(time.time() + 8 * DAY)
    assert await house.names() == {image_id(IDS[2]), "portrait_of_ada"}
    assert [await house.jobs.get(ACME, IDS[0]), await house.jobs.get(BETA, IDS[1])] == [None, None]
    assert await house.jobs.get(ACME, IDS[2]) is not None


async def test_more_jobs_than_one_page_go(house: House) -> None:
    for number in range(130):
        await house.jobs.enqueue(ACME, NewJob(f"video_{number:032x}", "video", "svd", {}, {}))
        await house.jobs.cancel(ACME, f"video_{number:032x}")
    await house.tidying().tidy(time.time() + 8 * DAY)
    assert await house.jobs.list(ACME, "video") == []


async def test_what_lost_leases_and_deleted_jobs_left_goes(house: House) -> None:
    await house.order(IDS[0])
    await house.film()
    await house.order(IDS[1])
    running = await house.jobs.lease("video", worker="w", seconds=60)
    assert running is not None
    keep = await house.names()
    for name in (made_id(IDS[0], 7), made_id(IDS[1], 1), rendition_id(IDS[0], 7, "preview"), made_id(IDS[4], 1)):
        await house.assets.put(ACME.shared, name, b"late", "video/webm")
    await house.assets.put(ACME.shared, image_id(IDS[3]), b"face", "image/png")  # its order never came
    await house.tidying().tidy(time.time())
    assert len(await house.names()) == len(keep) + 5  # all of it is too young to judge
    await house.tidying().tidy(time.time() + 2 * UNFINISHED)
    assert await house.names() == keep | {made_id(IDS[1], 1)}  # that one may be published yet


async def test_of_many_replicas_one_has_the_duty(house: House) -> None:
    assert sum(await asyncio.gather(*(house.duties.taken("tidying", 60) for _ in range(20)))) == 1
    assert await house.duties.taken("another", 0.05)
    await asyncio.sleep(0.1)
    assert await house.duties.taken("another", 60)  # whoever had it may have died


async def test_it_runs_by_itself(house: House) -> None:
    await house.order(IDS[0])
    await house.film()
    job = await house.jobs.get(ACME, IDS[0])
    assert job is not None
    rounds: list[float] = []

    class Watched(Tidying):
        async def tidy(self, now: float) -> None:
            rounds.append(now)
            await super().tidy(now + 8 * DAY)

    tasks = [
        asyncio.create_task(Watched(house.jobs, house.assets, house.duties, days=7, every=60, look=0.01).run())
        for _ in range(3)
    ]
    async with asyncio.timeout(10):
        while await house.jobs.get(ACME, IDS[0]) is not None:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(rounds) == 1


async def test_a_write_that_broke_off_leaves_nothing_for_long(tmp_path: Path) -> None:
    assets = await FsspecAssets((tmp_path / "assets").as_uri()).open()
    await assets.put(ACME, "a", b"whole", "video/webm")
    folder = tmp_path / "assets" / "acme" / "anna"
    (folder / "b").mkdir()
    (folder / "b" / f"abc.{'0' * 32}").write_bytes(b"half")  # killed in the middle of the first file
    (folder / "c").mkdir()
    (folder / "c" / "abc").write_bytes(b"bytes")  # killed before the description
    (folder / "a" / f"asset.json.{'1' * 32}").write_bytes(b"{")  # killed while it was written anew
    assert await assets.sweep(before=time.time() - 60) == 0
    assert await assets.sweep(before=time.time() + 60) == 3
    assert [path.name for path in folder.rglob("*") if path.is_file() and path.parent.name != "a"] == []
    assert await assets.info(ACME, "a") is not None


async def test_replicas_share_a_secret_that_stays(redis_url: str) -> None:
    async with connected(redis_url) as one, connected(redis_url) as other:
        values = await asyncio.gather(*(RedisSecret(each, "links").value() for each in (one, other, one, other)))
        assert len(set(values)) == 1
        assert len(values[0]) == 32
        assert await RedisSecret(one, "another").value() != values[0]


async def test_what_is_kept_for_ever_outlives_the_store_of_jobs(house: House) -> None:
    await house.assets.put(ACME.shared, made_id(IDS[4], 1), b"film", "video/webm")
    await house.assets.put(ACME.shared, image_id(IDS[4]), b"face", "image/png")
    await house.tidying(days=0).tidy(time.time() + 2 * UNFINISHED)
    assert await house.names() == {made_id(IDS[4], 1)}
    await house.tidying(days=7).tidy(time.time() + 2 * UNFINISHED)
    assert await house.names() == set()
