"""A node of Ray's as KubeRay starts one, on this machine, and Ray Serve's configuration handed to its dashboard."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.redis_server import free_port

TOKEN: Final = "0123456789abcdef" * 4
SECONDS: Final = 120.0


@dataclass
class RayNode:
    """One node that is head and worker in one. `log` is what it writes."""

    process: subprocess.Popen[bytes]
    dashboard: str
    agent: str
    served: str
    log: Path

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Hand Ray Serve a configuration, as KubeRay's operator does; its port becomes this machine's."""
        port = int(self.served.rpartition(":")[2])
        body = {**config, "http_options": {**config["http_options"], "host": "127.0.0.1", "port": port}}
        answer = self._ask("PUT", f"{self.dashboard}/api/serve/applications/", json=body)
        assert answer.status_code == 200, answer.text

    def running(self) -> dict[str, Any]:
        """Ray Serve's only application, once all of it runs; raise with Ray's words where it does not in time."""
        deadline = time.monotonic() + SECONDS
        while True:
            (application,) = (
                self._ask("GET", f"{self.dashboard}/api/serve/applications/").json()["applications"].values()
            )
            if application["status"] == "RUNNING":
                return dict(application)
            if application["status"] != "DEPLOYING" or time.monotonic() > deadline:
                raise AssertionError(f"{application['status']}: {application['message']}\n{self.log.read_text()}")
            time.sleep(0.2)

    def until(self, url: str, status: int = 200) -> None:
        """Ask until somebody answers so; raise with Ray's words where nobody does in time."""
        deadline = time.monotonic() + SECONDS
        while (said := asked(url)) != status:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{url} answers {said}:\n{self.log.read_text()}")
            time.sleep(0.2)

    def _ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {TOKEN}"}
        return httpx.request(method, url, headers=headers, timeout=60, trust_env=False, **more)


def asked(url: str) -> int:
    """The status of an answer, 0 without any."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code
    except httpx.TransportError:
        return 0


@contextmanager
def ray_node(environment: Mapping[str, str], start: Mapping[str, str], folder: Path) -> Iterator[RayNode]:
    """Start a node with the `rayStartParams` of a group; all of it ends with the block."""
    # Ray's sockets have long names of their own, so its folder must have a short one.
    kept = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    gcs, dashboard, agent, served, client = (free_port() for _ in range(5))
    told = {
        **start,
        "node-ip-address": "127.0.0.1",
        "dashboard-host": "127.0.0.1",
        "port": str(gcs),
        "dashboard-port": str(dashboard),
        "dashboard-agent-listen-port": str(agent),
        "ray-client-server-port": str(client),
        "temp-dir": str(kept),
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    own = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    own["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"] = "0"
    with (folder / "ray.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *(f"--{name}={value}" for name, value in told.items())],
            env={**environment, **own},
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    node = RayNode(
        process,
        f"http://127.0.0.1:{dashboard}",
        f"http://127.0.0.1:{agent}",
        f"http://127.0.0.1:{served}",
        folder / "ray.log",
    )
    try:
        node.until(f"{node.dashboard}/api/gcs_healthz")
        yield node
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(kept, ignore_errors=True)
