"""`python -m chattr.dispatcher`: real processes that are killed and stopped in the middle of real streams."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chatacter.contracts.video_job import VideoOrder
from chattr.adapters.assets_fsspec import FsspecAssets
from chattr.adapters.fakes.casting import FakeCasting
from chattr.adapters.fakes.media import FILM, FakeFilmer, FakeSpeaker
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_jobs import RedisJobs
from chattr.domain.identity import Owner, new_id
from chattr.ports.jobs import NewJob
from chattr.usecases.film import Film
from chattr.usecases.job_files import text_id
from tests.predictor_server import Seen, predictor_app
from tests.served import served
from tests.service_process import ServiceProcess, running
from tests.waiting import eventually, until

pytestmark = pytest.mark.integration

ANNA = Owner("acme", "anna")
SAID = "data:audio/wav;base64,UklGRg=="


@dataclass
class Yard:
    """One Redis, one predictor, one folder of assets, and as many dispatchers as a test starts."""

    folder: Path
    settings: dict[str, str]
    film: Film
    jobs: RedisJobs
    assets: FsspecAssets
    speaker: FakeSpeaker
    filmer: FakeFilmer

    @contextmanager
    def dispatcher(self, **settings: str) -> Iterator[ServiceProcess]:
        with running("chattr.dispatcher", self.folder, {**self.settings, **settings}) as process:
            yield process

    async def order(self, **fields: str) -> str:
        return (await self.film.create(ANNA, VideoOrder(prompt="Hello there.", **fields))).id

    async def order_speech(self) -> str:
        job_id = new_id("speech")
        await self.assets.put(ANNA.shared, text_id(job_id), b"Hello there.", "text/plain")
        request = {"model": "kokoro", "voice": "af_heart", "response_format": "pcm", "text": text_id(job_id)}
        return (await self.jobs.enqueue(ANNA, NewJob(job_id, "speech", "kokoro", request, {}))).id

    async def status(self, video_id: str) -> str:
        return (await self.film.get(ANNA, video_id)).status

    async def completed(self, video_id: str, seconds: float) -> None:
        async def done() -> bool:
            return await self.status(video_id) == "completed"

        await eventually(done, seconds)
        asset = await self.film.content(ANNA, video_id)
        assert b"".join([part async for part in self.assets.read(ANNA.shared, asset.id)]) == FILM


@asynccontextmanager
async def yard_at(redis_url: str, folder: Path) -> AsyncIterator[Yard]:
    speaker, filmer = FakeSpeaker(), FakeFilmer()
    async with served(predictor_app(speaker, filmer, Seen())) as url, connected(redis_url) as redis:
        root = (folder / "assets").as_uri()
        assets = FsspecAssets(root)
        await assets.open()
        settings = {"RECORDS__URL": redis_url, "VOCALIZR__URL": url, "VISUALIZR__URL": url, "ASSETS_URL": root}
        jobs = RedisJobs(redis)
        film = Film(filmer, jobs, assets, FakeCasting(), speech_model="kokoro")
        yield Yard(folder, settings, film, jobs, assets, speaker, filmer)
        speaker.released.set()
        filmer.released.set()


@pytest.fixture
async def yard(redis_url: str, tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard_at(redis_url, tmp_path) as found:
        yield found


async def ending(process: ServiceProcess) -> None:
    """Send SIGTERM; return once the process has heard it: then it listens no more."""

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", process.port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    process.process.send_signal(signal.SIGTERM)
    await eventually(refused, 20)


async def test_a_killed_process_loses_nothing(yard: Yard) -> None:
    yard.filmer.hold_at = 2
    with ExitStack() as stack:
        doomed = await asyncio.to_thread(stack.enter_context, yard.dispatcher())
        video_id = await yard.order()
        await until(lambda: yard.filmer.started == 1)
        doomed.process.kill()
        await until(lambda: yard.filmer.stopped == 1)  # its connection ended with it, and the work too
        assert await yard.status(video_id) == "in_progress"
        yard.filmer.hold_at = None
        await asyncio.to_thread(stack.enter_context, yard.dispatcher())
        await yard.completed(video_id, 30)  # after the dead one's lease
    assert yard.filmer.started == 2
    assert (await yard.film.content(ANNA, video_id)).id == f"{video_id}-2"


async def test_a_frozen_process_wakes_to_find_its_job_taken(yard: Yard) -> None:
    yard.filmer.hold_at = 2
    with ExitStack() as stack:
        frozen = await asyncio.to_thread(stack.enter_context, yard.dispatcher())
        video_id = await yard.order()
        await until(lambda: yard.filmer.started == 1)
        frozen.process.send_signal(signal.SIGSTOP)
        yard.filmer.hold_at = None
        await asyncio.to_thread(stack.enter_context, yard.dispatcher())
        await yard.completed(video_id, 30)
        yard.filmer.released.set()  # its predictor has finished meanwhile; it wakes with a whole film in its hands
        frozen.process.send_signal(signal.SIGCONT)
        late = f"{video_id}-1"
        assert (await yard.film.content(ANNA, video_id)).id == f"{video_id}-2"
        assert await asyncio.to_thread(frozen.stop) == 0
        assert await yard.assets.info(ANNA.shared, late) is None
        assert (await yard.film.content(ANNA, video_id)).id == f"{video_id}-2"


async def test_sigterm_lets_the_job_finish_within_the_grace(yard: Yard) -> None:
    yard.filmer.hold_at = 2
    with ExitStack() as stack:
        process = await asyncio.to_thread(stack.enter_context, yard.dispatcher(SHUTDOWN_GRACE="20"))
        video_id = await yard.order()
        await until(lambda: yard.filmer.started == 1)
        waiting = await yard.order()
        await ending(process)
        assert process.process.poll() is None
        yard.filmer.released.set()
        await yard.completed(video_id, 10)
        assert await asyncio.to_thread(process.process.wait, 30) == 0
    assert await yard.status(waiting) == "queued"
    assert yard.filmer.started == 1


async def test_sigterm_hands_back_what_takes_longer(yard: Yard) -> None:
    yard.filmer.hold_at = 2
    with ExitStack() as stack:
        process = await asyncio.to_thread(stack.enter_context, yard.dispatcher(SHUTDOWN_GRACE="0.2"))
        video_id = await yard.order()
        await until(lambda: yard.filmer.started == 1)
        assert await asyncio.to_thread(process.stop) == 0
    assert await yard.status(video_id) == "queued"
    assert yard.filmer.stopped == 1


async def test_sigterm_stops_leasing_finishes_what_can_be_and_hands_back_the_rest(yard: Yard) -> None:
    yard.filmer.hold_at = 2
    with ExitStack() as stack:
        process = await asyncio.to_thread(stack.enter_context, yard.dispatcher(SHUTDOWN_GRACE="5"))
        filmed = await yard.order(audio_reference=SAID)
        await until(lambda: yard.filmer.started == 1)
        yard.speaker.hold_at = 1
        spoken, waiting = await yard.order_speech(), await yard.order_speech()
        await until(lambda: yard.speaker.started == 1)
        await ending(process)
        yard.speaker.released.set()
        assert await asyncio.to_thread(process.process.wait, 20) == 0
    ended = [await yard.jobs.get(ANNA, job_id) for job_id in (spoken, filmed, waiting)]
    assert [(job.status, job.attempts, job.fence) for job in ended if job] == [
        ("completed", 1, 1),
        ("queued", 0, 1),
        ("queued", 0, 0),
    ]
    assert [each.outcome for each in await yard.jobs.attempts(ANNA, filmed)] == ["handed_back"]
    assert yard.speaker.started == 1


async def test_it_tells_its_health_and_what_is_outstanding(yard: Yard) -> None:
    await yard.order()
    yard.filmer.hold_at = 0
    with ExitStack() as stack:
        process = await asyncio.to_thread(stack.enter_context, yard.dispatcher())
        async with httpx.AsyncClient(base_url=process.url) as web:
            assert (await web.get("/readyz")).status_code == 200
            metrics = (await web.get("/metrics")).text
        (line,) = [line for line in metrics.splitlines() if line.startswith("chatacter_jobs_outstanding{")]
        assert line.endswith(" 1.0")
        yard.filmer.released.set()
        await asyncio.to_thread(process.stop)


async def test_with_nothing_to_do_it_says_why_it_does_not_start(yard: Yard) -> None:
    with (
        pytest.raises(RuntimeError, match="ENABLE_VIDEO_GENERATION=false"),
        yard.dispatcher(ENABLE_VIDEO_GENERATION="false", ENABLE_VOICE_GENERATION="false"),
    ):
        pass
