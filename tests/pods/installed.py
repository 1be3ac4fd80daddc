"""What an operator gives the chart, the world around the release, and the release as it stands after `helm install`."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chatacter.chassis.auth import ALL_SCOPES, new_key
from chatacter.keys import store
from scripts.manifests import helm
from tests.fake_llm_server import FakeLLMServer
from tests.pods.release import Release, World
from tests.pods.running import Ended, RunningPod
from tests.redis_server import free_port

PROVIDER = "http://llm.example/v1"
PROVIDER_KEY = "sk-of-the-provider"
TOKEN = "inside-the-cluster-only-0123456789"
# What would break in a URL, a shell or a configuration file.
PASSWORD = "p@ss:w/rd #?%'\"$x"


class Operator:
    """Makes an API key, and what to say to Helm."""

    def __init__(self, folder: Path) -> None:
        self.key, record = new_key("tester", "default", ALL_SCOPES - {"inside"})
        store(folder / "api_keys.json", [record])
        self.keys = (folder / "api_keys.json").read_text()

    def values(self, **more: Any) -> dict[str, Any]:
        """The least that can be installed, and `more` over it."""
        least = {
            "global": {"serviceToken": {"value": TOKEN}},
            "model": {"url": PROVIDER, "name": "scripted"},
            "redis": {"auth": {"password": PASSWORD}},
            "qdrant": {"auth": {"apiKey": "key-of-qdrant-0123456789"}},
            "secrets": {"modelApiKey": PROVIDER_KEY, "apiKeys": self.keys},
        }
        return helm.merged(least, more)


def world(llm: FakeLLMServer, collector: str = "", **predictors: str) -> World:
    """The provider, a collector if its address is given, no Qdrant; `predictors` may stand in for models."""
    nobody = f"127.0.0.1:{free_port()}"
    collecting = {("otel-collector", 4318): collector or nobody}
    standing = {(name, 8002 if name == "portrait" else 8001): address for name, address in predictors.items()}
    address = llm.url.removeprefix("http://").removesuffix("/v1")
    return World({"llm.example:80": address}, {("qdrant", 6333): nobody, **collecting, **standing})


@contextmanager
def installed(
    values: Mapping[str, Any],
    folder: Path,
    models: Path,
    replicas: Mapping[str, int],
    around: World,
    files: tuple[Path, ...] = (),
) -> Iterator[Release]:
    """Render, give each pod its place, and start the release's Redis if it has one; the test starts the others."""
    manifests = helm.objects(helm.template(files, values))
    redis = {"redis": 1} if values.get("redis", {}).get("enabled", True) else {}
    with Release(manifests, folder, models, {**redis, **replicas}, around) as release:
        if redis:
            until_listening(release.start("redis"))
        yield release


def until_listening(pod: RunningPod, seconds: float = 20.0) -> None:
    """Wait until somebody takes connections at the pod's first port. Raises `Ended` with its log."""
    host, _, port = pod.url.removeprefix("http://").partition(":")
    until = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=1):
                return
        except OSError:
            if pod.process.poll() is not None or time.monotonic() > until:
                raise Ended(pod.written()) from None
            time.sleep(0.02)
