"""The small installation of values-dev.yaml really starts: predictors as plain Deployments, Chattr films by itself.

Its secrets are an operator's own, it has no long-term memory, and its pods may take few seconds to end.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from scripts.manifests.helm import CHART
from tests.fake_llm_server import FakeLLMServer
from tests.pods.installed import PASSWORD, PROVIDER, PROVIDER_KEY, TOKEN, Operator, installed, world
from tests.pods.release import Release
from tests.pods.talking import SMALL, chat, film_of, frames_of, streamed

pytestmark = pytest.mark.e2e

PODS = {"chattr": 1, "voice": 1, "portrait": 1}
VALUES = {
    "global": {"existingSecret": "of-the-operator"},
    "model": {"url": PROVIDER, "name": "scripted"},
    "qdrant": {"enabled": False},
    "longTermMemory": {"enabled": False},
    "chattr": {"shutdownGrace": 2, "preStopSeconds": 1},
}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    return Operator(tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def release(
    operator: Operator,
    llm_server_of_this_run: FakeLLMServer,
    models_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Release]:
    secret = {
        "service-token": TOKEN,
        "model-api-key": PROVIDER_KEY,
        "redis-password": PASSWORD,
        "api_keys.json": operator.keys,
    }
    around = replace(world(llm_server_of_this_run), secrets={"of-the-operator": secret})
    files = (CHART / "values-dev.yaml",)
    with installed(VALUES, tmp_path_factory.mktemp("pods"), models_home, PODS, around, files) as made:
        for name in PODS:
            made.start(name)
        yield made


@pytest.fixture
def chattr(release: Release, operator: Operator) -> Iterator[httpx.Client]:
    for name in PODS:
        pod = release.ready(name)
        assert (pod.ask("readiness"), pod.ask("liveness")) == (200, 200), pod.written()
    base = f"http://{release.addresses.reached('chatacter-chattr', 8000)}"
    with httpx.Client(base_url=base, timeout=90, headers={"authorization": f"Bearer {operator.key}"}) as client:
        yield client


def test_chattr_films_by_itself(chattr: httpx.Client, llm_server: FakeLLMServer) -> None:
    llm_server.play("Good evening.", api_key=PROVIDER_KEY)
    with chattr.stream("POST", "/v1/chat/completions", json=chat("Hello.")) as answer:
        prompt = "".join(streamed(answer.iter_lines()))
    order = {"model": "portrait", "prompt": prompt, "character": "ada", **SMALL}
    film = film_of(chattr, chattr.post("/v1/videos", json=order).raise_for_status().json(), {"completed", "failed"})
    assert film["status"] == "completed", film
    assert frames_of(chattr.get(f"/v1/videos/{film['id']}/content").raise_for_status().content) > 10
    assert chattr.get("/api/v1/health").json()["status"] == "ok"


def test_a_stream_without_an_end_does_not_keep_a_pod(
    chattr: httpx.Client, release: Release, llm_server: FakeLLMServer
) -> None:
    llm_server.play(*["and "] * 2000, api_key=PROVIDER_KEY, delay=0.05)
    leaving = release.ready("chattr")
    assert leaving.container.grace - leaving.container.pause < 10
    with chattr.stream("POST", "/v1/chat/completions", json=chat("Go on.")) as answer:
        lines = answer.iter_lines()
        next(lines)
        leaving.terminate()
        assert leaving.ended() == 0, leaving.written()
