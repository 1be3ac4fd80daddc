"""A process for each model, as in a cluster: Chattr's public doors and a dispatcher find the right one by its name."""

import base64
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatacter.chassis.provenance import COMMENT, DIGITAL_SOURCE_TYPE
from chatacter.client.api import Api
from tests import fake_llm_server
from tests.redis_server import free_port, started
from tests.service_process import ServiceProcess, running
from tests.waiting import eventually

pytestmark = pytest.mark.integration

CAST = """\
- {id: robin, name: Robin, system_prompt: You play Robin., voice: high, portrait: mira}
- {id: bea, name: Bea, system_prompt: You play Bea., voice: low, speech_model: beta, portrait: mira}
"""
SMALL = {"size": "64x64", "fps": 5}
ROWS: dict[str, dict[str, Any]] = {
    "alpha": {"input": "Hello.", "voice": "high"},
    "beta": {"input": "Hello.", "voice": "low"},
    "portrait": {"prompt": "Hello.", "width": 64, "height": 64, "fps": 5},
    "svd": {"prompt": "Hello.", "width": 64, "height": 64, "fps": 5},
}
SECONDS = 30.0


@dataclass
class Cluster:
    """Chattr, a dispatcher, two predictors of each modality that run, and one of each that does not yet."""

    folder: Path
    web: httpx.Client
    predictors: dict[str, ServiceProcess]
    cold: dict[str, int]

    def outstanding(self, modality: str, model: str) -> int:
        """What KEDA would read."""
        query = {"modality": modality, "model": model}
        return int(self.web.get("/api/v1/demand", params=query).raise_for_status().json()["outstanding"])

    def done(self) -> dict[str, int]:
        """How many jobs each predictor has finished."""
        return {model: counted(predictor) for model, predictor in self.predictors.items()}

    def say(self, model: str, voice: str) -> httpx.Response:
        body = {"model": model, "voice": voice, "input": "Hello.", "response_format": "wav"}
        return self.web.post("/v1/audio/speech", json=body)

    def video(self, video_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.web.get(f"/v1/videos/{video_id}").raise_for_status().json()
        return found

    async def completed(self, video_id: str) -> dict[str, Any]:
        async def ended() -> bool:
            return self.video(video_id)["status"] in {"completed", "failed"}

        await eventually(ended, SECONDS)
        return self.video(video_id)


def counted(predictor: ServiceProcess) -> int:
    metrics = httpx.get(f"{predictor.url}/metrics").raise_for_status().text
    return sum(int(float(n)) for n in re.findall(r"gen_ai_server_request_duration_seconds_count{[^}]*} (\S+)", metrics))


def predictor(stack: ExitStack, folder: Path, model: str, port: int | None = None) -> ServiceProcess:
    speaks = model in {"alpha", "beta", "gamma"}
    name = "VOCALIZR" if speaks else "VISUALIZR"
    settings = {f"{name}_MODEL": "fake", f"{name}_SERVED_NAME": model}
    return stack.enter_context(running("vocalizr" if speaks else "visualizr", folder, settings, port=port))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "cast.yaml").write_text(CAST)
    with ExitStack() as stack:
        redis, llm = stack.enter_context(started()), stack.enter_context(fake_llm_server.started())
        up = {model: predictor(stack, folder, model) for model in ("alpha", "beta", "portrait", "svd")}
        cold = {"gamma": free_port(), "animatediff": free_port()}
        at = {model: f'"{model}": "{each.url}/"' for model, each in up.items()}
        at |= {model: f'"{model}": "http://127.0.0.1:{port}"' for model, port in cold.items()}
        settings = {
            "RECORDS__URL": redis.url,
            "MODEL__URL": llm.url,
            "MODEL__NAME": "scripted",
            "VOCALIZR__URL": up["alpha"].url,
            "VOCALIZR__URLS": f"{{{at['beta']}, {at['gamma']}}}",
            "VOCALIZR__MODEL": "alpha",
            "VOCALIZR__VOICE": "high",
            "VISUALIZR__URL": f"{up['portrait'].url}/",
            "VISUALIZR__URLS": f"{{{at['portrait']}, {at['svd']}, {at['animatediff']}}}",
            "CHARACTER_CONFIG_PATH": str(folder / "cast.yaml"),
            "DEFAULT_CHARACTER": "robin",
            "ENABLE_LONG_TERM_MEMORY": "false",
            "ENABLE_UI": "false",
            "RUN_DISPATCHER": "false",
            "ASSETS_URL": (folder / "assets").as_uri(),
        }
        stack.enter_context(running("chattr.dispatcher", folder, settings))
        chattr = stack.enter_context(running("chattr", folder, settings))
        web = stack.enter_context(httpx.Client(base_url=chattr.url, timeout=SECONDS))
        yield Cluster(folder, web, up, cold)


async def test_what_is_there_is_the_union_and_who_is_away_is_told(cluster: Cluster) -> None:
    voices = cluster.web.get("/v1/audio/voices").raise_for_status().json()
    assert [(voice["model"], voice["id"]) for voice in voices["data"]] == [
        ("alpha", "high"),
        ("alpha", "low"),
        ("beta", "high"),
        ("beta", "low"),
    ]
    assert (voices["model"], list(voices["away"])) == ("alpha", ["gamma"])
    models = cluster.web.get("/v2/models").raise_for_status().json()
    assert models["models"] == ["alpha", "beta", "portrait", "svd"]
    assert "Visualizr (animatediff) cannot be reached" in models["away"]["animatediff"]
    async with Api.connected(str(cluster.web.base_url)) as api:
        assert await api.speech_model() == "alpha"


def test_health_tells_every_model(cluster: Cluster) -> None:
    health = cluster.web.get("/api/v1/health").raise_for_status().json()
    assert health["status"] == "ok"
    states = {(each["modality"], each["model"]): each["state"] for each in health["predictors"]}
    assert states == {
        ("speech", "alpha"): "ok",
        ("speech", "beta"): "ok",
        ("speech", "gamma"): "waiting_for_gpu",
        ("video", "portrait"): "ok",
        ("video", "svd"): "ok",
        ("video", "animatediff"): "waiting_for_gpu",
    }
    assert cluster.web.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("model", "voice", "speaker"), [("alpha", "robin", "alpha"), ("beta", "low", "beta"), ("alpha", "bea", "beta")]
)
def test_a_voice_is_spoken_by_its_model(cluster: Cluster, model: str, voice: str, speaker: str) -> None:
    before = cluster.done()
    answer = cluster.say(model, voice)
    assert (answer.status_code, answer.content[:4]) == (200, b"RIFF")
    assert cluster.done() == {**before, speaker: before[speaker] + 1}


def test_what_is_spoken_is_marked_at_every_door(cluster: Cluster) -> None:
    spoken = cluster.say("alpha", "high")
    predicted = cluster.web.post("/v1/models/alpha:predict", json={"instances": [ROWS["alpha"]]})
    for answer in (spoken, predicted):
        assert answer.raise_for_status().headers["x-digital-source-type"] == DIGITAL_SOURCE_TYPE
    for sound in (spoken.content, base64.b64decode(predicted.json()["predictions"][0]["audio"])):
        assert COMMENT.encode() in sound[:512]


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/videos", "/v1/models/bert:predict"])
def test_an_unknown_model_is_told_with_all_that_there_are(cluster: Cluster, path: str) -> None:
    body = {"model": "bert", "voice": "robin", "input": "Hello.", "prompt": "Hello.", "instances": [{}]}
    answer = cluster.web.post(path, json=body)
    assert answer.status_code == 404
    served = {"/v1/audio/speech": "alpha, beta", "/v1/videos": "portrait, svd"}
    assert f"Served: {served.get(path, 'alpha, beta, portrait, svd')}. Not answering now: " in answer.text
    assert cluster.outstanding("video", "bert") + cluster.outstanding("speech", "bert") == 0


@pytest.mark.parametrize("model", ROWS)
def test_kserves_protocols_reach_each_model(cluster: Cluster, model: str) -> None:
    before = cluster.done()
    row = ROWS[model]
    first = cluster.web.post(f"/v1/models/{model}:predict", json={"instances": [row]})
    assert first.raise_for_status().json()["predictions"][0]["media_type"] in {"audio/wav", "video/webm"}
    kinds = {str: "BYTES", int: "INT64"}
    tensors = [
        {"name": name, "datatype": kinds[type(value)], "shape": [1], "data": [value]} for name, value in row.items()
    ]
    second = cluster.web.post(f"/v2/models/{model}/infer", json={"inputs": tensors}).raise_for_status()
    assert second.json()["model_name"] == model
    assert cluster.web.get(f"/v2/models/{model}/ready").json()["name"] == model
    assert cluster.done() == {**before, model: before[model] + 2}


async def test_a_film_is_made_by_the_model_that_the_job_names(cluster: Cluster) -> None:
    before = cluster.done()
    order = cluster.web.post("/v1/videos", json={"model": "svd", "prompt": "A wave.", **SMALL}).raise_for_status()
    film = await cluster.completed(order.json()["id"])
    assert (film["status"], film["model"]) == ("completed", "svd")
    assert cluster.web.get(f"/v1/videos/{film['id']}/content").raise_for_status().content
    assert cluster.done() == {**before, "svd": before["svd"] + 1}
    said = cluster.web.post("/v1/videos", json={"character": "bea", "prompt": "Hi.", **SMALL}).raise_for_status()
    assert (await cluster.completed(said.json()["id"]))["status"] == "completed"
    after = cluster.done()
    assert after == {**before, "svd": before["svd"] + 1, "beta": before["beta"] + 1, "portrait": before["portrait"] + 1}


def test_speech_of_a_cold_model_calls_for_a_replica(cluster: Cluster) -> None:
    assert cluster.outstanding("speech", "gamma") == 0
    answer = cluster.say("gamma", "high")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert cluster.outstanding("speech", "gamma") == 1
    assert cluster.web.post("/v1/models/gamma:predict", json={"instances": [ROWS["alpha"]]}).status_code == 503
    assert cluster.outstanding("speech", "gamma") == 1
    with ExitStack() as stack:
        predictor(stack, cluster.folder, "gamma", cluster.cold["gamma"])
        assert cluster.say("gamma", "high").status_code == 200


async def test_a_film_waits_for_a_cold_model_and_keeps_calling_for_it(cluster: Cluster) -> None:
    order = cluster.web.post("/v1/videos", json={"model": "animatediff", "prompt": "A wave.", **SMALL})
    video_id = order.raise_for_status().json()["id"]

    async def waits() -> bool:
        return bool(cluster.video(video_id)["phase"] == "waiting_for_gpu")

    for _ in range(3):
        await eventually(waits, SECONDS)
        assert cluster.outstanding("video", "animatediff") == 1
        other = cluster.web.post("/v1/videos", json={"model": "svd", "prompt": "A wave.", **SMALL}).raise_for_status()
        assert (await cluster.completed(other.json()["id"]))["status"] == "completed"
    with ExitStack() as stack:
        predictor(stack, cluster.folder, "animatediff", cluster.cold["animatediff"])
        film = await cluster.completed(video_id)
    assert (film["status"], film["error"]) == ("completed", None)
    assert cluster.web.get(f"/api/v1/jobs/{video_id}").json()["attempts"] == 1
    assert cluster.outstanding("video", "animatediff") == 0
