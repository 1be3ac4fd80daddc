"""Replicas by a real Ray Serve on this machine, behind Vocalizr's doors: started once for this module."""

import asyncio
import base64
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from chatacter.chassis.errors import InvalidInput, Misconfigured, NotReady
from chatacter.serving.batching import Made
from chatacter.serving.replicas import ray_side
from tests.film_material import shot, tone
from tests.vocalizr_server import until_answered, until_metric, vocalizr
from tests.waiting import until
from visualizr.backend import Film
from visualizr.backends.fake import FakeBackend
from visualizr.replicas import on_replicas as films_on_replicas
from visualizr.settings import VisualizrSettings
from vocalizr.app import application
from vocalizr.backend import Piece, SpeechChunk, Utterance
from vocalizr.backends.fake import FakeSpeech, FakeTogether
from vocalizr.replicas import OnReplicas, beside, on_replicas, planned
from vocalizr.settings import VocalizrSettings

pytest.importorskip("ray")

pytestmark = pytest.mark.integration

RAY: dict[str, Any] = {"vocalizr_engine": "ray", "ray_replicas": 2, "ray_replica_cpus": 0.1, "shutdown_grace": 5}
ENTERED = {**RAY, "ray_replicas": 1, "shutdown_grace": 60}
ASKED = {"model": "fake", "voice": "high", "response_format": "pcm", "input": "Hello there, how are you?"}
# A replica is a process that imports all that it needs.
STARTING = 60.0
LONG = "The first sentence of many. " * 40


class Noting(FakeTogether):
    """A fake that writes down, in a folder, which process spoke how many pieces together, and may be slow."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def load(self) -> None:
        with (self.folder / "tries").open("a") as tries:
            tries.write("one\n")
        if (self.folder / "unloadable").exists():
            raise Misconfigured("There is no such model.")
        while (self.folder / "held").exists():
            threading.Event().wait(0.02)

    def speak_together(
        self, pieces: Sequence[Piece], cancelled: Sequence[threading.Event]
    ) -> Iterator[Made[SpeechChunk]]:
        with (self.folder / f"{os.getpid()}").open("a") as notes:
            notes.write(f"{len(pieces)}\n")
        if any("broken" in piece.content[0] for piece in pieces):
            raise InvalidInput("This cannot be said.")
        if any("memory" in piece.content[0] for piece in pieces):
            raise MemoryError
        if (self.folder / "slow").exists():
            threading.Event().wait(0.1)
        yield from super().speak_together(pieces, cancelled)


def noted(folder: Path) -> dict[str, list[int]]:
    """How many pieces each process spoke together, batch by batch."""
    return {path.name: [int(line) for line in path.read_text().split()] for path in folder.glob("[0-9]*")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def backend(folder: Path) -> Iterator[OnReplicas]:
    """Two replicas, of a Ray that never stops trying what `entered` describes so."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT", "1000000")
    found = on_replicas(VocalizrSettings(**RAY), partial(Noting, folder))
    with pytest.raises(NotReady):
        found.voices()
    found.load()
    yield found
    found.close()
    monkeypatch.undo()


class Watched(OnReplicas):
    """What a door has of its replicas; it writes down that they came, and that it leaves."""

    def __init__(self, folder: Path, made: OnReplicas) -> None:
        super().__init__(made.capabilities, made._replicas)
        self.folder = folder

    def load(self) -> None:
        (self.folder / "waits").touch()
        super().load()
        (self.folder / "came").touch()

    def close(self) -> None:
        super().close()
        (self.folder / "left").touch()


def opened(folder: Path, handle: Any) -> FastAPI:
    """Build the service before the replicas."""
    settings = VocalizrSettings(**ENTERED)
    return application(settings, Watched(folder, beside(settings, partial(Noting, folder), handle)))


@contextmanager
def entered(folder: Path) -> Iterator[Callable[[], None]]:
    """Have Ray Serve start a door and a replica of its own; yield what begins to end them."""
    side, settings = ray_side(), VocalizrSettings(**ENTERED)
    described = side.entered(
        planned(settings, FakeTogether().capabilities), partial(Noting, folder), partial(opened, folder)
    )
    side.serve.run_many([side.serve.RunTarget(described, "whole", None)], wait_for_applications_running=False)
    try:
        yield lambda: side.serve.delete("whole", _blocking=False)
    finally:
        for name in ("unloadable", "held"):
            (folder / name).unlink(missing_ok=True)
        side.serve.delete("whole")


class Started(OnReplicas):
    """Replicas that the module has started and will end."""

    def load(self) -> None:
        """Only ask what is asked once."""
        self._voices = tuple(self._replicas.call("voices"))

    def close(self) -> None:
        """Leave them to the module."""


@pytest.fixture
def empty(folder: Path) -> None:
    """Nothing is noted yet."""
    for path in folder.glob("*"):
        path.unlink()


@pytest.fixture
async def client(backend: OnReplicas, empty: None) -> AsyncIterator[httpx.AsyncClient]:
    async with vocalizr(Started(backend.capabilities, backend._replicas), **RAY) as found:
        yield found


def said(text: str) -> bytes:
    """What the fake says in this process."""
    chunks = FakeSpeech().speak(Utterance(text, "high", 1.0, None, None), threading.Event())
    return np.rint(np.concatenate([chunk.samples for chunk in chunks]) * 32767).astype("<i2").tobytes()


async def test_a_replica_speaks_as_the_process_would(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/audio/speech", json=ASKED)
    assert answer.content == said(ASKED["input"])
    voices = (await client.get("/v1/audio/voices")).json()["data"]
    assert [voice["id"] for voice in voices] == ["high", "low"]
    events = await client.post("/v1/audio/speech", json={**ASKED, "stream_format": "sse", "timings": True})
    deltas = [json.loads(line[6:]) for line in events.text.splitlines() if line][:-1]
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == said(ASKED["input"])
    assert "".join(phoneme["symbol"] for delta in deltas for phoneme in delta["phonemes"]) == ASKED["input"]


async def test_requests_are_shared_out_and_batched_in_each_replica(client: httpx.AsyncClient, folder: Path) -> None:
    (folder / "slow").touch()
    answers = await asyncio.gather(*(client.post("/v1/audio/speech", json=ASKED) for _ in range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} == {said(ASKED["input"])}
    found = noted(folder)
    assert len(found) == 2
    assert max(max(batches) for batches in found.values()) >= 2


async def test_a_hang_up_frees_the_replica(client: httpx.AsyncClient, folder: Path) -> None:
    (folder / "slow").touch()
    async with client.stream("POST", "/v1/audio/speech", json={**ASKED, "input": LONG}) as answer:
        assert await anext(answer.aiter_bytes())
    await until_metric(client, "chatacter_inference_running", 0)
    spoken = sum(len(batches) for batches in noted(folder).values())
    await asyncio.sleep(0.5)
    assert sum(len(batches) for batches in noted(folder).values()) <= spoken + 1 < 20


@pytest.mark.parametrize(
    ("text", "status", "says"), [("A broken one.", 422, "cannot be said"), ("memory", 507, "memory")]
)
async def test_what_goes_wrong_in_a_replica_is_told_as_itself(
    client: httpx.AsyncClient, text: str, status: int, says: str
) -> None:
    answer = await client.post("/v1/audio/speech", json={**ASKED, "input": text})
    assert (answer.status_code, says in answer.json()["error"]["message"]) == (status, True)
    assert (await client.post("/v1/audio/speech", json=ASKED)).status_code == 200


async def test_a_lost_replica_is_told_and_the_others_go_on(client: httpx.AsyncClient, folder: Path) -> None:
    (folder / "slow").touch()
    asking = asyncio.create_task(client.post("/v1/audio/speech", json={**ASKED, "stream_format": "sse", "input": LONG}))
    await until(lambda: bool(noted(folder)))
    (process,) = noted(folder)
    os.kill(int(process), 9)
    answer = await asking
    assert answer.status_code == 503 or '"unavailable"' in answer.text.splitlines()[-2]
    (folder / "slow").unlink()
    again = [await client.post("/v1/audio/speech", json=ASKED) for _ in range(4)]
    assert {answer.status_code for answer in again} == {200}


async def test_without_a_replica_the_service_is_not_ready_until_another_has_loaded(
    client: httpx.AsyncClient, folder: Path
) -> None:
    (folder / "slow").touch()
    await asyncio.gather(*(client.post("/v1/audio/speech", json=ASKED) for _ in range(16)))
    (folder / "held").touch()
    for process in noted(folder):
        os.kill(int(process), 9)
    await until_answered(client, "/v2/models/fake/ready", "503", STARTING)
    assert "No replica is left" in (await client.get("/readyz")).json()["checks"]["fake"]
    (folder / "held").unlink()
    await until_answered(client, "/readyz", "200", STARTING)
    assert (await client.post("/v1/audio/speech", json=ASKED)).content == said(ASKED["input"])


def test_a_model_that_no_replica_can_load_is_not_ready(backend: OnReplicas, folder: Path) -> None:
    (folder / "unloadable").touch()
    settings = VocalizrSettings(**{**RAY, "ray_replicas": 1})
    other = on_replicas(settings, partial(Noting, folder))
    with pytest.raises(Misconfigured, match="could not be started"):
        other.load()
    (folder / "unloadable").unlink()
    other.close()


async def test_a_whole_service_outlasts_a_model_that_cannot_be_loaded(
    backend: OnReplicas, empty: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_side(), "PAUSE", 0.1)
    (folder / "unloadable").touch()
    with entered(folder):
        # More often than Ray Serve tries a replica by itself.
        await until(
            lambda: len((folder / "tries").read_text().split()) > 3 if (folder / "tries").exists() else False, 60
        )
        (folder / "unloadable").unlink()
        await until((folder / "came").exists, STARTING)


async def test_a_door_that_waits_for_its_replica_ends_when_it_is_told(
    backend: OnReplicas, empty: None, folder: Path
) -> None:
    (folder / "held").touch()
    with entered(folder) as end:
        await until((folder / "waits").exists, STARTING)
        end()
        # Long before Ray would kill it.
        await until((folder / "left").exists, 30)


def test_who_ends_leaves_the_others_of_the_same_model_on_the_same_ray(backend: OnReplicas, empty: None) -> None:
    other = on_replicas(VocalizrSettings(**{**RAY, "ray_replicas": 1}), FakeTogether)
    other.load()
    other.close()
    said_by = backend.speak(Utterance("Hello.", "high", 1.0, None, None), threading.Event())
    assert sum(chunk.samples.size for chunk in said_by)


def test_a_film_is_made_by_a_replica(backend: OnReplicas) -> None:
    settings = VisualizrSettings(visualizr_engine="ray", ray_replica_cpus=0.1, shutdown_grace=5)
    films = films_on_replicas(settings, FakeBackend)
    films.load()
    try:
        *_, film = films.film(shot(None, tone(0.4)), threading.Event())
        assert isinstance(film, Film)
        cancelled = threading.Event()
        cancelled.set()
        assert list(films.film(shot(None, tone(0.4)), cancelled)) == []
    finally:
        films.close()


def test_without_ray_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "chatacter.serving.on_ray", None)
    with pytest.raises(Misconfigured, match="pip install"):
        on_replicas(VocalizrSettings(**RAY), FakeSpeech).load()
