"""Nothing is lost and nothing is published twice, whatever dies: dispatchers, Redis, and what its disk did not have.

As it stands it takes under a minute; `make torture` sets the sizes of a whole night's misfortune (TORTURE_*).
"""

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from chatacter.chassis.errors import Unavailable
from chattr.adapters.assets_fsspec import FsspecAssets
from chattr.adapters.fakes.duty import FakeDuties
from chattr.adapters.fakes.media import FILM, FakeFilmer, FakeSpeaker
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_job_log import RedisJobLog
from chattr.adapters.redis_jobs import RedisJobs
from chattr.domain.identity import Owner
from chattr.ports.jobs import Job, NewJob
from chattr.usecases.tidying import UNFINISHED, Tidying
from tests.predictor_server import Seen, predictor_app
from tests.redis_server import free_port, has_waitaof, is_valkey
from tests.served import served
from tests.synced_redis import SyncedRedis, recorded

pytestmark = pytest.mark.integration

TENANTS: Final = tuple(Owner(name, "anna") for name in ("acme", "beta", "corp"))
PUBLISHED: Final = re.compile(r"a job is published.*?(video_[0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Misfortune:
    """How much of what happens."""

    jobs: int = int(os.environ.get("TORTURE_JOBS", "240"))
    dispatchers: int = 4
    kills: int = int(os.environ.get("TORTURE_KILLS", "4"))
    stops: int = int(os.environ.get("TORTURE_STOPS", "2"))
    power_cuts: int = int(os.environ.get("TORTURE_POWER_CUTS", "2"))
    seconds: float = float(os.environ.get("TORTURE_SECONDS", "14"))
    seed: int = int(os.environ.get("TORTURE_SEED", "7"))

    @property
    def step(self) -> float:
        """Seconds between two steps of a film, at most: so that half a dozen run at any moment."""
        return 6 * self.seconds / self.jobs / 2


class Camera(FakeFilmer):
    """Takes its time, more or less."""

    def __init__(self, step: float) -> None:
        super().__init__(served=("svd",))
        self._longest = step
        self._chance = random.Random(1)

    async def step(self, number: int) -> None:
        await asyncio.sleep(self._chance.uniform(0, self._longest))


@dataclass
class Yard:
    """One Redis whose disk is known, one predictor, one folder of assets, and dispatchers that die."""

    folder: Path
    server: SyncedRedis
    settings: dict[str, str]
    jobs: RedisJobs
    assets: FsspecAssets
    accepted: set[str] = field(default_factory=set)
    alive: list[subprocess.Popen[bytes]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def hire(self) -> None:
        log = self.folder / f"dispatcher-{len(self.logs)}.log"
        self.ports.append(free_port())
        given = {"CHATACTER_HOME": str(self.folder), "PORT": str(self.ports[-1]), **self.settings}
        command = [sys.executable, "-m", "chattr.dispatcher"]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        with log.open("wb") as out:
            process = subprocess.Popen(command, env=kept | given, cwd=self.folder, stdout=out, stderr=out)
        self.alive.append(process)
        self.logs.append(log)

    async def at_work(self) -> None:
        """Wait until every dispatcher that was hired has begun: one that has not is killed to no effect."""
        for port in self.ports:
            async with asyncio.timeout(120):
                while True:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                    except OSError:
                        await asyncio.sleep(0.1)
                    else:
                        writer.close()
                        break

    async def order(self, number: int) -> None:
        """Order until it is acknowledged, as a client with an id of its own does."""
        job = NewJob(job_id(number), "video", "svd", shot(number), {}, max_attempts=50)
        while True:
            try:
                await self.jobs.enqueue(TENANTS[number % len(TENANTS)], job)
            except Unavailable:
                await asyncio.sleep(0.1)
            else:
                self.accepted.add(job.id)
                return

    def published(self) -> Counter[str]:
        """How often each job's publication was acknowledged to a dispatcher."""
        found: Counter[str] = Counter()
        for log in self.logs:
            found.update(PUBLISHED.findall(log.read_text(errors="replace")))
        return found

    def dismiss(self) -> None:
        for process in self.alive:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def job_id(number: int) -> str:
    return f"video_{number:032x}"


def shot(number: int) -> dict[str, Any]:
    return {
        "prompt": f"Film {number}.",
        "width": None,
        "height": None,
        "fps": None,
        "seed": number,
        "output_format": "webm",
    }


@asynccontextmanager
async def yard_at(folder: Path, much: Misfortune) -> AsyncIterator[Yard]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(await asyncio.to_thread(lambda: recorded(folder / "redis")))
        behind = predictor_app(FakeSpeaker(), Camera(much.step), Seen())
        url = await stack.enter_async_context(served(behind))
        redis = await stack.enter_async_context(connected(server.url))
        root = (folder / "assets").as_uri()
        settings = {
            "RECORDS__URL": server.url,
            "VISUALIZR__URL": url,
            "ASSETS_URL": root,
            "ENABLE_VOICE_GENERATION": "false",
            "DISPATCHER_CONCURRENCY": "4",
            "JOBS__LEASE": "2",
            "LOG_FORMAT": "json",
        }
        yard = Yard(folder, server, settings, RedisJobs(redis), await FsspecAssets(root).open())
        stack.callback(yard.dismiss)
        yield yard


async def lose_power(yard: Yard) -> None:
    await asyncio.to_thread(yard.server.lose_power)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(yard.server.start)


def kill(yard: Yard, chance: random.Random) -> None:
    process = yard.alive.pop(chance.randrange(len(yard.alive)))
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    yard.hire()


async def freeze(yard: Yard, chance: random.Random) -> None:
    """Let one stand still for longer than its leases last."""
    process = chance.choice(yard.alive)
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(chance.uniform(2.5, 4.0))
    process.send_signal(signal.SIGCONT)


async def misfortunes(yard: Yard, much: Misfortune) -> None:
    """Let all of it happen at moments of chance, spread over the time."""
    chance = random.Random(much.seed)
    what = ["kill"] * much.kills + ["stop"] * much.stops + ["power"] * much.power_cuts
    chance.shuffle(what)
    began = time.monotonic()
    frozen: list[asyncio.Task[None]] = []
    for moment, each in zip(sorted(chance.uniform(0, much.seconds) for _ in what), what, strict=True):
        await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
        if each == "kill":
            await asyncio.to_thread(kill, yard, chance)
        elif each == "stop":
            frozen.append(asyncio.create_task(freeze(yard, chance)))
        else:
            await lose_power(yard)
    await asyncio.gather(*frozen)


async def all_ended(yard: Yard) -> None:
    while True:
        try:
            left = sum((await yard.jobs.outstanding()).values())
        except Unavailable:
            left = -1
        if left == 0:
            return
        await asyncio.sleep(0.2)


async def every_job(yard: Yard) -> dict[str, Job]:
    found = {}
    for owner in TENANTS:
        for number in range(len(yard.accepted)):
            if (job := await yard.jobs.get(owner, job_id(number))) is not None:
                found[job.id] = job
    return found


@pytest.mark.timeout(3600)
async def test_whatever_dies_every_job_ends_once(tmp_path: Path) -> None:
    much = Misfortune()
    async with yard_at(tmp_path, much) as yard:
        for _ in range(much.dispatchers):
            yard.hire()
        await yard.at_work()
        happening = asyncio.create_task(misfortunes(yard, much))
        pause = much.seconds * 0.9 / much.jobs
        for number in range(much.jobs):
            await yard.order(number)
            await asyncio.sleep(pause)
        await happening
        async with asyncio.timeout(much.seconds + 120):
            await all_ended(yard)
        jobs = await every_job(yard)
        assert set(jobs) == yard.accepted, "an accepted job is gone"
        assert len(yard.accepted) == much.jobs
        assert {job.status for job in jobs.values()} == {"completed"}, [j.error for j in jobs.values() if j.error]
        async with connected(yard.server.url) as redis:
            log = RedisJobLog(redis)
            for job in jobs.values():
                steps = [event.status async for event in log.follow(job.owner, job.id) if event]
                assert steps.count("completed") == 1, (job.id, steps)
                asset = await yard.assets.info(job.owner.shared, job.result["asset"] if job.result else "")
                assert asset is not None, f"{job.id} is completed without its film"
                assert asset.size == len(FILM)
        await Tidying(yard.jobs, yard.assets, FakeDuties(), days=0).tidy(time.time() + 2 * UNFINISHED)
        kept = {name async for _, name in yard.assets.names(before=time.time() + 60)}
        assert kept == {job.result["asset"] for job in jobs.values() if job.result}, (
            "a lost lease's film is still there"
        )
        assert max(yard.published().values()) == 1
        assert yard.published().keys() <= jobs.keys()
        assert len(yard.published()) >= 0.9 * much.jobs  # a worker may die between being told and telling
        sys.stdout.write(report(yard, much, jobs))


def report(yard: Yard, much: Misfortune, jobs: dict[str, Job]) -> str:
    attempts = Counter(job.fence for job in jobs.values())
    return (
        f"\n{much}\n{len(jobs)} jobs completed, {sum(fence > 1 for fence in attempts.elements())} of them taken up "
        f"again; leases a job {dict(sorted(attempts.items()))}; publications told {sum(yard.published().values())}; "
        f"dispatchers started {len(yard.logs)}; syncs recorded {len(yard.server.record.read_text().splitlines())}"
    )


@pytest.mark.parametrize(
    ("appendfsync", "waited_for", "lossless"),
    [("always", False, True), ("everysec", False, False), ("everysec", True, True)],
)
async def test_what_is_accepted_survives_a_power_cut(
    tmp_path: Path, appendfsync: str, waited_for: bool, lossless: bool
) -> None:
    """The second case shows that the others' loss would be seen: a server that syncs once a second forgets."""
    with recorded(tmp_path / "redis", appendfsync=appendfsync) as server:
        if waited_for and (not has_waitaof(server) or is_valkey(server)):
            pytest.skip("the redis-server on PATH has no WAITAOF that keeps its word (Redis 7.2)")
        async with connected(server.url) as redis:
            jobs = RedisJobs(redis, wait_for_disk=waited_for)
            began = time.monotonic()
            accepted = 0
            while time.monotonic() - began < 1.5:
                await jobs.enqueue(TENANTS[0], NewJob(job_id(accepted), "video", "svd", {}, {}))
                accepted += 1
            lost = server.lose_power()
            server.start()
            await redis.connection_pool.disconnect()
            kept = [await jobs.get(TENANTS[0], job_id(number)) for number in range(accepted)]
    assert (None not in kept) is lossless
    assert len(server.synced()) >= 1
    assert lossless or lost > 0
    assert accepted > 0
