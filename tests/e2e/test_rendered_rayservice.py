"""Ray Serve takes the chart's RayService and speaks: a real Ray on this machine, Kokoro in two replicas."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr

from chatacter.chassis.deadline import Deadline
from chatacter.contracts.speech import SpeechRequest
from chattr.adapters.vocalizr_http import VocalizrHttp
from tests.listening import Listener, decoded
from tests.manifests import kuberay
from tests.manifests.served_models import inference
from tests.pods.containers import Container, Probe
from tests.ray_node import RayNode, ray_node

pytest.importorskip("ray")

pytestmark = pytest.mark.e2e

SECRET = "inside-the-cluster-only-0123456789"
VOICE: dict[str, Any] = {
    "ray": {"enabled": True, "replicasPerPod": 2},
    # Without a GPU the image must be one's own.
    "image": {"repository": "registry.example.org/vocalizr", "tag": "ray"},
    "scaling": {"autoscaler": "none"},
}
SAID = "Good evening, my friend. The stars are very bright tonight."
LONG = " ".join(["The storm rolled in from the western sea, and every lantern began to sway."] * 20)
DOOR = "/v1/audio/speech"


class Rendered:
    """The RayService of the chart's voice, and its worker's container."""

    def __init__(self) -> None:
        cluster = inference({"models": {"voice": VOICE}})
        (service,) = cluster.of_kind("RayService")
        (worker,) = [pods for pods in cluster.pods() if pods.labels.get(kuberay.NODE) == "worker"]
        alone = replace(worker, spec={**worker.spec, "initContainers": []})
        existing = {"chatacter-secrets": {"service-token": SECRET}}
        self.container = Container(cluster, alone, "chatacter-voice-worker", existing)
        self.config = yaml.safe_load(service["spec"]["serveConfigV2"])
        (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        self.start: dict[str, str] = group["rayStartParams"]

    @property
    def ready(self) -> Probe:
        return self.container.probe("readiness")

    @property
    def live(self) -> Probe:
        return self.container.probe("liveness")


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return Rendered()


@pytest.fixture(scope="module")
def node(rendered: Rendered, models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNode]:
    """A node that is told what the worker's container is told, but for where its files and its telemetry are."""
    folder = tmp_path_factory.mktemp("node")
    said = {**rendered.container.environment(), "HOME": str(folder), "CHATACTER_HOME": str(models_home.parent)}
    del said["OTEL_EXPORTER_OTLP_ENDPOINT"]
    with ray_node(said, rendered.start, folder) as made:
        made.deploy(rendered.config)
        made.until(made.served + rendered.ready.path)
        yield made


@pytest.fixture
def client(node: RayNode) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {SECRET}"}
    with httpx.Client(base_url=node.served, headers=headers, timeout=60, trust_env=False) as made:
        yield made


def test_what_was_rendered_is_what_runs(node: RayNode, rendered: Rendered) -> None:
    running = {name: len(each["replicas"]) for name, each in node.running()["deployments"].items()}
    assert running == {"door": 1, "replica": 2}
    node.until(node.agent + rendered.live.path)


async def test_chattr_hears_it_speak(node: RayNode, listener: Listener) -> None:
    speaker = VocalizrHttp(node.served, "kokoro", token=SecretStr(SECRET))
    request = SpeechRequest(model="kokoro", voice="af_heart", input=SAID, response_format="wav")
    async with speaker:
        sound = b"".join([chunk async for chunk in speaker.speak(request, Deadline.after(60), "default")])
        voices = (await speaker.voices(Deadline.after(10), "default")).found
    samples, rate = await asyncio.to_thread(decoded, sound)
    assert await asyncio.to_thread(listener.word_error_rate, SAID, samples, rate) <= 0.2
    assert "af_heart" in {voice.id for voice in voices}


def test_sound_comes_while_it_is_made_and_who_leaves_frees_the_replica(client: httpx.Client, node: RayNode) -> None:
    asked = {"model": "kokoro", "voice": "af_heart", "input": LONG, "response_format": "pcm"}
    with client.stream("POST", DOOR, json=asked) as answer:
        sound = answer.iter_bytes()
        assert next(sound)
        assert gauge(client, "chatacter_inference_running") == 1
    deadline = time.monotonic() + 3
    while gauge(client, "chatacter_inference_running") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gauge(client, "chatacter_inference_running") == 0


def gauge(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").raise_for_status().text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def test_nobody_speaks_without_the_services_token(node: RayNode) -> None:
    asked = {"model": "kokoro", "voice": "af_heart", "input": SAID}
    assert httpx.post(node.served + DOOR, json=asked, trust_env=False).status_code == 401
    assert httpx.get(f"{node.dashboard}/api/serve/applications/", trust_env=False).status_code == 401


def test_kserves_protocol_is_served_too(client: httpx.Client) -> None:
    row = {"input": "Good evening.", "voice": "af_heart", "response_format": "wav"}
    answer = client.post("/v1/models/kokoro:predict", json={"instances": [row]}).raise_for_status()
    assert answer.json()["predictions"][0]["audio"]
