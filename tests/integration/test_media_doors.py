"""The doors to speech, video, jobs and KServe as clients use them: the official SDK, a real server, real Redis."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI, NotFoundError, UnprocessableEntityError
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr

from chatacter.chassis.app import Service, build
from chatacter.chassis.errors import Busy
from chatacter.chassis.health import Health
from chatacter.chassis.settings import ServiceSettings
from chatacter.chassis.telemetry import telemetry_of
from chatacter.contracts.video import Video
from chattr.adapters.assets_fsspec import FsspecAssets
from chattr.adapters.fakes.casting import FakeCasting
from chattr.adapters.fakes.media import FILM, SOUND, FakeFilmer, FakeInference, FakeSpeaker
from chattr.adapters.redis_cache import RedisIdempotency
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_demand import RedisDemand
from chattr.adapters.redis_jobs import RedisJobs
from chattr.adapters.visualizr_http import VisualizrHttp
from chattr.adapters.vocalizr_http import VocalizrHttp
from chattr.dispatcher import Dispatcher, Pace
from chattr.routes import inference, media, videos
from chattr.usecases.film import Film
from chattr.usecases.filming import FilmWork
from chattr.usecases.infer import Infer
from chattr.usecases.outstanding import Outstanding
from chattr.usecases.speak import Speak
from tests.predictor_server import Seen, predictor_app
from tests.served import served
from tests.waiting import eventually, until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning"),
]

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
QUICK = Pace(lease=5, heartbeat=0.05, grace=2, retry=0.05)


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
            vocalizr = await stack.enter_async_context(VocalizrHttp(behind))
            visualizr = await stack.enter_async_context(VisualizrHttp(behind))
            jobs, demand = RedisJobs(redis), RedisDemand(redis)
            assets = FsspecAssets((self._folder / "assets").as_uri())
            await assets.open()
            casting = FakeCasting()
            state = {
                "speak": Speak(vocalizr if enabled else None, casting, demand, model="kokoro", seconds=30),
                "film": Film(
                    visualizr if enabled else None, jobs, assets, casting, speech_model="kokoro" if enabled else None
                ),
                "infer": Infer({"speech": kserve} if enabled else {}, demand, seconds=30),
                "jobs": jobs,
                "assets": assets,
                "outstanding": Outstanding(jobs, demand, NoOpMeterProvider().get_meter("test")),
                "idempotency": RedisIdempotency(redis, ttl=600),
            }
            url = await stack.enter_async_context(served(await asyncio.to_thread(application, state)))
            work = FilmWork(vocalizr, visualizr, assets, demand, seconds=30)
            tracer = TracerProvider().get_tracer("test")
            stopping = asyncio.Event()
            dispatcher = Dispatcher(jobs, work, worker="w", tracer=tracer, pace=QUICK)
            task = asyncio.create_task(dispatcher.run(stopping))
            web = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=20))
            openai = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            stack.push_async_callback(openai.close)
            yield Rig(url, speaker, filmer, kserve, jobs, demand, assets, web, openai)
            for fake in (speaker, filmer, kserve):
                fake.released.set()
            stopping.set()
            await task


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
            routers=[media.router, videos.router, inference.router],
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


async def test_the_official_client_films_a_prompt(rig: Rig) -> None:
    """`client.videos.create(model="portrait", prompt="…")`, as the OpenAI SDK sends it: multipart, nobody named."""
    video = await rig.openai.videos.create(model="portrait", prompt="Hello there.")
    assert (video.object, video.status, video.model) == ("video", "queued", "portrait")
    done = await rig.openai.videos.poll(video.id, poll_interval_ms=20)
    assert (done.status, done.progress, done.prompt) == ("completed", 100, "Hello there.")
    assert done.completed_at is not None
    assert rig.speaker.requests[0].voice == "af_heart"  # the default character's
    content = await rig.openai.videos.download_content(video.id)
    assert await content.aread() == FILM
    assert content.response.headers["content-type"] == "video/webm"
    gone = await rig.openai.videos.delete(video.id)
    assert gone.deleted
    with pytest.raises(NotFoundError):
        await rig.openai.videos.retrieve(video.id)


async def test_a_character_is_named_beside_openais_fields(rig: Rig) -> None:
    video = await rig.openai.videos.create(prompt="Hi.", extra_body={"character": "ada", "fps": 8})
    assert (await finished(rig, video.id)).status == "completed"
    assert rig.filmer.requests[0].fps == 8
    body = {"model": "portrait", "prompt": "Hi.", "character": "ada", "fps": 9, "size": "128x128"}
    answer = await rig.web.post("/v1/videos", json=body)
    assert answer.status_code == 200
    assert (answer.json()["character"], answer.json()["size"]) == ("ada", "128x128")
    assert answer.headers["openai-poll-after-ms"]
    assert (await finished(rig, answer.json()["id"])).status == "completed"
    assert rig.filmer.requests[1].fps == 9


async def test_a_picture_is_uploaded_as_a_file_or_as_data(rig: Rig) -> None:
    uploaded = await rig.openai.videos.create(prompt="Hi.", input_reference=("me.bin", PNG))
    by_url = "data:image/png;base64,iVBORw0KGgo="
    referred = await rig.openai.videos.create(prompt="Hi.", extra_body={"input_reference": {"image_url": by_url}})
    in_json = {"prompt": "Hi.", "input_reference": {"image_url": by_url}}
    written = Video.model_validate((await rig.web.post("/v1/videos", json=in_json)).json())
    for video in (uploaded, referred, written):
        assert (await finished(rig, video.id)).status == "completed"
    assert rig.filmer.requests[0].image_reference.startswith("data:image/png;base64,iVBOR")
    assert [shot.image_reference for shot in rig.filmer.requests[1:]] == [by_url, by_url]


async def test_a_sound_replaces_the_voice(rig: Rig) -> None:
    sound = "data:audio/wav;base64,UklGRg=="
    answer = await rig.web.post("/v1/videos", json={"audio_reference": sound})
    assert (await finished(rig, answer.json()["id"])).status == "completed"
    assert rig.speaker.started == 0
    assert rig.filmer.requests[0].audio_reference == sound


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 422, "prompt"),
        ({"prompt": "   "}, 422, "prompt"),
        ({"prompt": "x" * 5000}, 422, "prompt"),
        ({"prompt": "x", "size": "big"}, 422, "size"),
        ({"prompt": "x", "size": "32x32"}, 422, "size"),
        ({"prompt": "x", "size": "101x101"}, 422, "size"),
        ({"prompt": "x", "seconds": "4"}, 422, "seconds"),
        ({"prompt": "x", "character": "nobody"}, 404, "character"),
        ({"prompt": "x", "character": "voice_only"}, 422, "character"),
        ({"prompt": "x", "model": "sora-2"}, 404, "model"),
        ({"prompt": "x", "input_reference": {"image_url": "https://example.com/a.png"}}, 422, "input_reference"),
        ({"prompt": "x", "input_reference": {"file_id": "file_1"}}, 422, "input_reference"),
        ({"prompt": "x", "image_reference": "data:text/html;base64,AAAA"}, 422, "input_reference"),
    ],
)
async def test_what_cannot_be_filmed_is_refused_at_once(
    rig: Rig, body: dict[str, Any], status: int, param: str
) -> None:
    answer = await rig.web.post("/v1/videos", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert await rig.jobs.outstanding() == {}
    with pytest.raises((NotFoundError, UnprocessableEntityError)):  # and the same by multipart
        await rig.openai.videos.create(prompt=body.get("prompt", ""), extra_body=body)


async def test_an_upload_that_is_no_picture_is_refused(rig: Rig) -> None:
    with pytest.raises(UnprocessableEntityError):
        await rig.openai.videos.create(prompt="Hi.", input_reference=("a.png", b"#!/bin/sh"))
    assert (
        await rig.web.post("/v1/videos", content=b"{", headers={"content-type": "application/json"})
    ).status_code == 422
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert (await rig.web.post("/v1/videos", content=b"--y", headers=broken)).status_code in {400, 422}


async def test_while_the_predictor_sleeps_the_job_waits(rooms: Rooms) -> None:
    async with rooms.rig() as rig:
        rig.filmer.refusals += [Busy("Full.", retry_after=0.2)]
        video = await rig.openai.videos.create(prompt="Hi.")

        async def waits() -> bool:
            return bool((await rig.web.get(f"/v1/videos/{video.id}")).json()["phase"] == "waiting_for_gpu")

        await eventually(waits)
        answer = await rig.web.get(f"/v1/videos/{video.id}/content")
        assert (answer.status_code, "not finished" in answer.json()["error"]["message"]) == (409, True)
        assert (await finished(rig, video.id)).status == "completed"


async def test_videos_are_listed_in_pages(rig: Rig) -> None:
    ids = [(await rig.openai.videos.create(prompt=f"Film {number}.")).id for number in range(5)]
    for video_id in ids:
        await finished(rig, video_id)
    listed = [video.id async for video in rig.openai.videos.list(limit=2)]
    assert listed == ids[::-1]
    page = await rig.openai.videos.list(limit=2, order="asc")
    assert ([video.id for video in page.data], page.has_more, page.last_id) == (ids[:2], True, ids[1])
    assert (await rig.web.get("/v1/videos?limit=0")).status_code == 422


async def test_a_film_is_read_in_parts(rig: Rig) -> None:
    video = await rig.openai.videos.create(prompt="Hi.")
    await finished(rig, video.id)
    path = f"/v1/videos/{video.id}/content"
    whole = await rig.web.get(path)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, FILM, "bytes")
    assert "sandbox" in whole.headers["content-security-policy"]
    size = len(FILM)
    for asked, status, content in (
        ("bytes=0-3", 206, FILM[:4]),
        ("bytes=4-", 206, FILM[4:]),
        ("bytes=-3", 206, FILM[-3:]),
        (f"bytes=2-{size + 99}", 206, FILM[2:]),
        (f"bytes=0-{size - 1}", 200, FILM),
        ("bytes=0-1,3-4", 200, FILM),
        ("nonsense", 200, FILM),
    ):
        part = await rig.web.get(path, headers={"range": asked})
        assert (part.status_code, part.content) == (status, content), asked
    assert (await rig.web.get(path, headers={"range": "bytes=1-2"})).headers["content-range"] == f"bytes 1-2/{size}"
    beyond = await rig.web.get(path, headers={"range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    same = await rig.web.get(path, headers={"if-none-match": whole.headers["etag"]})
    assert same.status_code == 304
    other = await rig.web.get(path, headers={"range": "bytes=0-1", "if-range": '"another"'})
    assert other.status_code == 200
    asset_id = f"{video.id}-1"
    assert (await rig.web.get(f"/api/v1/media/{asset_id}")).content == FILM
    assert (await rig.web.get("/api/v1/media/nothing")).status_code == 404
    assert (await rig.web.get("/api/v1/media/..%2f..%2fetc")).status_code == 404


async def test_another_tenant_or_nobody_gets_nothing(rig: Rig) -> None:
    assert (await rig.web.get("/v1/videos/video_0/content")).status_code == 404
    assert (await rig.web.delete("/v1/videos/video_0")).status_code == 404
    assert (await rig.web.get("/api/v1/jobs/video_0")).status_code == 404


async def test_what_is_not_built_says_so(rig: Rig) -> None:
    video = await rig.openai.videos.create(prompt="Hi.")
    await finished(rig, video.id)
    for method, path in (
        ("GET", f"/v1/videos/{video.id}/content?variant=thumbnail"),
        ("GET", f"/v1/videos/{video.id}/content?variant=spritesheet"),
        ("POST", f"/v1/videos/{video.id}/remix"),
        ("POST", "/v1/audio/voice_consents"),
        ("POST", "/v1/audio/voices"),
        ("POST", "/v1/audio/transcriptions"),
    ):
        answer = await rig.web.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_built"), path


async def test_jobs_are_seen_and_cancelled(rig: Rig) -> None:
    rig.filmer.hold_at = 1
    video = await rig.openai.videos.create(prompt="Hi.")
    await until(lambda: rig.filmer.started == 1)
    job = (await rig.web.get(f"/api/v1/jobs/{video.id}")).json()
    assert (job["object"], job["modality"], job["status"], job["attempts"]) == ("job", "video", "running", 1)
    cancelled = (await rig.web.post(f"/api/v1/jobs/{video.id}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    await until(lambda: rig.filmer.stopped == 1)  # the hang-up reached the predictor
    assert rig.filmer.finished == 0
    seen = await rig.openai.videos.retrieve(video.id)
    assert (seen.status, seen.error and seen.error.code) == ("failed", "cancelled")
    listed = (await rig.web.get("/api/v1/jobs")).json()
    assert [each["id"] for each in listed["data"]] == [video.id]
    assert (await rig.web.post("/api/v1/jobs/video_0/cancel")).status_code == 404


async def test_demand_is_one_number_for_a_model(rig: Rig) -> None:
    rig.filmer.hold_at = rig.speaker.hold_at = 1
    assert (await rig.web.get("/api/v1/demand")).json() == {"outstanding": 0, "models": []}
    say = {"model": "kokoro", "input": "Hello.", "voice": "af_heart", "response_format": "pcm"}
    async with rig.web.stream("POST", "/v1/audio/speech", json=say) as speaking:
        assert speaking.status_code == 200
        for _ in range(2):
            await rig.web.post("/v1/videos", json={"audio_reference": "data:audio/wav;base64,UklGRg=="})
        asked = "/api/v1/demand?modality=video&model=portrait"
        assert (await rig.web.get(asked)).json()["outstanding"] == 2
        assert (await rig.web.get("/api/v1/demand?modality=speech&model=kokoro")).json()["outstanding"] == 1
        assert (await rig.web.get("/api/v1/demand")).json()["outstanding"] == 3
    rig.filmer.released.set()

    async def nothing_left() -> bool:
        return bool((await rig.web.get("/api/v1/demand")).json()["outstanding"] == 0)

    await eventually(nothing_left)


async def test_speech_streams_and_a_hang_up_stops_it(rig: Rig) -> None:
    async with rig.openai.audio.speech.with_streaming_response.create(
        model="kokoro", voice="ada", input="Hello.", response_format="wav"
    ) as response:
        assert b"".join([part async for part in response.iter_bytes()]) == b"".join(SOUND)
        assert response.headers["content-type"] == "audio/wav"
    assert rig.speaker.requests[0].voice == "af_heart"  # a character's voice
    await rig.openai.audio.speech.create(model="kokoro", voice="bm_george", input="Hello.")
    assert rig.speaker.requests[1].voice == "bm_george"
    rig.speaker.hold_at = 1
    stopped = rig.speaker.stopped
    async with rig.openai.audio.speech.with_streaming_response.create(
        model="kokoro", voice="ada", input="Hello."
    ) as response:
        await anext(response.iter_bytes(4))
        assert rig.speaker.stopped == stopped
    await until(lambda: rig.speaker.stopped == stopped + 1)
    assert rig.speaker.finished == 2


async def test_speech_comes_as_events_too(rig: Rig) -> None:
    body = {"model": "kokoro", "voice": "ada", "input": "Hello.", "stream_format": "sse", "response_format": "pcm"}
    answer = await rig.web.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("speech.audio.delta") == 3
    assert "speech.audio.done" in answer.text


@pytest.mark.parametrize("model", ["", "tts-1"])
async def test_an_empty_or_unknown_speech_model_lists_those_served(rig: Rig, model: str) -> None:
    with pytest.raises(NotFoundError, match="kokoro"):
        await rig.openai.audio.speech.create(model=model, voice="ada", input="Hello.")


async def test_voices_are_listed(rig: Rig) -> None:
    voices = (await rig.web.get("/v1/audio/voices")).json()
    assert [voice["id"] for voice in voices["data"]] == ["af_heart", "bm_george"]


async def test_kserves_protocols_pass_through_and_are_counted(rig: Rig) -> None:
    rig.kserve.hold_at = 1
    body = b'{"instances": [{"input": "Hi."}]}'
    async with rig.web.stream("POST", "/v1/models/kokoro:predict", content=body) as answer:
        chunks = answer.aiter_bytes()
        assert await anext(chunks) == b"POST /v1/models/kokoro:predict "
        assert await rig.demand.outstanding() == {("speech", "kokoro"): 1}
        rig.kserve.released.set()
        assert await anext(chunks) == body

    async def nothing_held() -> bool:
        return not await rig.demand.outstanding()

    await eventually(nothing_held)
    for path, told in (
        ("/v2/models/kokoro", b"GET /v2/models/kokoro "),
        ("/v2/models/kokoro/ready", b"GET /v2/models/kokoro/ready "),
    ):
        assert (await rig.web.get(path)).content == told
    tensors = {"content-type": "application/octet-stream", "inference-header-content-length": "9"}
    await rig.web.post("/v2/models/portrait/infer", content=b"12345", headers=tensors)
    method, path, sent, headers = rig.kserve.requests[-1]
    assert (method, path, sent) == ("POST", "/v2/models/portrait/infer", b"12345")
    assert headers["inference-header-content-length"] == "9"
    assert (await rig.web.get("/v2/models")).json() == {"models": ["kokoro", "portrait"]}
    missing = await rig.web.post("/v2/models/bert/infer", content=b"{}")
    assert (missing.status_code, "kokoro, portrait" in missing.json()["detail"]) == (404, True)


async def test_a_hang_up_stops_a_prediction(rig: Rig) -> None:
    rig.kserve.hold_at = 1
    async with rig.web.stream("POST", "/v1/models/kokoro:predict", content=b"{}") as answer:
        await anext(answer.aiter_bytes())
    await until(lambda: rig.kserve.stopped == 1)
    assert rig.kserve.finished == 0


async def test_switched_off_says_so_and_looks_for_nobody(rooms: Rooms) -> None:
    async with rooms.rig(enabled=False) as rig:
        say = {"model": "kokoro", "input": "Hello.", "voice": "ada"}
        for answer in (
            await rig.web.post("/v1/audio/speech", json=say),
            await rig.web.get("/v1/audio/voices"),
            await rig.web.post("/v1/videos", json={"prompt": "Hello."}),
            await rig.web.post("/v2/models/kokoro/infer", content=b"{}"),
        ):
            assert answer.status_code == 422
            assert "switched off" in answer.text
        assert (await rig.web.get("/v1/videos")).json()["data"] == []
        assert not rig.speaker.requests
        assert not rig.kserve.requests


async def test_a_repeated_order_is_one_film(rig: Rig) -> None:
    key = {"idempotency-key": "order-1"}
    first = await rig.web.post("/v1/videos", json={"prompt": "Hello."}, headers=key)
    second = await rig.web.post("/v1/videos", json={"prompt": "Hello."}, headers=key)
    assert first.json()["id"] == second.json()["id"]
    await finished(rig, first.json()["id"])
    assert rig.filmer.started == 1
