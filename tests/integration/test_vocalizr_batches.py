"""Vocalizr over a backend that speaks several texts in one go: who is heard, who leaves, and what is told of it."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest

from chatacter.serving.batching import Made
from tests.vocalizr_server import metric, until_metric, vocalizr
from tests.waiting import until
from vocalizr.backend import Piece, SpeechChunk, Utterance
from vocalizr.backends.fake import FakeSpeech, FakeTogether

pytestmark = pytest.mark.integration

TEXTS = (
    "One short sentence. Then another one.",
    "A much longer sentence that goes on for a while, and then some.",
    "Hi.",
)
ASKED = {"model": "fake", "voice": "high", "response_format": "pcm"}


class Held(FakeTogether):
    """Waits before each batch until it may go on."""

    def __init__(self) -> None:
        super().__init__(before=self._wait)
        self.may = threading.Semaphore(0)
        self.cancelled: Sequence[threading.Event] = ()

    def speak_together(
        self, pieces: Sequence[Piece], cancelled: Sequence[threading.Event]
    ) -> Iterator[Made[SpeechChunk]]:
        self.cancelled = cancelled
        return super().speak_together(pieces, cancelled)

    def _wait(self, _: int) -> None:
        assert self.may.acquire(timeout=10)


def said(text: str, voice: str) -> bytes:
    """What the fake says of a text when it is alone."""
    chunks = FakeSpeech().speak(Utterance(text, voice, 1.0, None, None), threading.Event())
    samples = np.concatenate([chunk.samples for chunk in chunks])
    return np.rint(samples * 32767).astype("<i2").tobytes()


async def ask(client: httpx.AsyncClient, text: str, voice: str = "high") -> httpx.Response:
    return await client.post("/v1/audio/speech", json={**ASKED, "input": text, "voice": voice})


async def test_many_texts_and_voices_in_one_batch_sound_as_alone() -> None:
    backend = Held()
    wanted = [(text, voice) for text in TEXTS for voice in ("high", "low")]
    async with vocalizr(backend) as client:
        first = asyncio.create_task(ask(client, "First of all."))
        await until(lambda: bool(backend.batches))
        others = [asyncio.create_task(ask(client, text, voice)) for text, voice in wanted]
        await until_metric(client, "chatacter_inference_running", 7)
        backend.may.release(100)
        assert (await first).status_code == 200
        answers = await asyncio.gather(*others)
        assert [answer.content for answer in answers] == [said(text, voice) for text, voice in wanted]
        assert max(len(batch) for batch in backend.batches) >= 2
        assert await metric(client, "chatacter_inference_batch_size_count") == len(backend.batches)
        assert await metric(client, "chatacter_inference_batch_wait_seconds_count") == backend.chunks
        assert await metric(client, "chatacter_inference_batch_padding_count") == len(backend.batches)


async def test_one_place_means_one_after_the_other() -> None:
    backend = FakeTogether()
    async with vocalizr(backend, vocalizr_concurrency=1) as client:
        await asyncio.gather(*(ask(client, TEXTS[0]) for _ in range(4)))
        assert {len(batch) for batch in backend.batches} == {1}


async def test_a_hang_up_in_a_batch_frees_its_work_and_the_others_are_heard() -> None:
    backend = Held()
    async with vocalizr(backend) as client:
        first = asyncio.create_task(ask(client, "First of all."))
        await until(lambda: len(backend.batches) == 1)
        leaving = asyncio.create_task(ask(client, " ".join(["Going away."] * 50)))
        staying = asyncio.create_task(ask(client, "Staying here. And here."))
        await until_metric(client, "chatacter_inference_running", 3)
        backend.may.release()
        await until(lambda: len(backend.batches) == 2)
        leaving.cancel()
        await until(lambda: any(event.is_set() for event in backend.cancelled))
        assert await metric(client, "chatacter_inference_running") == 2  # the model is at work on it still
        backend.may.release(100)
        assert (await staying).content == said("Staying here. And here.", "high")
        assert (await first).status_code == 200
        assert backend.chunks <= 1 + 2 + 1


async def test_who_cannot_be_spoken_does_not_spoil_the_others() -> None:
    backend = Held()
    async with vocalizr(backend) as client:
        first = asyncio.create_task(ask(client, "First of all."))
        await until(lambda: len(backend.batches) == 1)
        others = [asyncio.create_task(ask(client, text)) for text in ("...", "Well then.")]
        await until_metric(client, "chatacter_inference_running", 2)
        backend.may.release(100)
        assert [answer.status_code for answer in await asyncio.gather(first, *others)] == [200, 422, 200]


@pytest.mark.parametrize("kind", [FakeSpeech, FakeTogether])
async def test_a_text_that_finds_no_memory_is_told_and_the_next_one_is_spoken(kind: Any) -> None:
    def fail(_: int) -> None:
        if full.is_set():
            raise MemoryError("a secret")

    full = threading.Event()
    full.set()
    async with vocalizr(kind(before=fail)) as client:
        for body in ({}, {"stream_format": "sse"}):
            answer = await client.post("/v1/audio/speech", json={**ASKED, "input": "Too much.", **body})
            assert answer.status_code == 507
            assert answer.json()["error"]["code"] == "out_of_memory"
            assert "secret" not in answer.text
        row = {"instances": [{"input": "Too much.", "voice": "high"}]}
        assert (await client.post("/v1/models/fake:predict", json=row)).status_code == 507
        full.clear()
        assert (await ask(client, "Fits.")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
