"""Every way out for speech: what leaves is marked as synthetic, in its file where it has a place, else beside it."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, get_args

import av
import httpx
import numpy as np
import pytest

from chatacter.chassis.provenance import COMMENT, DIGITAL_SOURCE_TYPE
from chatacter.contracts.speech import AudioFormat
from chatacter.models.store import ModelStore
from tests.grpc_caller import calling, infer, media, speech
from tests.plugin_site import plugin_path
from tests.redis_server import free_port
from tests.service_process import running
from tests.vocalizr_server import vocalizr
from tests.voice_plugin import Voice
from vocalizr.backend import Recording
from vocalizr.backends.fake import RATE, FakeSpeech, FakeTogether
from vocalizr.listening.sound import decoded
from vocalizr.watermark.finding import stretches
from vocalizr.watermark.network import Perth

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


def as_tensors(row: Mapping[str, str]) -> dict[str, Any]:
    """A row as KServe's second protocol asks for it."""
    tensors = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in row.items()]
    return {"inputs": tensors}


@pytest.mark.parametrize("audio_format", FORMATS)
async def test_kserves_doors(client: httpx.AsyncClient, audio_format: AudioFormat) -> None:
    row = {**ROW, "response_format": audio_format}
    first = await client.post("/v1/models/fake:predict", json={"instances": [row]})
    marked(base64.b64decode(first.json()["predictions"][0]["audio"]), audio_format)
    second = await client.post("/v2/models/fake/infer", json=as_tensors(row))
    outputs = {tensor["name"]: tensor["data"] for tensor in second.json()["outputs"]}
    marked(base64.b64decode(outputs["audio"][0]), audio_format)
    assert [answer.headers[HEADER] for answer in (first, second)] == [DIGITAL_SOURCE_TYPE] * 2


@pytest.mark.parametrize("watermark", ["perth", "none"])
async def test_the_watermark_is_on_every_way_out_or_on_none(models_home: Path, watermark: str) -> None:
    home = models_home.parent
    sounds: list[tuple[str, bytes]] = []
    async with vocalizr(Voice(), vocalizr_watermark=watermark, chatacter_home=home) as client:
        for audio_format in FORMATS:
            row = {**ROW, "response_format": audio_format}
            whole = await client.post("/v1/audio/speech", json={"model": "fake", **row})
            events = await client.post("/v1/audio/speech", json={"model": "fake", **row, "stream_format": "sse"})
            deltas = [json.loads(line.removeprefix("data: ")) for line in events.text.splitlines() if line]
            kserve = await client.post("/v1/models/fake:predict", json={"instances": [row]})
            second = await client.post("/v2/models/fake/infer", json=as_tensors(row))
            outputs = {tensor["name"]: tensor["data"] for tensor in second.json()["outputs"]}
            sounds += [
                (audio_format, whole.content),
                (audio_format, base64.b64decode(outputs["audio"][0])),
                (audio_format, b"".join(base64.b64decode(delta.get("audio", "")) for delta in deltas)),
                (audio_format, base64.b64decode(kserve.json()["predictions"][0]["audio"])),
            ]
    heard = [recording(*sound) for sound in sounds]
    found = await asyncio.to_thread(which_are_marked, Perth(ModelStore(models_home)), heard)
    assert found == [watermark == "perth"] * len(sounds)
    assert [each.samples.size / RATE for each in heard] == pytest.approx([4.0] * len(sounds), abs=0.1)


@pytest.mark.parametrize("watermark", ["perth", "none"])
def test_and_so_it_is_by_grpc(models_home: Path, tmp_path: Path, watermark: str) -> None:
    port = free_port()
    told = {
        "PYTHONPATH": plugin_path(tmp_path / "site", "chatacter.speech", "voice", "tests.voice_plugin:create"),
        "VOCALIZR_MODEL": "voice",
        "VOCALIZR_WATERMARK": watermark,
        "CHATACTER_HOME": str(models_home.parent),
        "GRPC_PORT": str(port),
    }
    with running("vocalizr", tmp_path, told), calling(port) as stub:
        sounds = [(each, media(infer(stub, speech(model="voice", response_format=each)))) for each in FORMATS]
    heard = [recording(*sound) for sound in sounds]
    assert which_are_marked(Perth(ModelStore(models_home)), heard) == [watermark == "perth"] * len(FORMATS)


def which_are_marked(perth: Perth, heard: list[Recording]) -> list[bool]:
    return [any(stretch.marked for stretch in stretches(perth, each)) for each in heard]


def recording(audio_format: str, data: bytes) -> Recording:
    """Decode what was sent."""
    if audio_format == "pcm":
        return Recording(np.frombuffer(data, "<i2").astype(np.float32) / 32768, RATE)
    return decoded(data, longest=60, param="sound", rate=RATE)
