"""Vocalizr over its fake backend: what is refused before the stream opens, what streams, and what a hang-up stops."""

import asyncio
import base64
import io
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import av
import httpx
import pytest

from chatacter.chassis.errors import Misconfigured
from chatacter.chassis.provenance import DIGITAL_SOURCE_TYPE
from chatacter.contracts.speech import MEDIA_TYPES
from chatacter.serving.licences import Licence
from tests.vocalizr_server import Held, metric, until_answered, until_metric, vocalizr
from tests.waiting import until
from vocalizr.backends.fake import RATE, FakeSpeech

pytestmark = pytest.mark.integration

LONG = "The first sentence of many. " * 40
ASKED = {"model": "fake", "input": "Hello there.", "voice": "high", "response_format": "pcm"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with vocalizr(FakeSpeech()) as found:
        yield found


async def test_every_format_is_sound_of_the_right_length(client: httpx.AsyncClient) -> None:
    for audio_format, media_type in MEDIA_TYPES.items():
        answer = await client.post("/v1/audio/speech", json={**ASKED, "response_format": audio_format})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media_type
        assert answer.headers["x-digital-source-type"] == DIGITAL_SOURCE_TYPE
        if audio_format == "pcm":
            assert len(answer.content) / 2 / RATE == pytest.approx(0.6)
        else:
            with av.open(io.BytesIO(answer.content)) as container:
                frames = [frame.samples / frame.sample_rate for frame in container.decode(audio=0)]
            assert sum(frames) == pytest.approx(0.6, abs=0.1)


async def test_events_carry_sound_timings_and_usage(client: httpx.AsyncClient) -> None:
    body = {**ASKED, "stream_format": "sse", "timings": True, "input": "One is short. And two is longer."}
    answer = await client.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]
    *deltas, done = events
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    sound = b"".join(base64.b64decode(delta["audio"]) for delta in deltas)
    phonemes = [phoneme for delta in deltas for phoneme in delta["phonemes"]]
    assert "".join(phoneme["symbol"] for phoneme in phonemes) == "One is short.And two is longer."
    assert phonemes[-1]["end"] == pytest.approx(len(sound) / 2 / RATE)
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_characters": 32, "audio_milliseconds": round(len(sound) / 2 / RATE * 1000)},
    }


async def test_without_timings_events_have_none(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/audio/speech", json={**ASKED, "stream_format": "sse"})
    assert "phonemes" not in answer.text


@pytest.mark.parametrize(
    ("change", "status", "param", "says"),
    [
        ({"input": ""}, 422, "input", "at least 1 character"),
        ({"input": " \n\t"}, 422, "input", "empty"),
        ({"input": "😀 …"}, 422, "input", "nothing in this text"),
        ({"input": "x " * 125_001}, 413, "input", "250000"),
        ({"input": "x" * 1_000_001}, 422, "input", "1000000"),
        ({"model": "tts-1"}, 404, "model", "Served: fake"),
        ({"voice": "alloy"}, 404, "voice", "high, low"),
        ({"voice": {"id": "alloy"}}, 404, "voice", "high, low"),
        ({"response_format": "midi"}, 422, "response_format", "'mp3'"),
        ({"speed": 0.1}, 422, "speed", "0.25"),
        ({"language": "fr"}, 422, "language", "speaks en"),
        ({"instructions": "Whisper."}, 422, "instructions", "leave them out"),
    ],
)
async def test_what_is_wrong_is_said_before_the_stream_opens(
    client: httpx.AsyncClient, change: dict[str, Any], status: int, param: str, says: str
) -> None:
    for stream_format in ("audio", "sse"):
        answer = await client.post("/v1/audio/speech", json={**ASKED, **change, "stream_format": stream_format})
        assert answer.status_code == status
        error = answer.json()["error"]
        assert (error["param"], says in error["message"]) == (param, True), error
        assert "x x" not in error["message"]
        assert "xxx" not in error["message"]


async def test_a_voice_may_be_an_object_and_a_language_without_region(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/audio/speech", json={**ASKED, "voice": {"id": "low"}, "language": "EN"})
    assert answer.status_code == 200


async def test_the_voices_and_models_are_listed(client: httpx.AsyncClient) -> None:
    voices = (await client.get("/v1/audio/voices")).json()
    assert [voice["id"] for voice in voices["data"]] == ["high", "low"]
    models = (await client.get("/v1/models")).json()
    assert (models["object"], models["data"][0]["id"], models["models"]) == ("list", "fake", ["fake"])


async def test_the_model_is_served_by_another_name() -> None:
    async with vocalizr(FakeSpeech("tts-1"), vocalizr_served_name="tts-1") as client:
        assert (await client.post("/v1/audio/speech", json={**ASKED, "model": "tts-1"})).status_code == 200
        assert (await client.post("/v1/audio/speech", json=ASKED)).status_code == 404


async def test_the_first_sound_comes_before_the_last_is_made() -> None:
    backend = Held(free=1)
    async with vocalizr(backend) as client:
        async with client.stream("POST", "/v1/audio/speech", json={**ASKED, "input": LONG}) as answer:
            assert answer.status_code == 200
            assert await anext(answer.aiter_bytes())
            assert backend.chunks == 1
        backend.may.release(100)


async def test_hanging_up_in_the_middle_stops_the_work() -> None:
    backend = Held(free=1)
    async with vocalizr(backend) as client:
        async with client.stream("POST", "/v1/audio/speech", json={**ASKED, "input": LONG}) as answer:
            pieces = answer.aiter_bytes()
            await anext(pieces)
            await until(lambda: backend.reached == 1)
        await until(backend.cancelled.is_set)
        backend.may.release(100)
        await until(lambda: backend.ended == 1)
        assert backend.chunks <= 2
        assert (await client.post("/v1/audio/speech", json=ASKED)).status_code == 200


async def test_hanging_up_before_the_first_sound_stops_the_work() -> None:
    backend = Held()
    async with vocalizr(backend) as client:
        asking = asyncio.create_task(client.post("/v1/audio/speech", json={**ASKED, "input": LONG}))
        await until(lambda: backend.begun == 1)
        asking.cancel()
        await until(backend.cancelled.is_set)
        backend.may.release(100)
        await until(lambda: backend.ended == 1)
        assert backend.chunks == 0


async def test_hanging_up_in_the_queue_gives_the_place_in_it_back() -> None:
    backend = Held()
    async with vocalizr(backend, vocalizr_queue=1) as client:
        speaking = asyncio.create_task(client.post("/v1/audio/speech", json=ASKED))
        await until(lambda: backend.begun == 1)
        leaving = asyncio.create_task(client.post("/v1/audio/speech", json=ASKED))
        await until_metric(client, "chatacter_inference_waiting", 1)
        leaving.cancel()
        await until_metric(client, "chatacter_inference_waiting", 0)
        waiting = asyncio.create_task(client.post("/v1/audio/speech", json=ASKED))
        await until_metric(client, "chatacter_inference_waiting", 1)
        backend.may.release(100)
        assert [answer.status_code for answer in await asyncio.gather(speaking, waiting)] == [200, 200]
        assert backend.begun == 2


async def test_a_full_queue_says_when_to_come_back() -> None:
    backend = Held()
    async with vocalizr(backend, vocalizr_queue=1) as client:
        held = [asyncio.create_task(client.post("/v1/audio/speech", json=ASKED)) for _ in range(2)]
        await until_metric(client, "chatacter_inference_waiting", 1)
        refused = await client.post("/v1/audio/speech", json=ASKED)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "busy"
        probe = await client.get("/readyz")
        assert probe.status_code == 200
        backend.may.release(100)
        assert [answer.status_code for answer in await asyncio.gather(*held)] == [200, 200]
        assert await metric(client, "chatacter_inference_running") == 0
        assert await metric(client, "gen_ai_server_request_duration_seconds_count") == 2


async def test_requests_while_loading_are_told_to_wait() -> None:
    go = threading.Event()

    class Slow(FakeSpeech):
        def load(self) -> None:
            go.wait(20)

    backend = Slow()
    async with vocalizr(backend, ready=False) as client:
        for path in ("/readyz", "/v2/health/ready", "/v2/models/fake/ready", "/v1/models/fake"):
            assert (await client.get(path)).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        early = await client.post("/v1/audio/speech", json=ASKED)
        assert (early.status_code, early.headers["retry-after"]) == (503, "5")
        go.set()
        await until_answered(client, "/readyz", "200")
        assert (await client.get("/v2/health/ready")).status_code == 200
        assert (await client.post("/v1/audio/speech", json=ASKED)).status_code == 200
    assert backend.closed == 1


async def test_a_model_that_cannot_be_loaded_says_why() -> None:
    class Missing(FakeSpeech):
        def load(self) -> None:
            raise Misconfigured("kokoro is not installed; run `chatacter models install kokoro`.")

    async with vocalizr(Missing(), ready=False) as client:
        await until_answered(client, "/readyz", "failed")
        answer = await client.post("/v1/audio/speech", json=ASKED)
        assert answer.status_code == 503
        assert "chatacter models install" in answer.json()["error"]["message"]


async def test_without_preloading_the_first_request_loads() -> None:
    backend = FakeSpeech()
    async with vocalizr(backend, preload_models=False) as client:
        assert backend.loaded == 0
        assert (await client.post("/v1/audio/speech", json=ASKED)).status_code == 200
        assert backend.loaded == 1


async def test_a_failure_after_the_first_sound_is_an_event() -> None:
    def fail(chunk: int) -> None:
        if chunk == 1:
            raise Misconfigured("The voice is gone.")

    async with vocalizr(FakeSpeech(before=fail)) as client:
        answer = await client.post("/v1/audio/speech", json={**ASKED, "input": LONG, "stream_format": "sse"})
        last = json.loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
        assert (last["type"], last["error"]["message"]) == ("error", "The voice is gone.")


async def test_an_unexpected_failure_tells_nothing() -> None:
    def fail(_: int) -> None:
        raise ValueError("a secret")

    async with vocalizr(FakeSpeech(before=fail)) as client:
        answer = await client.post("/v1/audio/speech", json=ASKED)
        assert answer.status_code == 500
        assert "secret" not in answer.text


class Restricted(FakeSpeech):
    """A fake whose weights may not be used by everybody."""

    def __init__(self) -> None:
        super().__init__()
        licence = Licence("NOT-FOR-SALE", "forbids commercial use", "https://example.org/licence")
        self.capabilities = replace(self.capabilities, licence=licence)


async def test_weights_under_a_restricted_licence_wait_for_its_acceptance() -> None:
    backend = Restricted()
    async with vocalizr(backend, ready=False) as client:
        await until_answered(client, "/readyz", "failed")
        answer = await client.post("/v1/audio/speech", json=ASKED)
        assert answer.status_code == 503
        assert "ACCEPT_MODEL_LICENSES=NOT-FOR-SALE" in answer.json()["error"]["message"]
    assert backend.loaded == 0


class KnownLate(FakeSpeech):
    """A fake whose weights say what they are when they are there, as those of a hub do."""

    def load(self) -> None:
        super().load()
        self.capabilities = replace(self.capabilities, licence=Licence("NOT-FOR-SALE", "forbids commercial use"))


async def test_a_licence_that_is_known_late_holds_as_well() -> None:
    backend = KnownLate()
    async with vocalizr(backend, ready=False) as client:
        await until_answered(client, "/readyz", "ACCEPT_MODEL_LICENSES=NOT-FOR-SALE")
        assert (await client.post("/v1/audio/speech", json=ASKED)).status_code == 503
        assert (await client.get("/v1/models")).json()["data"][0]["license"] == "NOT-FOR-SALE"
        assert backend.closed == 1
    async with vocalizr(KnownLate(), accept_model_licenses=("not-for-sale",)) as client:
        assert (await client.post("/v1/audio/speech", json=ASKED)).status_code == 200


async def test_an_accepted_licence_is_told_with_its_model() -> None:
    backend = Restricted()
    async with vocalizr(backend, accept_model_licenses=("not-for-sale",)) as client:
        assert (await client.post("/v1/audio/speech", json=ASKED)).status_code == 200
        for told in ((await client.get("/v1/models")).json()["data"][0], (await client.get("/v1/models/fake")).json()):
            assert told["license"] == "NOT-FOR-SALE"
            assert told["license_restriction"] == "forbids commercial use"
            assert told["license_url"] == "https://example.org/licence"
