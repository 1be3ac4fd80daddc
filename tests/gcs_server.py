"""A server on loopback that speaks Google Cloud Storage's protocol (fake-gcs-server, from the tools)."""

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import httpx
import pytest

from scripts.manifests.programs import program
from tests.redis_server import free_port
from tests.waiting import until_it_answers


@dataclass(frozen=True, slots=True)
class GcsServer:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"chatacter-assets-{next(self.numbers)}"
        httpx.post(f"{self.url}/storage/v1/b", json={"name": name}).raise_for_status()
        return name

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def started(folder: Path) -> Iterator[GcsServer]:
    """Run a server until the end of the block; what it holds is in its memory."""
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", folder / f"gcs-{port}.log"
    command = [program("fake-gcs-server"), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-external-url", url, "-backend", "memory"]
    with log.open("wb") as out:
        server = GcsServer(url, subprocess.Popen(command, cwd=folder, stdout=out, stderr=out))
    try:
        until_it_answers(server.process, lambda: httpx.get(f"{url}/storage/v1/b").raise_for_status(), log)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """The server of this run."""
    with started(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def gcs_bucket(gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of this run's server, as ASSETS_URL has it."""
    for name, value in environment(gcs_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})  # read from the environment at import
    fsspec.get_filesystem_class("gs").clear_instance_cache()  # it would still speak to the server before this one
    return f"gs://{gcs_server.bucket()}"


def environment(server: GcsServer) -> dict[str, str]:
    """What an operator puts into a container's environment for a store that is not Google's and lets anybody in."""
    return {
        "STORAGE_EMULATOR_HOST": server.url,
        "FSSPEC_GS": '{"token": "anon"}',
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # asks Google what kind of bucket it is
    }
