"""A chapter at the speech door: heard from its first clause on, held in pieces, and over when its listener leaves."""

import asyncio
import io
import os
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest

from chatacter.contracts.speech import AudioFormat
from tests.vocalizr_server import Held, vocalizr
from tests.waiting import until
from vocalizr.backends.fake import RATE, FakeSpeech

pytestmark = pytest.mark.integration

PARAGRAPH = (
    "The storm rolled in from the western sea. Every lantern on the airship began to sway, and nobody spoke. "
    "Hold on tight, my friend! Would you rather listen to the wind, or to the captain? He has never lost a passenger.\n"
)
CHAPTER = PARAGRAPH * (200_000 // len(PARAGRAPH))
# At this pace the fake says a chapter in 41 minutes, 119 MB of samples.
ASKED = {"model": "fake", "voice": "high", "speed": 4.0}
MOST = 32e6


def resident() -> int:
    """The memory of this process, server and client, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_chapter_is_held_in_pieces_however_slowly_it_is_listened_to() -> None:
    backend = FakeSpeech()
    async with vocalizr(backend) as client:
        asked = {**ASKED, "response_format": "pcm"}
        await client.post("/v1/audio/speech", json={**asked, "input": PARAGRAPH})
        before, most, size, spoken = resident(), 0, 0, backend.chunks
        async with client.stream("POST", "/v1/audio/speech", json={**asked, "input": CHAPTER}) as answer:
            async for data in answer.aiter_raw():
                if not size:
                    spoken = await until_nothing_more_is_said(backend) - spoken
                size += len(data)
                most = max(most, resident() - before)
    assert len(CHAPTER) > 199_000
    assert size > 100e6
    assert spoken < backend.chunks / 5
    assert most < MOST


async def until_nothing_more_is_said(backend: FakeSpeech) -> int:
    """How many pieces it has said when it waits for its listener."""
    said = -1
    while said != backend.chunks:
        said = backend.chunks
        await asyncio.sleep(0.3)
    return said


@pytest.mark.parametrize("audio_format", sorted({*get_args(AudioFormat)} - {"pcm"}))
async def test_a_long_text_is_whole_in_every_container(audio_format: AudioFormat) -> None:
    text = CHAPTER[:10_000]
    async with vocalizr(FakeSpeech()) as client:
        raw = await client.post("/v1/audio/speech", json={**ASKED, "input": text, "response_format": "pcm"})
        answer = await client.post("/v1/audio/speech", json={**ASKED, "input": text, "response_format": audio_format})
    with av.open(io.BytesIO(answer.content)) as container:
        heard = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert heard == pytest.approx(np.frombuffer(raw.content, "<i2").size / RATE, abs=0.1)


@pytest.mark.parametrize("audio_format", get_args(AudioFormat))
async def test_it_is_heard_from_its_first_clauses_on_and_ends_when_its_listener_leaves(
    audio_format: AudioFormat,
) -> None:
    backend = Held(free=3)
    async with vocalizr(backend) as client:
        asked = {**ASKED, "speed": 0.5, "input": CHAPTER, "response_format": audio_format}
        async with client.stream("POST", "/v1/audio/speech", json=asked) as answer:
            pieces = answer.aiter_raw()
            assert len(await anext(pieces)) > 40
            await until(lambda: backend.reached == 3)
        await until(backend.cancelled.is_set)
        backend.may.release(1)
        await until(lambda: backend.ended == 1)
    assert backend.chunks <= 4


async def test_the_longest_text_is_a_setting() -> None:
    async with vocalizr(FakeSpeech(), vocalizr_max_characters=100) as client:
        long = await client.post("/v1/audio/speech", json={**ASKED, "input": "a" * 101})
        assert (long.status_code, long.json()["error"]["param"]) == (413, "input")
        assert "100 characters" in long.json()["error"]["message"]
        assert (await client.post("/v1/audio/speech", json={**ASKED, "input": "a" * 100})).status_code == 200
