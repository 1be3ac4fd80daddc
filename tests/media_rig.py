"""Chattr's media doors on a real server with real Redis, and the fakes of both predictors behind HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr
from redis.asyncio import Redis

from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.settings import ServiceSettings
from chatacter.chassis.telemetry import telemetry_of
from chattr.adapters.assets_fsspec import FsspecAssets
from chattr.adapters.by_model import filmers, speakers
from chattr.adapters.fakes.casting import FakeCasting
from chattr.adapters.fakes.media import FakeFilmer, FakeInference, FakeSpeaker
from chattr.adapters.redis_cache import RedisIdempotency
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_demand import RedisDemand
from chattr.adapters.redis_duty import RedisSecret
from chattr.adapters.redis_job_log import RedisJobLog
from chattr.adapters.redis_jobs import RedisJobs
from chattr.dispatcher import Dispatcher, Pace
from chattr.routes import inference, links, long_speech, media, videos, voices
from chattr.routes import jobs as jobs_routes
from chattr.usecases.film import Film
from chattr.usecases.filming import FilmWork
from chattr.usecases.infer import Infer
from chattr.usecases.outstanding import Outstanding
from chattr.usecases.reading_aloud import ReadAloud, SpeechWork
from chattr.usecases.signing import Signing
from chattr.usecases.speak import Speak
from tests.predictor_server import Seen, predictor_app
from tests.served import served

QUICK = Pace(lease=5, heartbeat=0.05, grace=2, retry=0.05)


@dataclass
class Clock:
    """The clock of signed addresses, which a test can put forward."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Rig:
    """Chattr's media doors on a real server, with the fakes of both predictors behind HTTP."""

    url: str
    speaker: FakeSpeaker
    filmer: FakeFilmer
    kserve: FakeInference
    jobs: RedisJobs
    demand: RedisDemand
    assets: FsspecAssets
    web: httpx.AsyncClient
    openai: AsyncOpenAI
    redis: Redis
    links: "Clock"

    async def forget_answers(self) -> None:
        """Lose what is kept under idempotency keys, as a cache that evicts may."""
        for name in [name async for name in self.redis.scan_iter("*:idempotency:*")]:
            await self.redis.delete(name)


class Rooms:
    """Builds a rig; `enabled=False` switches voice and video off."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self._redis_url = redis_url
        self._folder = folder

    @asynccontextmanager
    async def rig(self, *, enabled: bool = True) -> AsyncIterator[Rig]:
        async with AsyncExitStack() as stack:
            speaker, filmer, kserve = FakeSpeaker(), FakeFilmer(), FakeInference(["kokoro", "portrait"])
            behind = await stack.enter_async_context(served(predictor_app(speaker, filmer, Seen())))
            redis = await stack.enter_async_context(connected(self._redis_url))
            vocalizr = await stack.enter_async_context(speakers(behind, {}, model="kokoro"))
            visualizr = await stack.enter_async_context(filmers(behind, {}))
            jobs, demand, links_clock = RedisJobs(redis), RedisDemand(redis), Clock()
            assets = FsspecAssets((self._folder / "assets").as_uri())
            await assets.open()
            casting = FakeCasting()
            speak = Speak(vocalizr if enabled else None, casting, demand, model="kokoro", seconds=30)
            state = {
                "speak": speak,
                "read_aloud": ReadAloud(speak, jobs, assets),
                "film": Film(
                    visualizr if enabled else None,
                    jobs,
                    assets,
                    casting,
                    speech_model="kokoro" if enabled else None,
                    kept_days=30,
                ),
                "infer": Infer({"speech": kserve} if enabled else {}, demand, seconds=30),
                "jobs": jobs,
                "signing": Signing(assets, RedisSecret(redis, "links"), links_clock),
                "job_log": RedisJobLog(redis, block_ms=100),
                "assets": assets,
                "outstanding": Outstanding(jobs, demand, NoOpMeterProvider().get_meter("test")),
                "idempotency": RedisIdempotency(redis, ttl=600),
            }
            url = await stack.enter_async_context(served(await asyncio.to_thread(application, state)))
            work = FilmWork(vocalizr, visualizr, assets, demand, speaking=30, filming=30)
            tracer = TracerProvider().get_tracer("test")
            stopping = asyncio.Event()
            dispatcher = Dispatcher(jobs, work, worker="w", tracer=tracer, pace=QUICK)
            reading = SpeechWork(vocalizr, assets, seconds=30)
            reader = Dispatcher(jobs, reading, worker="r", tracer=tracer, modality="speech", pace=QUICK)
            tasks = [asyncio.create_task(each.run(stopping)) for each in (dispatcher, reader)]
            web = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=20))
            openai = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            stack.push_async_callback(openai.close)
            yield Rig(url, speaker, filmer, kserve, jobs, demand, assets, web, openai, redis, links_clock)
            for fake in (speaker, filmer, kserve):
                fake.released.set()
            stopping.set()
            await asyncio.gather(*tasks)


def application(state: Mapping[str, Any]) -> FastAPI:
    settings = ServiceSettings.read(service_token=SecretStr("inside"))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        yield state

    return build(
        Service(
            name="chattr",
            title="Chatacter",
            version="1",
            health=Health(),
            lifespan=lifespan,
            routers=[
                media.router,
                videos.router,
                voices.router,
                jobs_routes.router,
                long_speech.router,
                links.router,
                inference.router,
            ],
            telemetry=telemetry_of("chattr", settings),
        ),
        settings,
    )


@pytest.fixture
async def rooms(redis_url: str, tmp_path: Path) -> Rooms:
    return Rooms(redis_url, tmp_path)


@pytest.fixture
async def rig(rooms: Rooms) -> AsyncIterator[Rig]:
    async with rooms.rig() as found:
        yield found


async def finished(rig: Rig, video_id: str) -> Any:
    async with asyncio.timeout(8):
        while True:
            video = await rig.openai.videos.retrieve(video_id)
            if video.status in {"completed", "failed"}:
                return video
            await asyncio.sleep(0.02)
