"""A real `redis-server` of the tests' own: on a free port of loopback, in a folder that goes away, stopped at the end.

`redis_url` is what most tests want: the address of one server for the whole run, emptied before each test. A test that
stops, kills or misconfigures a server starts its own by `started`.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

STARTING_SECONDS = 20.0
# Durable as the jobs need it, and no snapshots at moments of their own.
PERSISTENT = {"appendonly": "yes", "appendfsync": "always", "save": ""}
# Where there is one, a disk that syncs at no cost: what holds of syncing is asked of a real one (test_jobs_torture).
QUICK_DISK = Path("/dev/shm")


def free_port() -> int:
    """A port of loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One server process. It can be stopped, killed and started again on the same port, with its data."""

    def __init__(self, folder: Path, port: int, options: dict[str, str]) -> None:
        self.folder = folder
        self.port = port
        self.options = options
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not on PATH")
        flags = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), **self.options}
        arguments = [part for name, value in flags.items() for part in (f"--{name}", *(value.split() or [""]))]
        with (self.folder / "redis.log").open("ab") as log:
            given = {**os.environ, **self.environment}
            self.process = subprocess.Popen([program, *arguments], env=given, stdout=log, stderr=log)
        until = time.monotonic() + STARTING_SECONDS
        while self.command("PING") != "+PONG":
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "redis.log").read_text())
            time.sleep(0.005)

    def command(self, *words: str) -> str:
        """Send one command by hand and return the first line of the answer; empty when nobody answers."""
        body = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=STARTING_SECONDS) as connection:
                connection.sendall(f"*{len(words)}\r\n{body}".encode())
                return connection.recv(4096).partition(b"\r\n")[0].decode()
        except OSError:
            return ""

    def stop(self) -> None:
        """End it as an operator would: what it holds is on disk afterwards."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(STARTING_SECONDS)
            self.process = None

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STARTING_SECONDS)
            self.process = None


def has_waitaof(server: RedisServer) -> bool:
    """Whether it knows WAITAOF, as Redis 7.2, Valkey and what came after them do."""
    return server.command("WAITAOF", "0", "0", "1").startswith("*")


def is_valkey(server: RedisServer) -> bool:
    """Whether it is Valkey, which knows WAITAOF and does not keep it."""
    return server.command("CONFIG", "GET", "extended-redis-compatibility") == "*2"


@contextmanager
def started(**options: str) -> Iterator[RedisServer]:
    """A server of the test's own; options are those of `redis.conf`, with `_` for `-`."""
    disk = QUICK_DISK if os.access(QUICK_DISK, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="redis-", dir=disk, ignore_cleanup_errors=True) as folder:
        given = {name.replace("_", "-"): value for name, value in options.items()}
        with RedisServer(Path(folder), free_port(), {**PERSISTENT, **given}) as server:
            yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The server of this run."""
    with started() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of this run's server, emptied."""
    assert redis_server.command("FLUSHALL") == "+OK"
    return redis_server.url
