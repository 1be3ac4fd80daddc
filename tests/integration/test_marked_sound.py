"""Every way out for speech: what leaves is marked as synthetic, in its file where it has a place, else beside it."""

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import get_args

import av
import httpx
import pytest

from chatacter.chassis.provenance import COMMENT, DIGITAL_SOURCE_TYPE
from chatacter.contracts.speech import AudioFormat
from tests.vocalizr_server import vocalizr
from vocalizr.backends.fake import FakeSpeech, FakeTogether

pytestmark = pytest.mark.integration

FORMATS: tuple[AudioFormat, ...] = get_args(AudioFormat)
ROW = {"input": "Hello there. How are you?", "voice": "high"}
HEADER = "x-digital-source-type"


@pytest.fixture(params=[FakeSpeech, FakeTogether], ids=["alone", "together"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    async with vocalizr(request.param()) as found:
        yield found


def marked(sound: bytes, audio_format: AudioFormat) -> None:
    """Check the mark in a file; raw samples have no place for one."""
    assert len(sound) > 1000
    if audio_format == "pcm":
        return
    with av.open(io.BytesIO(sound)) as file:
        marks = {**file.metadata, **file.streams.audio[0].metadata}
        assert {name.lower(): value for name, value in marks.items()}["comment"] == COMMENT
        assert sum(frame.samples for frame in file.decode(audio=0))


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_openais_door(client: httpx.AsyncClient, audio_format: AudioFormat) -> None:
    body = {"model": "fake", **ROW, "response_format": audio_format}
    whole = await client.post("/v1/audio/speech", json=body)
    assert whole.headers[HEADER] == DIGITAL_SOURCE_TYPE
    marked(whole.content, audio_format)
    events = await client.post("/v1/audio/speech", json={**body, "stream_format": "sse"})
    assert events.headers[HEADER] == DIGITAL_SOURCE_TYPE
    deltas = [json.loads(line.removeprefix("data: ")) for line in events.text.splitlines() if line]
    marked(b"".join(base64.b64decode(delta.get("audio", "")) for delta in deltas), audio_format)


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_kserves_doors(client: httpx.AsyncClient, audio_format: AudioFormat) -> None:
    row = {**ROW, "response_format": audio_format}
    first = await client.post("/v1/models/fake:predict", json={"instances": [row]})
    marked(base64.b64decode(first.json()["predictions"][0]["audio"]), audio_format)
    tensors = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in row.items()]
    second = await client.post("/v2/models/fake/infer", json={"inputs": tensors})
    outputs = {tensor["name"]: tensor["data"] for tensor in second.json()["outputs"]}
    marked(base64.b64decode(outputs["audio"][0]), audio_format)
    assert [answer.headers[HEADER] for answer in (first, second)] == [DIGITAL_SOURCE_TYPE] * 2
