"""Real service processes for tests: `python -m chattr` with settings of the test's own, on a free port."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from tests.redis_server import free_port

STARTING_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """One running service."""

    module: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, seconds: float = 20.0) -> int:
        """End it as Kubernetes does; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def written(self) -> str:
        """What it has logged so far."""
        return self.log.read_text()


@contextmanager
def running(
    module: Literal["chattr", "vocalizr", "visualizr", "chattr.dispatcher", "chattr.ui"],
    folder: Path,
    settings: Mapping[str, str],
    *,
    wait: bool = True,
    port: int | None = None,
) -> Iterator[ServiceProcess]:
    """Start a service and wait until it is ready; stop it at the end."""
    port = port or free_port()
    log = folder / f"{module}-{port}.log"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "CHATACTER_HOME": str(folder / "home"),
        "PORT": str(port),
        **settings,
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module], env=environment, cwd=folder, stdout=out, stderr=subprocess.STDOUT
        )
    service = ServiceProcess(module, port, process, log)
    try:
        if wait:
            until_ready(service)
        yield service
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until_ready(service: ServiceProcess, path: str = "/readyz") -> None:
    """Wait for the service's own word that it is ready. Raises with its log when it ends or takes too long."""
    until = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < until:
        if service.process.poll() is not None:
            raise RuntimeError(f"{service.module} ended with {service.process.returncode}:\n{service.written()}")
        try:
            if httpx.get(service.url + path, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{service.module} was not ready in {STARTING_SECONDS:g} s:\n{service.written()}")
