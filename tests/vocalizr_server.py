"""Vocalizr in this loop around a backend of the test's, behind a real connection."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.served import served
from vocalizr.app import application
from vocalizr.backend import SpeechBackend, SpeechChunk, Utterance
from vocalizr.backends.fake import FakeSpeech
from vocalizr.cloning.studios import Ears
from vocalizr.settings import VocalizrSettings

SECONDS = 10.0


class Held(FakeSpeech):
    """A fake that waits before each chunk until it may go on; `reached` is the chunk that it waits at."""

    def __init__(self, free: int = 0, *, cloning: bool = False) -> None:
        super().__init__(before=self._wait, cloning=cloning)
        self.may = threading.Semaphore(free)
        self.reached = -1
        self.cancelled = threading.Event()

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        self.cancelled = cancelled
        return super().speak(utterance, cancelled)

    def _wait(self, chunk: int) -> None:
        self.reached = chunk
        if not self.may.acquire(timeout=SECONDS):
            raise TimeoutError("nobody let the fake go on")


def vocalizr_of(backend: SpeechBackend, ears: Ears | None = None, **settings: Any) -> Any:
    """The application; it reads metadata from the disk, so it is made off the event loop."""
    return application(VocalizrSettings(vocalizr_model="fake", **settings), backend, ears)


@asynccontextmanager
async def vocalizr(
    backend: SpeechBackend, *, ready: bool = True, ears: Ears | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the backend; yields a client, once the model is loaded unless told otherwise."""
    app = await asyncio.to_thread(vocalizr_of, backend, ears, **settings)
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        if ready:
            await until_answered(client, "/readyz", "200")
        yield client


async def until_answered(client: httpx.AsyncClient, path: str, wanted: str, seconds: float = SECONDS) -> None:
    """Ask until the status or the text holds `wanted`."""
    async with asyncio.timeout(seconds):
        while True:
            answer = await client.get(path)
            if wanted in f"{answer.status_code} {answer.text}":
                return
            await asyncio.sleep(0.005)


async def metric(client: httpx.AsyncClient, name: str) -> float:
    """The value of the first sample of a metric; -1 where it has none yet."""
    lines = (await client.get("/metrics")).text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{")), -1.0)


async def until_metric(client: httpx.AsyncClient, name: str, value: float) -> None:
    """Ask until a metric has a value."""
    async with asyncio.timeout(SECONDS):
        while await metric(client, name) != value:
            await asyncio.sleep(0.005)
