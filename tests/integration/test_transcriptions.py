"""Transcripts at Vocalizr's door, in OpenAI's forms."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tone_people import ANN, AUDIO, PHRASE, ears, recorded
from tests.vocalizr_server import vocalizr
from vocalizr.backends.fake import FakeSpeech

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
