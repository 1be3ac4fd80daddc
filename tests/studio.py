"""Everything that films, with predictors that a test can play on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chatacter.contracts.video import Video
from chatacter.contracts.video_job import VideoOrder
from chattr.adapters.fakes.assets import FakeAssets
from chattr.adapters.fakes.casting import FakeCasting
from chattr.adapters.fakes.demand import FakeDemand
from chattr.adapters.fakes.jobs import FakeJobs
from chattr.adapters.fakes.media import FakeFilmer, FakeSpeaker
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_jobs import RedisJobs
from chattr.dispatcher import Dispatcher, Pace
from chattr.domain.identity import Owner
from chattr.ports.jobs import Job, Jobs, Lease
from chattr.ports.media import Filmer, Speaker
from chattr.usecases.film import Film
from chattr.usecases.filming import FilmWork

ANNA = Owner("acme", "anna")
QUICK = Pace(lease=0.4, heartbeat=0.05, grace=5.0, retry=0.02)
PATIENT = 5.0


class Publications:
    """A store of jobs that counts who completed what, to see that each job is published once."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self.completed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jobs, name)

    async def complete(self, lease: Lease, result: Any) -> None:
        await self._jobs.complete(lease, result)
        self.completed.append(lease.job.id)


class Studio:
    """Everything that films, with predictors a test can play on."""

    def __init__(self, jobs: Jobs, stack: AsyncExitStack) -> None:
        self.jobs: Any = Publications(jobs)
        self.speaker = FakeSpeaker()
        self.filmer = FakeFilmer()
        self.assets = FakeAssets()
        self.demand = FakeDemand()
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer = provider.get_tracer("test")
        self._stack = stack
        self.film = Film(self.filmer, self.jobs, self.assets, FakeCasting(), speech_model="kokoro")

    async def order(self, **fields: Any) -> Video:
        return await self.film.create(ANNA, VideoOrder(**{"prompt": "Hello there.", **fields}))

    def dispatcher(
        self,
        name: str = "w1",
        *,
        pace: Pace = QUICK,
        patience: float = PATIENT,
        concurrency: int = 1,
        speaker: Speaker | None = None,
        filmer: Filmer | None = None,
    ) -> Dispatcher:
        work = FilmWork(
            speaker or self.speaker,
            filmer or self.filmer,
            self.assets,
            self.demand,
            speaking=30,
            filming=30,
            patience=patience,
        )
        return Dispatcher(self.jobs, work, worker=name, tracer=self.tracer, concurrency=concurrency, pace=pace)

    def start(self, dispatcher: Dispatcher) -> tuple[asyncio.Task[None], asyncio.Event]:
        stopping = asyncio.Event()
        task = asyncio.create_task(dispatcher.run(stopping))
        self._stack.push_async_callback(ended, task, stopping)
        return task, stopping

    async def job(self, job_id: str) -> Job:
        job: Job | None = await self.jobs.get(ANNA, job_id)
        assert job is not None
        return job

    async def reached(self, job_id: str, *states: str, seconds: float = 8.0) -> Job:
        async with asyncio.timeout(seconds):
            while True:
                job = await self.job(job_id)
                if job.status in states or job.phase in states:
                    return job
                await asyncio.sleep(0.01)


async def ended(task: asyncio.Task[None], stopping: asyncio.Event) -> None:
    stopping.set()
    await asyncio.wait({task}, timeout=10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=["fake", "redis"])
async def studio(request: pytest.FixtureRequest) -> AsyncIterator[Studio]:
    async with AsyncExitStack() as stack:
        jobs: Jobs = FakeJobs()
        if request.param == "redis":
            jobs = RedisJobs(await stack.enter_async_context(connected(request.getfixturevalue("redis_url"))))
        found = Studio(jobs, stack)
        yield found
        found.speaker.released.set()
        found.filmer.released.set()
