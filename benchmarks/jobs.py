"""What jobs cost and what is lost of them when workers die: ours beside Celery with Redis, and beside relier on it.

The same for each, one after the other on one machine: a Redis of its own that syncs every write, four workers that do
one job at a time, workers that are killed and started anew, workers that stand still and wake. Each finds out after
`MISSED_AFTER` seconds that a worker is gone (JOBS__LEASE, visibility_timeout, RELIER_HEARTBEAT_TTL).

`--peers` names a Python that has `celery[redis]` and, where wanted, `relier`: they are no dependencies of ours.
"""

import argparse
import asyncio
import importlib.util
import math
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measuring import results
from measuring.job_sides.job_ruler import BEGAN, ENDED
from measuring.job_systems import Celery, Ours, Relier, System

from chattr.adapters.redis_connection import connected
from tests.redis_server import RedisServer, free_port

MISSED_AFTER = 5
WORKERS = 4
WORK_SECONDS = 0.5
QUIET_JOBS = 40
QUIET_SECONDS = 0.05
STARTING = 90.0
LONGEST = 150.0


@dataclass
class Measured:
    """What one system did."""

    name: str
    overhead: list[float] = field(default_factory=list)
    lost: int = 0
    published_twice: int = 0
    ran_twice: int = 0
    recovered: list[tuple[float, int]] = field(default_factory=list)
    """From each kill to the result, and how many workers in all were hit with that job in their hands from then on."""
    seconds: float = 0.0


async def published(system: System, jobs: Sequence[str], seconds: float) -> bool:
    """Wait until each was published."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if all(system.published.get(job) for job in jobs):
            return True
        await asyncio.sleep(0.02)
    return False


async def ready(system: System) -> None:
    """Start the workers and see that all of them work."""
    for _ in range(WORKERS):
        system.hire()
    warm = [f"warm-{number}" for number in range(3 * WORKERS)]
    for job in warm:
        await system.order(job, 0.2)
    if not await published(system, warm, STARTING):
        raise RuntimeError(f"{system.name} did not begin to work")


async def cost(system: System) -> list[float]:
    """Order one job after the other; return what each took beside its work."""
    found = []
    for number in range(QUIET_JOBS):
        job, began = f"quiet-{number}", time.time()
        await system.order(job, QUIET_SECONDS)
        await published(system, [job], 60)
        found.append(system.published[job][0] - began - QUIET_SECONDS)
        await asyncio.sleep(0.05)
    return found


async def misfortunes(system: System, kills: int, stops: int, chance: random.Random) -> list[tuple[str, str, float]]:
    """Kill workers in the middle of jobs, and let some stand still for longer than they are waited for; say which."""
    hit = []
    what = ["kill"] * kills + ["stop"] * stops
    chance.shuffle(what)
    waking: list[asyncio.Task[None]] = []
    frozen: set[str] = set()

    async def wake(name: str) -> None:
        await asyncio.sleep(3 * MISSED_AFTER)
        system.send(name, signal.SIGCONT)
        frozen.discard(name)

    for each in what:
        await asyncio.sleep(chance.uniform(1.5, 3.0))
        busy = [name for name in await at_work(system) if name in system.workers and name not in frozen]
        if not busy:
            continue
        name = chance.choice(busy)
        if each == "kill":
            system.kill(name)
            hit.append((each, name, time.time()))
            system.hire()
        else:
            hit.append((each, name, time.time()))
            frozen.add(name)
            system.send(name, signal.SIGSTOP)
            waking.append(asyncio.create_task(wake(name)))
    await asyncio.gather(*waking)
    return hit


async def notes(system: System, name: str) -> list[tuple[str, str, float]]:
    """What workers have noted: job, worker, moment."""
    lines = [line.decode().split(" ") for line in await system.redis.lrange(name, 0, -1)]
    return [(job, worker, float(moment)) for job, worker, moment in lines]


async def at_work(system: System) -> list[str]:
    """Which workers are in the middle of a job."""
    ended = {(job, worker) for job, worker, _ in await notes(system, ENDED)}
    return [worker for job, worker, _ in await notes(system, BEGAN) if (job, worker) not in ended]


async def trouble(system: System, measured: Measured, options: argparse.Namespace) -> None:
    """Order many jobs, let workers die, and see what became of each."""
    jobs = [f"job-{number}" for number in range(options.jobs)]
    began = time.monotonic()
    happening = asyncio.create_task(misfortunes(system, options.kills, options.stops, random.Random(options.seed)))
    for job in jobs:
        await system.order(job, WORK_SECONDS)
    hit = await happening
    await published(system, jobs, LONGEST)
    measured.seconds = time.monotonic() - began
    await asyncio.sleep(4 * MISSED_AFTER)  # for what comes late, and twice
    measured.lost = sum(not system.published.get(job) for job in jobs)
    ends = Counter(job for job, _, _ in await notes(system, ENDED))
    measured.ran_twice = sum(ends[job] > 1 for job in jobs)
    starts, done = await notes(system, BEGAN), {(job, worker) for job, worker, _ in await notes(system, ENDED)}
    struck = [(what, job, moment) for what, name, moment in hit for job in in_hand(starts, name, moment)]
    for what, name, moment in hit:
        for job in in_hand(starts, name, moment):
            if what == "kill" and (job, name) not in done and system.published.get(job):
                chain = sum(other == job and later >= moment for _, other, later in struck)
                measured.recovered.append((system.published[job][0] - moment, chain))


def in_hand(starts: Sequence[tuple[str, str, float]], name: str, moment: float) -> list[str]:
    """What a worker was at, at a moment: the last job that it had begun."""
    begun = [(when, job) for job, worker, when in starts if worker == name and when <= moment]
    return [max(begun)[1]] if begun else []


async def measure(kind: type[System], options: argparse.Namespace) -> Measured:
    """Measure one system on a Redis of its own."""
    measured = Measured(kind.name)
    with tempfile.TemporaryDirectory(prefix="jobs-") as folder:
        flags = {"appendonly": "yes", "appendfsync": "always", "save": ""}
        with RedisServer(Path(folder), free_port(), flags) as server:
            environment = {
                "RULER_URL": server.url,
                "MISSED_AFTER": str(MISSED_AFTER),
                "RELIER_REDIS_URL": server.url,
                "RELIER_HEARTBEAT_TTL": str(MISSED_AFTER),
                "RELIER_RESURRECTION_CHECK_INTERVAL": "1",
                "RELIER_ADMISSION_LIMIT": "100000",
            }
            async with connected(server.url, connections=512) as redis:
                peers = (options.peers,) if kind is not Ours else ()
                system = kind(server.url, environment, redis, *peers)
                await system.begin()
                try:
                    await ready(system)
                    measured.overhead = await cost(system)
                    await trouble(system, measured, options)
                finally:
                    await system.end()
                measured.published_twice = sum(
                    len(times) > 1 for job, times in system.published.items() if job.startswith("job-")
                )
    return measured


def has(python: str | None, package: str) -> bool:
    """Whether a Python has a package."""
    if python is None:
        return False
    command = [python, "-c", f"import importlib.util as u, sys; sys.exit(not u.find_spec({package!r}))"]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def quantile(values: Sequence[float], part: float) -> float:
    """A quantile that was really measured."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)] if values else math.nan


def row(found: Measured) -> tuple[str, ...]:
    """One system's figures."""
    cost_ms = [1000 * each for each in found.overhead]
    recovered = [seconds for seconds, _ in found.recovered]
    return (
        found.name,
        str(found.lost),
        str(found.published_twice),
        str(found.ran_twice),
        f"{quantile(recovered, 0.5):.1f} s / {quantile(recovered, 0.99):.1f} s (n={len(recovered)})",
        by_hits(found),
        f"{statistics.median(cost_ms):.0f} ms / {quantile(cost_ms, 0.99):.0f} ms",
        f"{found.seconds:.0f} s",
    )


def by_hits(found: Measured) -> str:
    """The slowest recovery after one hit, two and so on: whoever takes a job up may be hit in turn."""
    slowest: dict[int, float] = {}
    for seconds, chain in found.recovered:
        slowest[chain] = max(seconds, slowest.get(chain, 0.0))
    return ", ".join(f"{chain}: {seconds:.1f} s" for chain, seconds in sorted(slowest.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="a Python with celery[redis], and relier where it is wanted")
    parser.add_argument("--jobs", type=int, default=120)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--stops", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    if shutil.which("redis-server") is None or importlib.util.find_spec("chattr") is None:
        raise SystemExit("redis-server and this project's own environment are needed")
    load = results.busy()
    kinds: list[type[System]] = [Ours]
    kinds += [Celery] if has(options.peers, "celery") else []
    kinds += [Relier] if has(options.peers, "relier") else []
    rows = []
    for kind in kinds:
        rows.append(row(asyncio.run(measure(kind, options))))
        print(*rows[-1], sep=" | ", flush=True)
    about = (
        f"{options.jobs} jobs of {WORK_SECONDS} s on {WORKERS} workers; {options.kills} workers killed in the middle "
        f"of a job, {options.stops} stopped for {3 * MISSED_AFTER} s; a worker is missed after {MISSED_AFTER} s; "
        f"Redis with `appendfsync always`. Overhead: {QUIET_JOBS} jobs one after the other, from the order until the "
        "result is seen, less the work. Recovery: from the kill to the result."
    )
    if len(kinds) < 3:
        about += " Not measured, as it is not installed where `--peers` says: " + ", ".join(
            kind.name for kind in (Celery, Relier) if kind not in kinds
        )
    head = (
        "system",
        "lost",
        "published twice",
        "ran to its end twice",
        "recovery p50 / p99",
        "slowest after so many hits",
        "overhead p50 / p99",
        "all jobs",
    )
    aims = ("aim", "0", "0", "", "p99 no worse than the best peer", "", "≤ 50 ms", "")
    results.write(
        "Jobs when workers die",
        load,
        *([options.note] if options.note else []),
        about,
        results.table(head, [*rows, aims]),
    )


if __name__ == "__main__":
    main()
