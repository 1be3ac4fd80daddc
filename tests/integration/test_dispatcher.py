"""Jobs survive their workers: leases, fences, hand-backs, retries and one publication, over Redis and fakes."""

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chatacter.chassis.errors import Busy, Unavailable, Unsupported, UpstreamFailed
from chatacter.contracts.video import Video, VideoFailed
from chatacter.contracts.video_job import VideoOrder
from chattr.adapters.fakes.assets import FakeAssets
from chattr.adapters.fakes.casting import SVG, FakeCasting
from chattr.adapters.fakes.demand import FakeDemand
from chattr.adapters.fakes.jobs import FakeJobs
from chattr.adapters.fakes.media import FILM, SOUND, FakeFilmer, FakeSpeaker
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_jobs import RedisJobs
from chattr.adapters.visualizr_http import VisualizrHttp
from chattr.adapters.vocalizr_http import VocalizrHttp
from chattr.dispatcher import Dispatcher, Pace, until_signalled
from chattr.domain.identity import Owner
from chattr.ports.jobs import Job, Jobs, Lease
from chattr.ports.media import Filmer, Speaker
from chattr.usecases.film import Film
from chattr.usecases.filming import FilmWork, finished_wav
from tests.predictor_server import Seen, predictor_app
from tests.redis_server import started
from tests.served import served
from tests.waiting import until

pytestmark = pytest.mark.integration

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
            speaker or self.speaker, filmer or self.filmer, self.assets, self.demand, seconds=30, patience=patience
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


async def test_a_character_is_filmed_with_what_it_says(studio: Studio) -> None:
    studio.start(studio.dispatcher())
    video = await studio.order(size="256x320", fps=10, seed=3)
    assert (video.status, video.progress, video.character, video.size) == ("queued", 0, "ada", "256x320")
    job = await studio.reached(video.id, "completed")
    said, shot = studio.speaker.requests[0], studio.filmer.requests[0]
    assert (said.input, said.voice, said.model, said.timings) == ("Hello there.", "af_heart", "kokoro", True)
    assert base64.b64decode(shot.image_reference.partition(",")[2]) == SVG
    assert base64.b64decode(shot.audio_reference.partition(",")[2]) == finished_wav(b"".join(SOUND))
    assert len(shot.phonemes) == 3
    assert (shot.width, shot.height, shot.fps, shot.seed) == (256, 320, 10, 3)
    asset = await studio.film.content(ANNA, video.id)
    assert asset.id == f"{video.id}-1"
    assert b"".join([part async for part in studio.assets.read(ANNA.shared, asset.id)]) == FILM
    seen = await studio.film.get(ANNA, video.id)
    assert (seen.status, seen.progress, seen.seconds, seen.size) == ("completed", 100, "0.3", "512x512")
    assert job.attempts == 1
    assert studio.jobs.completed == [video.id]


async def test_progress_and_phases_are_told(studio: Studio) -> None:
    studio.speaker.hold_at = 1
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "speaking")
    assert (await studio.film.get(ANNA, video.id)).status == "in_progress"
    assert await studio.demand.outstanding() == {("speech", "kokoro"): 1}
    studio.speaker.hold_at = None
    await studio.jobs.delete(ANNA, video.id)
    studio.filmer.hold_at = 2
    second = await studio.order()
    await studio.reached(second.id, "filming")
    async with asyncio.timeout(5):
        while True:
            seen = await studio.film.get(ANNA, second.id)
            if seen.progress >= 38:  # speech is a tenth of it, and a third of the film is done
                break
            await asyncio.sleep(0.01)
    assert (seen.phase, seen.status) == ("filming", "in_progress")


async def test_demand_rises_with_queued_and_running_and_falls_after(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    first = await studio.order()
    second = await studio.order()
    assert (await studio.jobs.outstanding())["video", "portrait"] == 2
    studio.start(studio.dispatcher())
    await studio.reached(first.id, "filming")
    assert (await studio.jobs.outstanding())["video", "portrait"] == 2
    studio.filmer.hold_at = None
    await studio.film.delete(ANNA, first.id)
    await studio.reached(second.id, "completed")
    assert (await studio.jobs.outstanding())["video", "portrait"] == 0
    assert not any((await studio.demand.outstanding()).values())


async def test_a_job_whose_worker_dies_is_taken_up_and_published_once(studio: Studio) -> None:
    studio.filmer.hold_at = 2
    doomed, _ = studio.start(studio.dispatcher("doomed"))
    video = await studio.order()
    await studio.reached(video.id, "filming")
    doomed.cancel()  # as a process that is killed: nothing is handed back
    await asyncio.gather(doomed, return_exceptions=True)
    assert (await studio.job(video.id)).status == "running"
    studio.filmer.hold_at = None
    studio.start(studio.dispatcher("heir"))
    job = await studio.reached(video.id, "completed")
    assert (job.attempts, job.fence) == (2, 2)
    assert studio.jobs.completed == [video.id]
    assert studio.filmer.stopped == 2  # the dead worker's stream was closed too
    assert (await studio.film.content(ANNA, video.id)).id == f"{video.id}-2"


async def test_a_worker_that_stood_still_cannot_publish_late(studio: Studio) -> None:
    """A stopped process wakes after its lease ran out and finishes: refused, and its file is removed."""
    video = await studio.order()
    frozen = await studio.jobs.lease("video", worker="frozen", seconds=0.05)
    studio.start(studio.dispatcher("heir"))
    await studio.reached(video.id, "completed")
    late = studio.dispatcher("late")
    await studio.assets.put(ANNA.shared, f"{video.id}-1", b"late", "video/webm")
    await late._publish(frozen, {"asset": f"{video.id}-1"})
    assert studio.jobs.completed == [video.id]
    assert (await studio.film.content(ANNA, video.id)).id == f"{video.id}-2"
    await until(lambda: f"{video.id}-1" not in studio.assets.ids)


async def test_many_jobs_and_dispatchers_publish_each_once(studio: Studio) -> None:
    for name in range(4):
        studio.start(studio.dispatcher(f"w{name}", concurrency=2))
    videos = [await studio.order() for _ in range(20)]
    for video in videos:
        await studio.reached(video.id, "completed")
    assert sorted(studio.jobs.completed) == sorted(video.id for video in videos)
    films = {asset_id for asset_id in studio.assets.ids if not asset_id.endswith("-image")}
    assert films == {f"{video.id}-1" for video in videos}


@pytest.mark.parametrize("end", ["delete", "cancel"])
async def test_what_is_deleted_or_cancelled_stops_the_predictor(studio: Studio, end: str) -> None:
    studio.filmer.hold_at = 1
    studio.start(studio.dispatcher(pace=Pace(lease=30, heartbeat=0.05)))
    video = await studio.order()
    await studio.reached(video.id, "filming")
    await (studio.film.delete(ANNA, video.id) if end == "delete" else studio.jobs.cancel(ANNA, video.id))
    await until(lambda: studio.filmer.stopped == 1)
    assert studio.filmer.finished == 0
    studio.filmer.hold_at = None
    after = await studio.order()  # the place is free again
    await studio.reached(after.id, "completed")
    assert studio.jobs.completed == [after.id]
    if end == "delete":
        assert not any(asset_id.startswith(video.id) for asset_id in studio.assets.ids)
    else:
        seen = await studio.film.get(ANNA, video.id)
        assert (seen.status, seen.error and seen.error.code) == ("failed", "cancelled")


async def test_a_stopping_dispatcher_finishes_what_runs(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    task, stopping = studio.start(studio.dispatcher())
    video = await studio.order()
    waiting = await studio.order()
    await studio.reached(video.id, "filming")
    stopping.set()
    await asyncio.sleep(0.1)  # longer than a heartbeat
    assert not task.done()
    studio.filmer.released.set()
    await asyncio.wait_for(task, 5)
    assert (await studio.job(video.id)).status == "completed"
    job = await studio.job(waiting.id)
    assert (job.status, job.attempts) == ("queued", 0)  # it leased nothing more


async def test_a_stopping_dispatcher_hands_back_what_does_not_finish(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    task, stopping = studio.start(studio.dispatcher(pace=Pace(lease=60, heartbeat=0.05, grace=0.1)))
    video = await studio.order()
    await studio.reached(video.id, "filming")
    stopping.set()
    await asyncio.wait_for(task, 5)
    job = await studio.job(video.id)
    assert (job.status, job.attempts) == ("queued", 0)
    assert studio.filmer.stopped == 1
    studio.filmer.hold_at = None
    studio.start(studio.dispatcher("next"))
    job = await studio.reached(video.id, "completed", seconds=3)  # at once, not after a lease of a minute
    assert job.attempts == 1


async def test_sigterm_is_obeyed(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    dispatcher = studio.dispatcher(pace=Pace(lease=60, heartbeat=0.05, grace=0.1))
    task = asyncio.create_task(until_signalled(dispatcher.run))
    video = await studio.order()
    await studio.reached(video.id, "filming")
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 5)
    assert (await studio.job(video.id)).status == "queued"


async def test_a_failure_that_passes_is_tried_again(studio: Studio) -> None:
    studio.filmer.lost_at = (2, UpstreamFailed("Visualizr was lost in the middle of its answer."))
    studio.start(studio.dispatcher())
    video = await studio.order()
    await until(lambda: studio.filmer.stopped == 1)
    studio.filmer.lost_at = None
    job = await studio.reached(video.id, "completed")
    assert job.attempts == 2


async def test_attempts_end(studio: Studio) -> None:
    studio.filmer.failure = VideoFailed(code="upstream_failed", message="The renderer crashed.", retryable=True)
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "failed")
    seen = await studio.film.get(ANNA, video.id)
    assert seen.error is not None
    assert (seen.error.code, seen.error.message) == ("upstream_failed", "The renderer crashed.")
    assert studio.filmer.started == 3


@pytest.mark.parametrize("where", ["before", "inside"])
async def test_a_failure_that_stays_fails_the_job_at_once(studio: Studio, where: str) -> None:
    if where == "before":
        studio.filmer.refusals.append(Unsupported("This portrait has no mouth."))
    else:
        studio.filmer.failure = VideoFailed(code="out_of_memory", message="Too large.", retryable=False)
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "failed")
    seen = await studio.film.get(ANNA, video.id)
    assert seen.error is not None
    told = {"before": ("unsupported", "This portrait has no mouth."), "inside": ("out_of_memory", "Too large.")}
    assert (seen.error.code, seen.error.message) == told[where]
    assert studio.filmer.started <= 1


async def test_a_predictor_that_goes_away_in_the_middle_costs_an_attempt(studio: Studio) -> None:
    """Otherwise a job that kills its predictor would be tried for ever."""
    studio.filmer.lost_at = (2, Unavailable("Shutting down."))
    studio.start(studio.dispatcher())
    video = await studio.order()
    job = await studio.reached(video.id, "failed")
    assert job.attempts == job.max_attempts


async def test_a_bug_fails_the_job_and_not_the_dispatcher(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    studio.filmer.refusals += [ZeroDivisionError("secret")] * 3  # type: ignore[list-item]
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "failed")
    after = await studio.order()
    await studio.reached(after.id, "completed")
    seen = await studio.film.get(ANNA, video.id)
    assert seen.error is not None
    assert seen.error.code == "internal"
    assert "secret" not in seen.error.message
    assert "a job's work failed unexpectedly" in caplog.messages


async def test_a_busy_predictor_is_asked_again_in_the_same_attempt(studio: Studio) -> None:
    studio.filmer.refusals += [Busy("Full.", retry_after=0.05), Busy("Full.", retry_after=0.4)]
    studio.speaker.refusals += [Busy("Full.", retry_after=0.05)]
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "waiting_for_gpu")
    job = await studio.reached(video.id, "completed")
    assert job.attempts == 1
    assert studio.speaker.started == 1  # what was spoken is not spoken again


async def test_a_predictor_that_stays_away_lets_others_pass_and_costs_no_attempt(studio: Studio) -> None:
    studio.filmer.refusals.append(Unavailable("Visualizr cannot be reached.", retry_after=0.3))
    studio.start(studio.dispatcher(patience=0.1))
    video = await studio.order()
    after = await studio.order()
    await studio.reached(after.id, "completed")
    assert (await studio.film.get(ANNA, video.id)).phase == "waiting_for_gpu"
    job = await studio.reached(video.id, "completed")
    assert job.attempts == 1
    assert studio.jobs.completed == [after.id, video.id]


async def test_a_job_does_not_wait_for_ever(studio: Studio) -> None:
    studio.filmer.refusals += [Unavailable("Visualizr cannot be reached.", retry_after=0.1)] * 99
    studio.start(studio.dispatcher(patience=0.0, pace=Pace(lease=5, heartbeat=0.05, give_up=0.3)))
    video = await studio.order()
    await studio.reached(video.id, "failed")
    seen = await studio.film.get(ANNA, video.id)
    assert seen.error is not None
    assert seen.error.code == "unavailable"


async def test_the_trace_goes_from_the_request_through_the_job_into_the_predictors(studio: Studio) -> None:
    seen = Seen()
    with studio.tracer.start_as_current_span("POST /v1/videos") as asked:
        video = await studio.order()
    async with (
        served(predictor_app(studio.speaker, studio.filmer, seen)) as url,
        VocalizrHttp(url) as vocalizr,
        VisualizrHttp(url) as visualizr,
    ):
        studio.start(studio.dispatcher(speaker=vocalizr, filmer=visualizr))
        await studio.reached(video.id, "completed")
        await until(lambda: any(span.name == "job video" for span in studio.spans.get_finished_spans()))
    (job_span,) = [span for span in studio.spans.get_finished_spans() if span.name == "job video"]
    parent = asked.get_span_context()
    assert job_span.parent is not None
    assert (job_span.parent.trace_id, job_span.parent.span_id) == (parent.trace_id, parent.span_id)
    assert job_span.kind is trace.SpanKind.CONSUMER
    own = f"00-{parent.trace_id:032x}-{job_span.context.span_id:016x}"
    assert [headers["traceparent"].rpartition("-")[0] for headers in seen.headers] == [own, own]


async def test_a_429_is_retried_on_a_new_connection(studio: Studio) -> None:
    seen = Seen()
    studio.filmer.refusals += [Busy("Full.", retry_after=0.05)] * 2
    async with (
        served(predictor_app(studio.speaker, studio.filmer, seen)) as url,
        VisualizrHttp(url) as visualizr,
    ):
        studio.start(studio.dispatcher(filmer=visualizr))
        video = await studio.order()
        await studio.reached(video.id, "completed")
    assert len(seen.peers) == 3
    assert len(set(seen.peers)) == 3


async def test_a_deleted_job_hangs_up_on_the_predictor(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    async with (
        served(predictor_app(studio.speaker, studio.filmer, Seen())) as url,
        VisualizrHttp(url) as visualizr,
    ):
        studio.start(studio.dispatcher(filmer=visualizr))
        video = await studio.order()
        await studio.reached(video.id, "filming")
        await studio.film.delete(ANNA, video.id)
        await until(lambda: studio.filmer.stopped == 1)
    assert studio.filmer.finished == 0


async def test_a_finished_film_waits_for_redis_to_come_back() -> None:
    with started(appendfsync="always") as server:
        async with connected(server.url) as redis, AsyncExitStack() as stack:
            studio = Studio(RedisJobs(redis), stack)
            studio.filmer.hold_at = 1
            studio.start(studio.dispatcher(pace=Pace(lease=20, heartbeat=0.05)))
            video = await studio.order()
            await studio.reached(video.id, "filming")
            server.kill()
            await asyncio.sleep(0.3)  # heartbeats fail meanwhile
            server.start()
            studio.filmer.released.set()
            async with asyncio.timeout(10):
                while studio.jobs.completed != [video.id]:
                    await asyncio.sleep(0.02)
            assert studio.filmer.started == 1  # nothing was done twice
            await redis.connection_pool.disconnect()
            assert (await studio.job(video.id)).status == "completed"
