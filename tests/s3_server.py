"""A server on loopback that speaks S3's protocol (moto, from the tools), and how clients are told of it."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from s3fs import S3FileSystem

from scripts.manifests.programs import program
from tests.redis_server import free_port
from tests.waiting import until_it_answers

BUCKET = "chatacter-assets"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]

    def empty(self) -> None:
        """Forget everything and make one bucket."""
        httpx.post(f"{self.url}/moto-api/reset").raise_for_status()
        httpx.put(f"{self.url}/{BUCKET}").raise_for_status()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def started(folder: Path) -> Iterator[S3Server]:
    """Run a server until the end of the block."""
    port = free_port()
    log = folder / f"s3-{port}.log"
    command = [program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as out:
        server = S3Server(f"http://127.0.0.1:{port}", subprocess.Popen(command, cwd=folder, stdout=out, stderr=out))
    try:
        until_it_answers(server.process, server.empty, log)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server of this run."""
    with started(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of this run's server, as ASSETS_URL has it."""
    s3_server.empty()
    told(s3_server, monkeypatch.setenv)
    return f"s3://{BUCKET}"


def told(server: S3Server, tell: Callable[[str, str], None]) -> None:
    """What an operator puts into a container's environment for a store that is not Amazon's."""
    S3FileSystem.clear_instance_cache()  # it would still speak to the server before this one
    tell("AWS_ENDPOINT_URL", server.url)
    tell("AWS_ACCESS_KEY_ID", "test")
    tell("AWS_SECRET_ACCESS_KEY", "test")
    tell("AWS_DEFAULT_REGION", "us-east-1")
