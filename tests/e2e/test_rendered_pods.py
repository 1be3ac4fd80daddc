"""The rendered pods really start: their command, environment, probes and grace, with the small real models.

Chattr twice, the dispatcher, the page, both predictors and Redis run as the chart says, as uid 10001, each in a
read-only root of its own where that is permitted. Qdrant is away, the provider is scripted.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fake_llm_server import FakeLLMServer
from tests.listening import Listener, decoded
from tests.otlp_receiver import Collected, collecting
from tests.pods.installed import PROVIDER_KEY, TOKEN, Operator, installed, world
from tests.pods.release import Release
from tests.pods.rooms import refusal
from tests.pods.talking import SMALL, chat, film_of, filming, frames_of, streamed

pytestmark = pytest.mark.e2e

PODS = {"chattr": 2, "dispatcher": 1, "ui": 1, "voice": 1, "portrait": 1}
SAID = "Good evening, my friend. The stars are very bright tonight."
LONG = " ".join(["The storm rolled in from the western sea, and every lantern began to sway."] * 3)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    return Operator(tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def collected() -> Iterator[Collected]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def release(
    operator: Operator,
    collected: Collected,
    llm_server_of_this_run: FakeLLMServer,
    models_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Release]:
    around = world(llm_server_of_this_run, collected.url.removeprefix("http://"))
    with installed(operator.values(), tmp_path_factory.mktemp("pods"), models_home, PODS, around) as made:
        for name, count in PODS.items():
            for number in range(count):
                made.start(name, number)
        yield made


@pytest.fixture
def llm(llm_server: FakeLLMServer) -> FakeLLMServer:
    llm_server.play(SAID, api_key=PROVIDER_KEY)
    return llm_server


@pytest.fixture
def chattr(release: Release, operator: Operator, llm: FakeLLMServer) -> Iterator[httpx.Client]:
    """A client of Chattr's Service, with everything up."""
    for name, count in PODS.items():
        for number in range(count):
            release.ready(name, number)
    base = f"http://{release.addresses.reached('chatacter-chattr', 8000)}"
    with httpx.Client(base_url=base, timeout=90, headers={"authorization": f"Bearer {operator.key}"}) as client:
        yield client


def test_every_pod_starts_in_time_and_is_probed_as_the_kubelet_does(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = {}
    for name, count in PODS.items():
        for number in range(count):
            pod = release.ready(name, number)
            seconds[pod.container.name] = pod.until_started()
            assert (pod.ask("readiness"), pod.ask("liveness")) == (200, 200), pod.written()
    with capsys.disabled():
        how = f"without a root of their own: {refusal()}" if refusal() else "each in a read-only root of its own"
        sys.stdout.write(f"\nrendered pods started {how}\n")


@pytest.mark.skipif(refusal() is not None, reason=f"containers have no root of their own: {refusal()}")
@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_what_the_chart_allows_and_no_more(release: Release, name: str) -> None:
    pod = release.ready(name)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pod.pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert (int(status["CapEff"], 16), status["NoNewPrivs"], status["NSpid"].split()[-1]) == (0, "1", "1")
    mounts = [line.split() for line in Path(f"/proc/{pod.pid}/mountinfo").read_text().splitlines()]
    writable = {words[4] for words in mounts if "rw" in words[5].split(",")}
    volumes = {mount.path for mount in pod.container.mounts() if mount.writable}
    assert {place for place in writable if not place.startswith(("/proc", "/dev", "/sys"))} == volumes


def test_a_model_finds_its_weights_where_kserve_puts_them(
    operator: Operator, llm: FakeLLMServer, models_home: Path, tmp_path: Path
) -> None:
    stored = {"inference": {"models": {"voice": {"storageUri": "s3://bucket/models"}}}}
    with installed(operator.values(**stored), tmp_path, models_home, {"voice": 1}, world(llm)) as release:
        assert release.container("voice").environment()["CHATACTER_HOME"] == "/mnt"
        assert release.ready("voice").ask("readiness") == 200


def test_a_turn_in_text_voice_and_film(chattr: httpx.Client, listener: Listener, llm: FakeLLMServer) -> None:
    refused = httpx.post(f"{chattr.base_url}/v1/chat/completions", json=chat("Hello?"))
    assert refused.status_code == 401

    replicas = set()
    for _ in range(2):
        with chattr.stream("POST", "/v1/chat/completions", json=chat("How is the sky?")) as answer:
            replicas.add(answer.raise_for_status().headers["x-replica"])
            reply = "".join(streamed(answer.iter_lines()))
        assert reply == SAID
    assert replicas == {"0", "1"}
    assert llm.requests[-1].body["model"] == "scripted"

    order = {"model": "portrait", "prompt": reply, "character": "ada", **SMALL}
    video = chattr.post("/v1/videos", json=order).raise_for_status().json()
    sound = chattr.post(
        "/v1/audio/speech", json={"model": "kokoro", "voice": "ada", "input": reply, "response_format": "wav"}
    ).raise_for_status()
    samples, rate = decoded(sound.content)
    assert listener.word_error_rate(reply, samples, rate) <= 0.2
    film = film_of(chattr, video, {"completed", "failed"})
    assert film["status"] == "completed", film
    content = chattr.get(f"/v1/videos/{video['id']}/content").raise_for_status().content
    assert frames_of(content) >= 25 * len(samples) / rate * 0.8


def test_kserves_protocols_pass_through_chattr(chattr: httpx.Client) -> None:
    assert {"kokoro", "portrait"} <= {each["name"] for each in listed(chattr)}
    row = {"input": "Good evening.", "voice": "af_heart", "response_format": "wav"}
    tensors = [{"name": name, "datatype": "BYTES", "shape": [1], "data": [value]} for name, value in row.items()]
    answer = chattr.post("/v2/models/kokoro/infer", json={"inputs": tensors}).raise_for_status().json()
    assert "audio" in {each["name"] for each in answer["outputs"]}


def listed(chattr: httpx.Client) -> list[dict[str, Any]]:
    models = chattr.get("/v2/models").raise_for_status().json()["models"]
    return [each if isinstance(each, dict) else {"name": each} for each in models]


def test_qdrant_away_is_told_and_survived(chattr: httpx.Client) -> None:
    with chattr.stream("POST", "/v1/chat/completions", json=chat("Do you remember me?")) as answer:
        assert "".join(streamed(answer.iter_lines())) == SAID
    health = chattr.get("/api/v1/health").raise_for_status().json()
    assert health["status"] == "degraded"
    assert {name for name, state in health["checks"].items() if state != "ok"} == {"vector_database"}
    assert chattr.get("/readyz").status_code == 200


@pytest.mark.parametrize("name", PODS)
def test_metrics_are_for_the_token_alone(release: Release, name: str) -> None:
    pod = release.ready(name)
    assert httpx.get(f"{pod.url}/metrics").status_code == 401
    assert httpx.get(f"{pod.url}/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_page_stands_before_chattr(chattr: httpx.Client, release: Release) -> None:
    page = httpx.Client(base_url=release.ready("ui").url, timeout=30)
    with page:
        assert "<html" in page.get("/").raise_for_status().text
        assert page.get("/config").raise_for_status().json()["components"]
        assert page.get("/readyz").json()["checks"]["chattr"] == "ok"


def test_traces_arrive_with_the_pods_name(chattr: httpx.Client, release: Release, collected: Collected) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    order = {"model": "portrait", "prompt": "Good evening.", "character": "ada", **SMALL}
    film_of(chattr, chattr.post("/v1/videos", json=order, headers=parent).json(), {"completed"})
    wanted = {"chattr", "chattr-dispatcher", "vocalizr", "visualizr"}
    collected.wait(lambda got: wanted <= {span.service for span in got.trace(trace)})
    pods = {span.service: span.resource["k8s.pod.name"] for span in collected.trace(trace)}
    assert pods.pop("chattr") in {release.container("chattr", number).name for number in range(2)}
    names = {"chattr-dispatcher": "dispatcher", "vocalizr": "voice", "visualizr": "portrait"}
    assert pods == {service: release.container(name).name for service, name in names.items()}


def test_chattr_ends_without_breaking_a_stream(chattr: httpx.Client, release: Release, llm: FakeLLMServer) -> None:
    words = [f"word{number} " for number in range(30)]
    llm.play(*words, api_key=PROVIDER_KEY, delay=0.1)
    leaving = release.ready("chattr", 1)
    with httpx.Client(base_url=leaving.url, headers=chattr.headers, timeout=60) as client:
        with client.stream("POST", "/v1/chat/completions", json=chat("Count.")) as answer:
            pieces = streamed(answer.iter_lines())
            heard = [next(pieces), next(pieces)]
            leaving.terminate()
            heard += pieces
        assert "".join(heard).strip() == "".join(words).strip()
    assert leaving.ended() == 0, leaving.written()
    assert "Traceback" not in leaving.written()


def test_vocalizr_ends_without_breaking_off(chattr: httpx.Client, release: Release) -> None:
    leaving = release.ready("voice")
    asked = {"model": "kokoro", "voice": "af_heart", "input": LONG, "response_format": "wav"}
    with chattr.stream("POST", "/v1/audio/speech", json=asked) as answer:
        pieces = answer.raise_for_status().iter_bytes()
        sound = next(pieces)
        leaving.terminate()
        sound += b"".join(pieces)
    assert leaving.ended() == 0, leaving.written()
    samples, rate = decoded(sound)
    assert len(samples) / rate > 10
    assert "Traceback" not in leaving.written()


def test_dispatcher_and_visualizr_end_without_losing_a_film(chattr: httpx.Client, release: Release) -> None:
    leaving = [release.ready("dispatcher"), release.ready("portrait")]
    order = {"model": "portrait", "prompt": SAID, "character": "ada", "size": "512x512"}
    video = chattr.post("/v1/videos", json=order).raise_for_status().json()
    filming(chattr, video["id"])
    for pod in leaving:
        pod.terminate()
    assert [pod.ended() for pod in leaving] == [0, 0]
    assert film_of(chattr, video, {"completed", "failed"}, seconds=1)["status"] == "completed"
    assert frames_of(chattr.get(f"/v1/videos/{video['id']}/content").raise_for_status().content) > 25
    assert not [pod.container.name for pod in leaving if "Traceback" in pod.written()]
