"""Transcripts at Vocalizr's door, in OpenAI's forms."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tone_people import ANN, AUDIO, PHRASE, ears, recorded
from tests.vocalizr_server import vocalizr
from tests.waiting import until
from vocalizr.backend import Recording
from vocalizr.backends.fake import FakeSpeech
from vocalizr.cloning.studios import Ears
from vocalizr.listening.fakes import FakeEmbedder, FakeTranscriber
from vocalizr.listening.transcriber import Hint, Transcript

pytestmark = pytest.mark.integration


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with vocalizr(FakeSpeech(), ears=ears(), vocalizr_voices_url=tmp_path.as_uri()) as client:
        yield client


async def test_what_is_heard_comes_in_openai_s_forms(listening: httpx.AsyncClient) -> None:
    async def heard(**fields: Any) -> httpx.Response:
        files = {"file": ("talk.wav", io.BytesIO(recorded(ANN)), AUDIO)}
        form = {"model": "fake-ears", **fields}
        return await listening.post("/v1/audio/transcriptions", data=form, files=files)

    assert (await heard()).json() == {"text": PHRASE, "usage": {"type": "duration", "seconds": 5.0}}
    assert (await heard(response_format="text")).text == f"{PHRASE}\n"
    assert (await heard(response_format="srt")).text == f"1\n00:00:00,000 --> 00:00:05,000\n{PHRASE}\n\n"
    assert (await heard(response_format="vtt")).text == f"WEBVTT\n\n00:00:00.000 --> 00:00:05.000\n{PHRASE}\n\n"
    verbose = (await heard(response_format="verbose_json", language="en")).json()
    assert (verbose["language"], verbose["duration"], len(verbose["segments"])) == ("en", 5.0, 1)
    assert "words" not in verbose
    words = await heard(response_format="verbose_json", **{"timestamp_granularities[]": "word"})
    assert words.json()["words"][1]["word"] == "am"
    for fields, told in (
        ({"model": "whisper-1"}, "Served: fake-ears"),
        ({"stream": "true"}, "cannot do that"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"temperature": "2"}, "temperature"),
        ({"nonsense": "1"}, "nonsense"),
        ({"timestamp_granularities[]": "word"}, "verbose_json only"),
    ):
        refused = await heard(**fields)
        assert refused.status_code in {404, 422}
        assert told in refused.json()["error"]["message"]


class Slow(FakeTranscriber):
    """Listens until it may end; counts how many it listens to side by side."""

    def __init__(self) -> None:
        super().__init__(PHRASE)
        self.may = threading.Event()
        self.begun = 0

    def transcribe(self, recording: Recording, hint: Hint, cancelled: threading.Event) -> Transcript:
        self.begun += 1
        self.may.wait(10)
        return super().transcribe(recording, hint, cancelled)


@pytest.mark.parametrize("side_by_side", [1, 2])
async def test_as_many_are_listened_to_side_by_side_as_is_set(side_by_side: int, tmp_path: Path) -> None:
    slow = Slow()
    settings = {"vocalizr_voices_url": tmp_path.as_uri(), "vocalizr_queue": 2 - side_by_side}
    async with vocalizr(
        FakeSpeech(),
        ears=Ears(slow, FakeEmbedder()),
        vocalizr_listening_concurrency=side_by_side,
        **settings,
    ) as client:

        async def heard() -> int:
            files = {"file": ("talk.wav", io.BytesIO(recorded(ANN)), AUDIO)}
            answer = await client.post("/v1/audio/transcriptions", data={"model": "fake-ears"}, files=files)
            return answer.status_code

        asked = [asyncio.create_task(heard()) for _ in range(3)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [429]
        await until(lambda: slow.begun == side_by_side)
        slow.may.set()
        assert sorted(await asyncio.gather(*asked)) == [200, 200, 429]
        assert slow.closed == 0
    assert slow.closed == 1
