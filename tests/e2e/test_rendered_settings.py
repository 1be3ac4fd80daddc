"""Each process reads what the chart tells it: the rendered pods run with settings that note what is asked for."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripts.manifests.helm import CHART
from tests.architecture.repository import ROOT
from tests.fake_llm_server import FakeLLMServer
from tests.otlp_receiver import collecting
from tests.pods.installed import PASSWORD, PROVIDER_KEY, Operator, installed, world
from tests.pods.release import Instead, Release, World
from tests.pods.talking import SMALL, chat, film_of, streamed
from tests.recorded_settings import CLASSES, fields
from tests.redis_server import started

pytestmark = pytest.mark.e2e

PODS = {"chattr": 1, "dispatcher": 1, "ui": 1, "voice": 1, "portrait": 1}
ELSEWHERE = "http://elsewhere.example:9"
# Not read by the process itself, or not as a setting.
ARGUED = {
    "HOME": "Python and libraries: only /tmp can be written",
    "HF_HOME": "huggingface_hub, where a backend of a plugin uses it",
    "POD_NAME": "the kubelet, for OTEL_RESOURCE_ATTRIBUTES",
}

# Read where jobs or sessions have a Redis of their own.
WITH_A_REDIS_OF_ITS_OWN = {"JOBS__DURABLE", "JOBS__USERNAME", "SHORT_TERM_MEMORY__USERNAME"}


@pytest.fixture
def release(
    llm_server: FakeLLMServer, models_home: Path, tmp_path_factory: pytest.TempPathFactory, operator: Operator
) -> Iterator[Release]:
    """Everything that the chart can tell is told: by a managed Redis, among other things."""
    redis = {"url": "redis://managed.example:6379/0", "cacheUrl": "redis://managed.example:6379/1"}
    values = operator.values(
        model={"temperature": 0.3, "maxTokens": 99, "contextTokens": 4096},
        redis={"enabled": False},
        externalRedis={**redis, "username": "me", "password": PASSWORD, "durable": True},
        corsOrigins=["https://page.example"],
        characters={"files": {"robin.yaml": {"id": "robin", "name": "Robin", "personality": "Plays in tests."}}},
        externalVocalizr={"urls": {"other-voice": ELSEWHERE}},
        externalVisualizr={"urls": {"other-film": ELSEWHERE}},
    )
    values["global"]["telemetry"] = {
        "headers": {"existingSecret": "of-mine", "existingSecretKey": "headers"},
        "resourceAttributes": {"deployment.environment.name": "test"},
    }
    del values["redis"]["auth"]
    with started() as server, collecting() as collected:
        assert server.command("ACL", "SETUSER", "me", "on", f">{PASSWORD}", "~*", "&*", "+@all") == "+OK"
        assert server.command("ACL", "SETUSER", "default", "off") == "+OK"
        around = world(llm_server, collected.url.removeprefix("http://"))
        outside = {"managed.example:6379": f"127.0.0.1:{server.port}", "elsewhere.example:9": "127.0.0.1:9"}
        around = World({**around.outside, **outside}, around.stand_ins, {"of-mine": {"headers": "x-tenant=mine"}})
        with installed(values, tmp_path_factory.mktemp("pods"), models_home, PODS, around) as made:
            yield made


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def test_every_variable_is_read_by_the_process_that_gets_it(
    release: Release, operator: Operator, llm_server: FakeLLMServer
) -> None:
    llm_server.play("Good evening.", api_key=PROVIDER_KEY)
    modules = {name: release.container(name).command[-1] for name in PODS}
    pods = {name: release.start(name, instead=recording(module)) for name, module in modules.items()}
    for pod in pods.values():
        pod.until_started()
    headers = {"authorization": f"Bearer {operator.key}"}
    with httpx.Client(base_url=pods["chattr"].url, headers=headers, timeout=60) as client:
        with client.stream("POST", "/v1/chat/completions", json=chat("Hello.") | {"model": "robin"}) as answer:
            assert "".join(streamed(answer.iter_lines())) == "Good evening."
        order = {"model": "portrait", "prompt": "Good evening.", "character": "ada", **SMALL}
        film = film_of(client, client.post("/v1/videos", json=order).raise_for_status().json(), {"completed", "failed"})
        assert film["status"] == "completed", film
        assert client.get("/v1/models", headers={"origin": "https://page.example"}).status_code == 200
    unread: dict[str, list[str]] = {}
    for name, pod in pods.items():
        pod.terminate()
        assert pod.ended() == 0, pod.written()
        read = json.loads((pod.volumes["/tmp"] / "read.json").read_text())
        known = {field.replace(".", "__").upper() for field in read}
        accepted = set(told_by_name(name)) - WITH_A_REDIS_OF_ITS_OWN
        if forgotten := (set(pod.container.told()) | accepted) - known - set(ARGUED):
            unread[name] = sorted(forgotten)
    assert not unread


def told_by_name(name: str) -> list[str]:
    """What `dispatcher.settings` takes: the dispatcher shares Chattr's settings, and some concern Chattr alone."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    return list(schema["properties"][name]["properties"]["settings"]["properties"]) if name == "dispatcher" else []


def recording(module: str) -> Instead:
    """The process of that module, which writes at its end what it has read."""
    more = {"RECORDED_SERVICE": module, "RECORDED_INTO": "/tmp/read.json", "PYTHONPATH": str(ROOT)}
    return Instead(["python", "-m", "tests.recorded_settings"], more, [ROOT / "tests"])


def test_what_needs_no_reading_is_argued_with_good_reason() -> None:
    """A setting with several values does not belong into the list."""
    several = {field.replace(".", "__").upper() for kind in CLASSES.values() for field in fields(kind)}
    assert not set(ARGUED) & several
