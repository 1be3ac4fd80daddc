"""Speech from another server: what is asked, what is made of its answers, and what its refusals become here."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr, ValidationError

from chatacter.chassis.errors import (
    Busy,
    ChatacterError,
    InvalidInput,
    Misconfigured,
    Unavailable,
    UpstreamFailed,
)
from vocalizr.backend import Samples, Utterance
from vocalizr.backends.remote import RemoteSpeech, create
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.unit

SAID = Utterance("Hello there.", "alloy", 1.25, None, "Whisper.")
Answer = Callable[[httpx.Request], httpx.Response]


def settings_of(**more: Any) -> VocalizrSettings:
    given = {"vocalizr_remote_voices": ("alloy", "echo"), "vocalizr_remote_url": "http://other/v1/", **more}
    return VocalizrSettings(vocalizr_model="remote", **given)


def loaded(answer: Answer, **more: Any) -> RemoteSpeech:
    backend = RemoteSpeech(settings_of(**more), httpx.MockTransport(answer))
    backend.load()
    return backend


def heard(backend: RemoteSpeech, utterance: Utterance = SAID) -> Samples:
    chunks = [chunk.samples for chunk in backend.speak(utterance, threading.Event())]
    return np.concatenate(chunks)


def test_it_asks_as_openai_wants_to_be_asked_and_hands_the_samples_on() -> None:
    asked: list[httpx.Request] = []
    samples = np.arange(-3000, 3000, dtype="<i2")

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=samples.tobytes())

    backend = loaded(answer, vocalizr_remote_api_key=SecretStr("k"), vocalizr_remote_model="tts-9")
    with TracerProvider().get_tracer("test").start_as_current_span("turn") as span:
        sound = heard(backend)
        trace = format(span.get_span_context().trace_id, "032x")
    assert np.array_equal(np.rint(sound * 32768), samples)
    (request,) = asked
    assert str(request.url) == "http://other/v1/audio/speech"
    assert request.headers["authorization"] == "Bearer k"
    assert trace in request.headers["traceparent"]
    assert orjson.loads(request.content) == {
        "model": "tts-9",
        "input": "Hello there.",
        "voice": "alloy",
        "speed": 1.25,
        "response_format": "pcm",
        "instructions": "Whisper.",
    }


def test_a_sample_whose_bytes_come_apart_waits_for_its_other_half() -> None:
    class Apart(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            content = np.array([1, 2, 3], dtype="<i2").tobytes()
            yield content[:1]
            yield content[1:5]
            yield content[5:]

    backend = loaded(lambda _: httpx.Response(200, stream=Apart()))
    assert np.rint(heard(backend) * 32768).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("status", "headers", "error", "retry_after"),
    [
        (429, {"retry-after": "7"}, Busy, 7.0),
        (429, {"retry-after": "soon"}, Busy, None),
        (401, {}, Misconfigured, None),
        (403, {}, Misconfigured, None),
        (503, {"retry-after": "3"}, Unavailable, 3.0),
        (400, {}, InvalidInput, None),
        (404, {}, InvalidInput, None),
        (500, {}, UpstreamFailed, None),
        (302, {}, UpstreamFailed, None),
    ],
)
def test_refusals_are_told_in_our_words(
    status: int, headers: dict[str, str], error: type[ChatacterError], retry_after: float | None
) -> None:
    backend = loaded(lambda _: httpx.Response(status, headers=headers, text="You said: Hello there."))
    with pytest.raises(error) as refused:
        heard(backend)
    assert refused.value.retry_after == retry_after
    assert "Hello" not in refused.value.message


def test_a_server_that_is_away_is_unavailable() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unavailable):
        heard(loaded(answer))


def test_voices_are_asked_for_where_none_are_set() -> None:
    told = {"data": [{"id": "af_heart", "name": "Heart", "language": "en-US"}, {"id": "x"}]}
    backend = loaded(lambda _: httpx.Response(200, json=told), vocalizr_remote_voices=())
    assert [(voice.id, voice.name, voice.language) for voice in backend.voices()] == [
        ("af_heart", "Heart", "en-US"),
        ("x", "x", "en"),
    ]


@pytest.mark.parametrize(
    "answer", [httpx.Response(404), httpx.Response(200, text="<html>"), httpx.Response(200, json=[])]
)
def test_a_server_that_tells_no_voices_needs_the_setting(answer: httpx.Response) -> None:
    with pytest.raises(Misconfigured, match="VOCALIZR_REMOTE_VOICES"):
        loaded(lambda _: answer, vocalizr_remote_voices=())


def test_what_the_settings_say_of_it_is_what_it_can() -> None:
    backend = create(
        settings_of(
            vocalizr_remote_languages=("de", "en"),
            vocalizr_remote_instructions=True,
            vocalizr_remote_sample_rate=16000,
        )
    )
    capable = backend.capabilities
    assert (capable.languages, capable.instructions, capable.sample_rate) == (frozenset({"de", "en"}), True, 16000)


def test_remote_without_an_address_does_not_start() -> None:
    with pytest.raises(ValidationError, match="VOCALIZR_REMOTE_URL"):
        VocalizrSettings(vocalizr_model="remote")


def test_a_text_longer_than_it_takes_is_asked_for_in_parts_that_meet_without_a_click() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(orjson.loads(request.content)["input"])
        return httpx.Response(200, content=np.full(2400, 9000, dtype="<i2").tobytes())

    text = "The first sentence is here. The second one follows it! *** And this is the third one. And the fourth, too."
    backend = loaded(answer, vocalizr_remote_max_characters=64)
    sound = heard(backend, replace(SAID, text=text))
    assert asked == [
        "The first sentence is here. The second one follows it!",
        "*** And this is the third one. And the fourth, too.",
    ]
    assert sound.size == 2 * (2400 + round(0.32 * 24000))
    assert np.abs(np.diff(sound)).max() < 9000 / 32768 / 100


def test_who_leaves_between_parts_asks_for_no_more() -> None:
    asked: list[str] = []
    cancelled = threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(orjson.loads(request.content)["input"])
        return httpx.Response(200, content=np.ones(2400, dtype="<i2").tobytes())

    for _ in loaded(answer, vocalizr_remote_max_characters=64).speak(replace(SAID, text="Six words. " * 40), cancelled):
        cancelled.set()
    assert len(asked) == 1
