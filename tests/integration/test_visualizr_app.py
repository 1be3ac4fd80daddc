"""Visualizr as a service: its doors, asked over real connections, with a model that does as it is told."""

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from chatacter.chassis.auth import new_key
from chatacter.chassis.errors import Misconfigured
from chatacter.chassis.problems import INTERNAL
from chatacter.contracts.video import VideoEvent, VideoFailed
from tests.film_material import events, film_in, request, sound_url, svg_url, watched
from tests.served import served
from tests.waiting import until
from visualizr.app import application
from visualizr.backend import Film, Progress, Shot, VideoBackend
from visualizr.backends.fake import FakeBackend
from visualizr.settings import VisualizrSettings

pytestmark = pytest.mark.integration

EVENTS: TypeAdapter[VideoEvent] = TypeAdapter(VideoEvent)
FILMS = "/v1/video/generations"


async def built(backend: VideoBackend, **settings: Any) -> FastAPI:
    """Build the application as a process does: before there is an event loop."""
    return await asyncio.to_thread(lambda: application(VisualizrSettings(visualizr_model="fake", **settings), backend))


@asynccontextmanager
async def visualizr(backend: VideoBackend, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a backend; yields a client of it, once it is ready unless it never will be."""
    app = await built(backend, **settings)
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        for _ in range(200):
            if "loading" not in (await client.get("/readyz")).json()["checks"].get("fake", ""):
                break
            await asyncio.sleep(0.01)
        yield client


@asynccontextmanager
async def begun(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[None]:
    """Hold a film's stream open from its first line on; hang up at the end."""
    async with client.stream("POST", FILMS, json=body) as answer:
        lines = answer.aiter_lines()  # held: when it is collected, the answer is closed
        await anext(lines)
        yield


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with visualizr(FakeBackend()) as made:
        yield made


async def test_a_film(client: httpx.AsyncClient) -> None:
    answer = await client.post(FILMS, json=request(seconds=1.0))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-digital-source-type"].endswith("trainedAlgorithmicMedia")
    found = events(answer)
    assert [EVENTS.validate_python(event).type for event in found[:-1]] == ["video.progress"] * (len(found) - 1)
    progress = [event["progress"] for event in found[:-1]]
    assert progress == sorted(progress)
    assert len(progress) > 10
    seen = await asyncio.to_thread(watched, film_in(found))
    assert seen.heard == pytest.approx(1.0, abs=0.1)
    assert found[-1]["media_type"] == "video/webm"


async def test_what_a_request_leaves_out(client: httpx.AsyncClient) -> None:
    found = events(await client.post(FILMS, json={"model": "fake"}))
    assert (found[-1]["width"], found[-1]["height"], found[-1]["fps"]) == (512, 512, 25)


async def test_controls_reach_the_model_and_it_tells_what_it_used(client: httpx.AsyncClient) -> None:
    controls = {
        "negative_prompt": "rain",
        "num_frames": 3,
        "num_inference_steps": 7,
        "guidance_scale": 2.5,
        "motion_strength": 0.25,
        "emotion": "happy",
        "emotion_strength": 0.25,
        "gaze": "camera",
        "quality": "draft",
        "seed": 11,
    }
    film = events(await client.post(FILMS, json=request(**controls)))
    first = film[-1]
    assert first["metadata"] == {**controls, "strength": None}
    again = {"video_reference": f"data:video/webm;base64,{first['video']}", "strength": 0.5}
    answer = await client.post(FILMS, json=request(**again))
    assert answer.status_code == 200, answer.text
    assert events(answer)[-1]["metadata"]["strength"] == 0.5


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [
        ({"model": "other"}, 404, "model"),
        ({"image_reference": "https://example.org/a.png"}, 422, "image_reference"),
        ({"image_reference": "data:image/gif;base64,R0lGODlh"}, 422, "image_reference"),
        ({"image_reference": "data:image/png;base64,####"}, 422, "image_reference"),
        ({"audio_reference": "data:audio/wav;base64,AAAA"}, 422, "audio_reference"),
        ({"audio_reference": sound_url(3.0)}, 413, "audio_reference"),
        ({"width": 1282}, 413, "width"),
        ({"width": 65}, 422, "width"),
        ({"fps": 0}, 422, "fps"),
        ({"unknown": 1}, 422, "unknown"),
        ({"phonemes": [{"symbol": "a", "start": 1, "end": 0}]}, 422, "phonemes"),
        ({"phonemes": [{"symbol": "a", "start": 0, "end": 9}]}, 422, "phonemes"),
        ({"phonemes": [{"symbol": "a", "start": -1, "end": 0}]}, 422, "phonemes"),
        ({"strength": 0.5}, 422, "strength"),
        ({"num_inference_steps": 0}, 422, "num_inference_steps"),
        ({"motion_strength": 2}, 422, "motion_strength"),
        ({"quality": "best"}, 422, "quality"),
        ({"emotion": "hungry"}, 422, "emotion"),
        ({"gaze": "inwards"}, 422, "gaze"),
        ({"video_reference": "data:video/webm;base64,AAAA"}, 422, "video_reference"),
        ({"video_reference": "data:video/ogg;base64,AAAA"}, 422, "video_reference"),
        ({"audio_reference": None, "phonemes": [{"symbol": "a", "start": 0, "end": 0.1}]}, 422, "phonemes"),
    ],
)
async def test_refusals_come_before_the_stream(more: dict[str, Any], status: int, param: str) -> None:
    backend = FakeBackend()
    async with visualizr(backend, visualizr_max_seconds=2.0) as client:
        answer = await client.post(FILMS, json=request(**more))
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param
    assert backend.begun == 0


async def test_too_many_timings(client: httpx.AsyncClient) -> None:
    timings = [{"symbol": "a", "start": 0, "end": 0}] * 20_001
    assert (await client.post(FILMS, json=request(phonemes=timings))).status_code == 413


async def test_infinite_timings(client: httpx.AsyncClient) -> None:
    body = json.dumps(request(phonemes=[{"symbol": "a", "start": 0, "end": 0.1}])).replace("0.1}", "Infinity}")
    answer = await client.post(FILMS, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


async def test_what_the_model_refuses_is_a_plain_error() -> None:
    async with visualizr(FakeBackend(broken="Use a frontal portrait.")) as client:
        answer = await client.post(FILMS, json=request())
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "Use a frontal portrait."


async def test_hanging_up_stops_the_work() -> None:
    backend = FakeBackend(pause=0.01)
    async with visualizr(backend) as client:
        async with client.stream("POST", FILMS, json=request(seconds=30.0)) as answer:
            lines = answer.aiter_lines()
            while not (await anext(lines)).startswith("data:"):
                pass
        await until(backend.stopped.is_set)
        stopped_at = backend.frames
        assert stopped_at < 60
        assert (await client.post(FILMS, json=request(seconds=0.1))).status_code == 200
    assert backend.finished == 1
    assert backend.frames == stopped_at + 3


async def test_hanging_up_in_the_queue_gives_the_place_back() -> None:
    backend = FakeBackend(pause=0.02)
    async with visualizr(backend, visualizr_queue=1) as client, begun(client, request(seconds=3.0)):
        waiting = asyncio.create_task(client.post(FILMS, json=request()))
        await until_waiting(client, 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        await until_waiting(client, 0)
        assert backend.begun == 1
        async with client.stream("POST", FILMS, json=request()) as second:
            assert second.status_code == 200


async def until_waiting(client: httpx.AsyncClient, count: float) -> None:
    """Wait until the gauge says so."""
    async with asyncio.timeout(30):
        while True:
            metrics = (await client.get("/metrics")).text.splitlines()
            told = [line for line in metrics if line.startswith("chatacter_inference_waiting{")]
            if told and float(told[0].rpartition(" ")[2]) == count:
                return
            await asyncio.sleep(0.01)


async def test_a_full_queue() -> None:
    backend = FakeBackend(pause=0.05)
    async with visualizr(backend, visualizr_queue=0) as client:
        async with begun(client, request(seconds=20.0)):
            answer = await client.post(FILMS, json=request())
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
        await until(backend.stopped.is_set)


async def test_a_heartbeat_while_waiting_and_the_mistake_told_in_the_stream() -> None:
    """Whoever waits hears from us within a second; what is wrong by then can only be an event."""
    backend = FakeBackend(pause=0.02)
    async with visualizr(backend, visualizr_queue=1) as client, begun(client, request(seconds=2.0)):
        backend._broken = "Use a frontal portrait."
        async with asyncio.timeout(10), client.stream("POST", FILMS, json=request()) as second:
            began = asyncio.get_running_loop().time()
            told = [line async for line in second.aiter_lines() if line]
            assert asyncio.get_running_loop().time() - began < 9
    assert json.loads(told[0][5:]) == {"type": "video.progress", "progress": 0.0}
    assert json.loads(told[-1][5:]) == {
        "type": "video.failed",
        "code": "invalid_input",
        "message": "Use a frontal portrait.",
        "retryable": False,
    }


class Stumbling(FakeBackend):
    """Fails in mid-film at something that nobody thought of."""

    def film(self, shot: Shot, cancelled: threading.Event) -> Iterator[Progress | Film]:
        yield Progress(0.0)
        raise ValueError("a secret")


async def test_an_unexpected_error_in_mid_film_is_told_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async with visualizr(Stumbling()) as client:
        answer = await client.post(FILMS, json=request())
    last = EVENTS.validate_python(events(answer)[-1])
    assert isinstance(last, VideoFailed)
    assert (last.code, last.message, last.retryable) == ("internal", INTERNAL, False)
    assert "a secret" not in answer.text
    (logged,) = [each for each in caplog.records if each.getMessage() == "unhandled error"]
    assert logged.exc_info


async def test_a_film_that_is_sent_is_decoded_when_its_turn_has_come() -> None:
    """However many wait, the frames of one film are in memory: a broken one is told of after the wait only."""
    backend = FakeBackend(pause=0.02)
    broken = request(video_reference="data:video/webm;base64,AAAA")
    async with visualizr(backend, visualizr_queue=1) as client, begun(client, request(seconds=2.0)):
        told = events(await client.post(FILMS, json=broken))
    assert (told[-1]["type"], told[-1]["code"]) == ("video.failed", "invalid_input")
    assert "video_reference" in told[-1]["message"]


async def test_a_heartbeat_while_a_frame_takes_long() -> None:
    async with visualizr(FakeBackend(pause=2.5)) as client:
        loop = asyncio.get_running_loop()
        heard = [loop.time()]
        async with client.stream("POST", FILMS, json=request(seconds=0.04)) as answer:
            lines = answer.aiter_lines()
            heard += [loop.time() async for line in lines if line.startswith("data:")]
    assert len(heard) >= 5
    assert np.diff(heard).max() < 1.5


class Broken(FakeBackend):
    """A model that is not installed."""

    def load(self) -> None:
        raise Misconfigured("Run `chatacter models install it`.")


class Slow(FakeBackend):
    """A model that loads until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def load(self) -> None:
        self.go.wait(10)
        super().load()


async def test_readiness_tells_the_truth() -> None:
    backend = Slow()
    app = await built(backend)
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).json()["checks"] == {"fake": "loading"}
        assert (await client.get("/v2/models/fake/ready")).status_code == 503
        early = await client.post(FILMS, json=request())
        assert early.status_code == 503
        assert "retry-after" in early.headers
        backend.go.set()
        async with asyncio.timeout(30):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.01)
        assert (await client.get("/v2/models/fake/ready")).json() == {"name": "fake", "ready": True}
        assert (await client.post(FILMS, json=request())).status_code == 200


async def test_a_model_that_cannot_be_loaded_says_why() -> None:
    async with visualizr(Broken()) as client:
        readiness = await client.get("/readyz")
        assert readiness.status_code == 503
        assert "models install it" in readiness.json()["checks"]["fake"]
        assert (await client.post(FILMS, json=request())).json()["error"][
            "message"
        ] == "Run `chatacter models install it`."


async def test_without_preload_the_first_request_loads() -> None:
    backend = FakeBackend()
    async with visualizr(backend, preload_models=False) as client:
        assert not backend.loaded
        assert (await client.post(FILMS, json=request())).status_code == 200
        assert backend.loaded
    assert not backend.loaded


async def test_kserve_v1(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/models")).json()["models"] == ["fake"]
    row = {key: value for key, value in request().items() if key != "model"}
    answer = await client.post("/v1/models/fake:predict", json={"instances": [row, {**row, "output_format": "mp4"}]})
    first, second = answer.json()["predictions"]
    assert (first["media_type"], second["media_type"]) == ("video/webm", "video/mp4")
    assert (await asyncio.to_thread(watched, base64.b64decode(first["video"]))).heard == pytest.approx(0.5, abs=0.1)
    wrong = await client.post("/v1/models/fake:predict", json={"instances": [{**row, "width": 3}]})
    assert wrong.status_code == 422
    assert "width" in wrong.json()["error"]["message"]


async def test_kserve_v2(client: httpx.AsyncClient) -> None:
    inputs = [
        {"name": "audio_reference", "shape": [1], "datatype": "BYTES", "data": [sound_url(0.4)]},
        {"name": "image_reference", "shape": [1], "datatype": "BYTES", "data": [svg_url()]},
        {"name": "width", "shape": [1], "datatype": "INT64", "data": [64]},
        {"name": "height", "shape": [1], "datatype": "INT64", "data": [64]},
        {
            "name": "phonemes",
            "shape": [1],
            "datatype": "BYTES",
            "data": [json.dumps([{"symbol": "a", "start": 0.0, "end": 0.2}])],
        },
    ]
    answer = await client.post("/v2/models/fake/infer", json={"inputs": inputs})
    assert answer.status_code == 200
    outputs = {output["name"]: output["data"][0] for output in answer.json()["outputs"]}
    assert (outputs["width"], outputs["fps"], outputs["media_type"]) == (64, 25, "video/webm")
    assert (await asyncio.to_thread(watched, base64.b64decode(outputs["video"]))).shown == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_models_are_not_loaded_from_outside(client: httpx.AsyncClient, verb: str) -> None:
    assert (await client.post(f"/v2/repository/models/fake/{verb}")).status_code == 404


async def test_every_route_is_closed_to_callers_without_a_key() -> None:
    key = "k" * 40
    async with visualizr(FakeBackend(), require_api_key=True, service_token=key) as client:
        document = (await client.get("/openapi.json", headers={"authorization": f"Bearer {key}"})).json()
        doors = [(path, method) for path, methods in document["paths"].items() for method in methods]
        assert ("/v1/video/generations", "post") in doors
        assert len(doors) >= 7
        for path, method in [*doors, ("/metrics", "get"), ("/openapi.json", "get")]:
            address = path.replace("{model_name}", "fake")
            for headers in ({}, {"authorization": "Bearer wrong"}):
                answer = await client.request(method, address, headers=headers)
                assert answer.status_code == 401, (method, path)
        assert (await client.get("/livez")).status_code == 200


async def test_a_key_that_may_not_film(tmp_path: Path) -> None:
    secret, key = new_key("reader", "default", ["chat", "inference"])
    keys = tmp_path / "keys.json"
    keys.write_text(f"[{key.model_dump_json()}]")
    async with visualizr(FakeBackend(), require_api_key=True, api_keys_file=keys) as client:
        headers = {"authorization": f"Bearer {secret}"}
        assert (await client.get("/v1/models", headers=headers)).status_code == 200
        assert (await client.post(FILMS, json=request(), headers=headers)).status_code == 403


async def test_no_text_of_users_in_metrics_and_the_work_is_counted(client: httpx.AsyncClient) -> None:
    await client.post(FILMS, json=request(prompt="a very private sentence"))
    metrics = (await client.get("/metrics")).text
    assert "private" not in metrics
    assert 'gen_ai_operation_name="generate_video"' in metrics


def test_settings_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="VISUALIZR_MAX_SIDE"):
        VisualizrSettings(visualizr_size=1024, visualizr_max_side=512)
    with pytest.raises(ValueError, match="VISUALIZR_REMOTE_URL"):
        VisualizrSettings(visualizr_model="remote")
