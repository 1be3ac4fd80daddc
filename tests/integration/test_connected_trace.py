"""One trace from a client through Chattr, its job and Visualizr; the same trace context in the model's call."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fake_llm_server import FakeLLMServer
from tests.otlp_receiver import Collected, collecting
from tests.redis_server import RedisServer
from tests.service_process import running

pytestmark = pytest.mark.integration

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
SECRET = "a thing that only the user knows"


@pytest.fixture
def collected() -> Iterator[Collected]:
    with collecting() as made:
        yield made


def test_a_video_is_one_trace_from_the_door_to_the_predictor(
    collected: Collected, redis_server: RedisServer, redis_url: str, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    shared = {"OTEL_EXPORTER_OTLP_ENDPOINT": collected.url, "SERVICE_TOKEN": "secret between services"}
    fakes = {"VOCALIZR_MODEL": "fake", "VISUALIZR_MODEL": "fake"}
    with (
        running("vocalizr", tmp_path, {**shared, **fakes}) as voice,
        running("visualizr", tmp_path, {**shared, **fakes}) as camera,
        running(
            "chattr", tmp_path, {**shared, **chattr_settings(redis_server.url, llm_server.url, voice.url, camera.url)}
        ) as chattr,
        httpx.Client(base_url=chattr.url, timeout=30, headers=TRACEPARENT) as client,
    ):
        assert client.post("/api/v1/chat/message", json={"message": SECRET}).status_code == 200
        beeper = {"id": "beeper", "name": "B", "personality": "Beeps.", "voice": "high", "portrait": "ada"}
        assert client.post("/api/v1/characters", json=beeper).status_code == 201
        film(client, {"model": "fake", "prompt": SECRET, "character": "beeper"})
        for service in (chattr, voice, camera):
            service.stop()
        written = chattr.written() + voice.written() + camera.written()

    spans = collected.trace(TRACE_ID)
    by_id = {span.span_id: span for span in spans}
    services = {span.service for span in spans}
    assert services == {"chattr", "vocalizr", "visualizr"}
    filming = next(span for span in spans if span.service == "visualizr" and "generations" in span.name)
    path = [filming]
    while path[-1].parent_id in by_id:
        path.append(by_id[path[-1].parent_id])
    assert path[-1].service == "chattr"
    assert path[-1].name == "POST /v1/videos"
    assert llm_server.requests[-1].headers["traceparent"].split("-")[1] == TRACE_ID
    assert "gen_ai.server.time_to_first_token" in collected.metrics
    assert collected.logs
    everything = written + "".join(collected.logs) + repr(collected.spans)
    assert SECRET not in everything


def chattr_settings(redis: str, model: str, voice: str, camera: str) -> dict[str, str]:
    return {
        "RECORDS__URL": redis,
        "MODEL__URL": model,
        "MODEL__NAME": "scripted",
        "VOCALIZR__URL": voice,
        "VOCALIZR__MODEL": "fake",
        "VISUALIZR__URL": camera,
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_UI": "false",
        "LOG_LEVEL": "INFO",
    }


def film(client: httpx.Client, order: dict[str, str]) -> None:
    """Order a film and wait until it is there."""
    ordered = client.post("/v1/videos", json=order)
    assert ordered.status_code == 200, ordered.text
    video = f"/v1/videos/{ordered.json()['id']}"
    until = time.monotonic() + 30
    while (state := client.get(video).json())["status"] not in {"completed", "failed"}:
        assert time.monotonic() < until, state
        time.sleep(0.1)
    assert state["status"] == "completed", state["error"]
