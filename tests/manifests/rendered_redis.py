"""A server started as its pod would start it: the rendered command, files, environment and probes, in a folder."""

import base64
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.manifests.helm import Manifest
from tests.manifests.workloads import Cluster
from tests.redis_server import STARTING_SECONDS, free_port

PORT = "6379"
DATA = "/data"


class RenderedRedis:
    """The container `redis` of a workload, in a folder in place of its mounts, at a port of loopback."""

    def __init__(self, manifests: list[Manifest], kind: str, name: str, folder: Path, port: int) -> None:
        self.cluster = Cluster(manifests)
        workload = self.cluster.find(kind, name)
        assert workload is not None
        self.pod: dict[str, Any] = workload["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]
        self.folder = folder
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self.paths = {DATA: folder / "data"}
        (folder / "data").mkdir(exist_ok=True)
        self.write_config()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def write_config(self) -> None:
        """Lay out the ConfigMap where the pod would have it mounted."""
        (volume,) = (each for each in self.pod["volumes"] if "configMap" in each)
        (mount,) = (each for each in self.container["volumeMounts"] if each["name"] == volume["name"])
        config = self.cluster.find("ConfigMap", volume["configMap"]["name"])
        assert config is not None
        place = self.paths[mount["mountPath"]] = self.folder / "config"
        place.mkdir(exist_ok=True)
        for name, text in config["data"].items():
            (place / name).write_text(self.here(text), "utf-8")

    def here(self, text: str) -> str:
        """Put the folder in place of the mounts and the free port in place of the pod's."""
        text = text.replace(PORT, str(self.port))
        for path, place in self.paths.items():
            text = text.replace(path, str(place))
        return text

    def environment(self) -> dict[str, str]:
        found = {"PATH": os.environ["PATH"]}
        for each in self.container["env"]:
            ref = each["valueFrom"]["secretKeyRef"]
            secret = self.cluster.find("Secret", ref["name"])
            assert secret is not None
            found[each["name"]] = base64.b64decode(secret["data"][ref["key"]]).decode()
        return found

    def command(self, words: list[str]) -> list[str]:
        return [self.here(word) for word in words]

    def start(self) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not on PATH")
        command = self.command(self.container["command"])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def asked(self, probe: str) -> bool:
        """Ask a probe as the kubelet does: what it says is its exit code."""
        said = self.container[probe]
        done = subprocess.run(
            self.command(said["exec"]["command"]),
            check=False,
            capture_output=True,
            env=self.environment(),
            timeout=said["timeoutSeconds"] + 1,
        )
        return done.returncode == 0

    def wait_for(self, sign: Callable[[], bool]) -> None:
        """Return when a sign is seen; a server that ends before tells why."""
        assert self.process is not None
        until = time.monotonic() + STARTING_SECONDS
        while not sign():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(self.log.read_text("utf-8", "replace"))
            time.sleep(0.01)

    def wait_until_ready(self) -> None:
        self.wait_for(lambda: self.asked("readinessProbe"))

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """End it as the kubelet does and give its exit code."""
        assert self.process is not None
        self.process.send_signal(by)
        code = self.process.wait(self.pod["terminationGracePeriodSeconds"])
        self.process = None
        return code


@contextmanager
def running(manifests: list[Manifest], kind: str, name: str, folder: Path) -> Iterator[RenderedRedis]:
    """Start a server and end it, whatever happened."""
    server = RenderedRedis(manifests, kind, name, folder, free_port())
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait()
