"""Systems of jobs as a benchmark sees them: workers to start and kill, jobs to order, publications to count."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from chattr.adapters.redis_job_log import RedisJobLog
from chattr.adapters.redis_jobs import RedisJobs
from chattr.domain.identity import Owner
from chattr.ports.jobs import NewJob

HERE: Final = Path(__file__).with_name("job_sides")
ANNA: Final = Owner("acme", "anna")
QUEUES: Final = "high_priority,default,low_priority,re-queue"


class System:
    """A job system on one Redis. `published` says when each job's result became visible, once a publication."""

    name = ""

    def __init__(self, url: str, environment: dict[str, str], redis: Redis) -> None:
        self.url = url
        self.environment = environment
        self.redis: Any = redis
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.published: dict[str, list[float]] = defaultdict(list)
        self._count = 0

    def command(self) -> list[str]:
        raise NotImplementedError

    def hire(self) -> str:
        """Start a worker in a group of processes of its own."""
        name = f"w{self._count}"
        self._count += 1
        self.workers[name] = self.started(self.command(), name)
        return name

    def started(self, command: list[str], worker: str, *, talks: bool = False) -> subprocess.Popen[bytes]:
        """Start a process of this system."""
        given = {**os.environ, **self.environment, "WORKER": worker, "JOBS_URL": self.url, "PYTHONPATH": str(HERE)}
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        return subprocess.Popen(
            command, env=given, cwd=HERE, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def send(self, name: str, number: signal.Signals) -> None:
        """Signal all processes of a worker."""
        os.killpg(self.workers[name].pid, number)

    def kill(self, name: str) -> None:
        self.send(name, signal.SIGKILL)
        self.workers.pop(name).wait()

    async def begin(self) -> None:
        """Be ready to order and to see publications."""

    async def order(self, job: str, seconds: float) -> None:
        raise NotImplementedError

    async def end(self) -> None:
        for name in list(self.workers):
            self.send(name, signal.SIGCONT)
            self.kill(name)


class Ours(System):
    """Chatacter's store and dispatcher."""

    name = "Chatacter"

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "our_side.py")]

    async def begin(self) -> None:
        self._jobs = RedisJobs(self.redis)
        self._watching: list[asyncio.Task[None]] = []

    async def order(self, job: str, seconds: float) -> None:
        await self._jobs.enqueue(ANNA, NewJob(job, "video", "sleep", {"seconds": seconds}, {}, max_attempts=20))
        self._watching.append(asyncio.create_task(self._watch(job)))

    async def _watch(self, job: str) -> None:
        async for event in RedisJobLog(self.redis).follow(ANNA, job):
            if event is not None and event.status == "completed":
                self.published[job].append(time.time())

    async def end(self) -> None:
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        for job in self.published:  # what the log says of all publications, late ones too
            steps = await self.redis.xrange(f"chatacter:{{{ANNA.tenant}/-}}:job:{job}:events")
            self.published[job] *= sum(fields[b"status"] == b"completed" for _, fields in steps)
        await super().end()


class Peer(System):
    """Celery, or what stands on it: each result that is stored is a publication."""

    side = ""

    def __init__(self, url: str, environment: dict[str, str], redis: Redis, python: str) -> None:
        super().__init__(url, environment, redis)
        self.python = python
        self._names: dict[str, str] = {}

    def program(self, name: str) -> str:
        return str(Path(self.python).parent / name)

    async def begin(self) -> None:
        await self.redis.config_set("notify-keyspace-events", "K$")
        self._heard = self.redis.pubsub()
        await self._heard.psubscribe("__keyspace@0__:celery-task-meta-*")
        self._listening = asyncio.create_task(self._listen())
        self._side = self.started([self.python, str(HERE / f"{self.side}.py")], "-", talks=True)

    async def _listen(self) -> None:
        async for message in self._heard.listen():
            if message["type"] != "pmessage" or message["data"] != b"set":
                continue
            now, task = time.time(), message["channel"].decode().partition("celery-task-meta-")[2]
            stored = json.loads(await self.redis.get(f"celery-task-meta-{task}") or b"{}")
            if stored.get("status") == "SUCCESS":  # relier's tasks also store that they have begun
                self.published[self._names.get(task, task)].append(now)

    async def order(self, job: str, seconds: float) -> None:
        answer = await asyncio.to_thread(self._tell, {"job": job, "seconds": seconds})
        self._names[answer["id"]] = job

    def _tell(self, said: dict[str, Any]) -> dict[str, Any]:
        while True:  # what a library writes of itself is passed over
            if said and self._side.stdin:
                self._side.stdin.write((json.dumps(said) + "\n").encode())
                self._side.stdin.flush()
                said = {}
            line = self._side.stdout.readline() if self._side.stdout else b""
            if not line:
                raise EOFError(f"{self.name}'s process has ended")
            if line.startswith(b'{"id"'):
                answer: dict[str, Any] = json.loads(line)
                return answer

    async def end(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._side.kill()
        self._side.wait()
        # What was published before its id was known stands under the task's own name.
        for task, job in self._names.items():
            if task != job and task in self.published:
                self.published[job] = sorted(self.published.pop(task) + self.published[job])
        await super().end()


class Celery(Peer):
    """Celery with Redis."""

    name = "Celery"
    side = "celery_side"

    def command(self) -> list[str]:
        return [self.program("celery"), "-A", "celery_side", "worker", "-c", "1", "-n", f"w{self._count}@here"]


class Relier(Peer):
    """Relier on Celery."""

    name = "relier"
    side = "relier_side"

    def command(self) -> list[str]:
        options = ["-Q", QUEUES, "--include", "relier_side", "-c", "1", "-n", f"w{self._count}@here"]
        return [self.program("celery"), "-A", "relier.tasks.app", "worker", *options]

    async def begin(self) -> None:
        await super().begin()
        self._phoenix = self.started([self.program("rl"), "run-resurrector"], "-")

    async def end(self) -> None:
        os.killpg(self._phoenix.pid, signal.SIGKILL)
        self._phoenix.wait()
        await super().end()
