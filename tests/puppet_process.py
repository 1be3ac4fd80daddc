"""Vocalizr as a real process, with a gRPC port, around a model that a test holds."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import puppet_speech
from tests.plugin_site import plugin_path
from tests.redis_server import free_port
from tests.service_process import ServiceProcess, running

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Puppet:
    """The process, where it is reached by gRPC, and the folder that holds its model."""

    service: ServiceProcess
    grpc_port: int
    folder: Path

    @property
    def diary(self) -> list[str]:
        """What the model did, word by word."""
        diary = self.folder / puppet_speech.DIARY
        return diary.read_text().split("\n")[:-1] if diary.exists() else []

    @contextmanager
    def held(self, what: str = puppet_speech.HELD) -> Iterator[None]:
        """Hold the model for the length of the block."""
        (self.folder / what).touch()
        try:
            yield
        finally:
            self.release(what)

    def release(self, what: str = puppet_speech.HELD) -> None:
        """Let the model go on."""
        (self.folder / what).unlink(missing_ok=True)

    def until(self, word: str, times: int = 1, seconds: float = SECONDS) -> None:
        """Wait until the model did something so many times since its start."""
        until(lambda: self.diary.count(word) >= times, f"{word}, {times} times", seconds)


def until(condition: Callable[[], bool], what: str = "", seconds: float = SECONDS) -> None:
    """Wait until the condition holds."""
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, f"not in {seconds:g} s: {what}"
        time.sleep(0.01)


@contextmanager
def puppet(folder: Path, *, wait: bool = True, strings: Sequence[str] = (), **settings: str) -> Iterator[Puppet]:
    """Run Vocalizr with the model and a gRPC port; `strings` are there before it starts."""
    home, port = folder / "home", free_port()
    home.mkdir(parents=True)
    for string in strings:
        (home / string).touch()
    told = {
        "PYTHONPATH": plugin_path(folder / "site", "chatacter.speech", "puppet", "tests.puppet_speech:create"),
        "VOCALIZR_MODEL": "puppet",
        "GRPC_PORT": str(port),
        **{name.upper(): value for name, value in settings.items()},
    }
    with running("vocalizr", folder, told, wait=wait) as service:
        yield Puppet(service, port, home)
