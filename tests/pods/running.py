"""Containers of a render as processes of this machine."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from tests.pods.addresses import POD_ADDRESS
from tests.pods.containers import Container
from tests.pods.rooms import Room, refusal

# The models here are small: what needs longer will not start, and its log says why.
PATIENCE = 180.0
Kind = Literal["startup", "readiness", "liveness"]


class Ended(Exception):
    """A process that was to run has ended, did not start in time, or did not end in time; with its log."""


@dataclass
class RunningPod:
    """One started container. `ports` says where each port of the container is met on loopback."""

    container: Container
    ports: dict[int, int]
    process: subprocess.Popen[bytes]
    log: Path
    # The folders behind its mounts.
    volumes: dict[str, Path]

    @property
    def url(self) -> str:
        """The base URL at the container's first port."""
        return f"http://{POD_ADDRESS}:{self.ports[self.container.ports[0]]}"

    def written(self) -> str:
        return self.log.read_text()

    def ask(self, kind: Kind) -> int:
        """Probe as the kubelet does; returns the status, 0 when nobody answers in time."""
        probe = self.container.probe(kind)
        try:
            url = f"http://{POD_ADDRESS}:{self.ports[probe.port]}{probe.path}"
            return httpx.get(url, timeout=probe.timeout).status_code
        except httpx.TransportError:
            return 0

    def until_started(self) -> float:
        """Wait for the startup probe; returns the seconds. Raises `Ended` when the probe or we lose patience."""
        began, budget = time.monotonic(), min(PATIENCE, self.container.probe("startup").budget)
        while not 200 <= self.ask("startup") < 400:
            if self.process.poll() is not None:
                raise Ended(f"{self.container.name} ended with {self.process.returncode}:\n{self.written()}")
            if time.monotonic() - began > budget:
                raise Ended(f"{self.container.name} did not start in {budget:g} s:\n{self.written()}")
            time.sleep(0.1)
        return time.monotonic() - began

    @property
    def pid(self) -> int:
        """The container's first process, as this machine numbers it."""
        if refusal():
            return self.process.pid
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if not children:
            raise Ended(f"{self.container.name} has ended:\n{self.written()}")
        return int(children[0])

    def terminate(self) -> None:
        """Send SIGTERM, as the kubelet does after the preStop hook."""
        os.kill(self.pid, signal.SIGTERM)

    def ended(self) -> int:
        """Wait until it has ended; returns the exit status. Raises `Ended` where the kubelet would send SIGKILL."""
        left = self.container.grace - self.container.pause
        try:
            return self.process.wait(left)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Ended(f"{self.container.name} ran on for {left:g} s after SIGTERM:\n{self.written()}") from None

    def kill(self) -> None:
        if self.process.poll() is None:
            with suppress(Ended, ProcessLookupError, subprocess.TimeoutExpired):
                os.kill(self.pid, signal.SIGKILL)  # with the first process of a container all others die
                self.process.wait(10)  # who waits for it ends then
                return
            self.process.kill()
            self.process.wait()


@contextmanager
def running(container: Container, room: Room, ports: dict[int, int]) -> Iterator[RunningPod]:
    """Start a container without waiting for it; kill it at the end if it still runs."""
    log = room.folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            room.command,
            env=room.environment,
            cwd=room.folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    pod = RunningPod(container, ports, process, log, room.volumes)
    try:
        yield pod
    finally:
        pod.kill()
