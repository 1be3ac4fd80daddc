"""What holds for every client of predictors: the fake, HTTP to a server that runs the fake, and several of them."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from fastapi import Response
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import (
    Busy,
    ChatacterError,
    DeadlineExceeded,
    Misconfigured,
    NotFound,
    NotReady,
    OutOfMemory,
    Unavailable,
    UpstreamFailed,
)
from chatacter.contracts.speech import SpeechDelta, SpeechDone, SpeechRequest
from chatacter.contracts.video import VideoCompleted, VideoFailed, VideoGenerationRequest, VideoProgress
from chattr.adapters.by_model import filmers, speakers
from chattr.adapters.fakes.media import FILM, SOUND, FakeFilmer, FakeSpeaker, Scripted
from chattr.adapters.visualizr_http import VisualizrHttp
from chattr.adapters.vocalizr_http import VocalizrHttp
from chattr.ports.media import Filmer, Speaker
from tests.predictor_server import Seen, predictor_app
from tests.redis_server import free_port
from tests.served import served
from tests.waiting import until

pytestmark = pytest.mark.contract

SPOKEN = SpeechRequest(model="kokoro", input="Hello there.", voice="af_heart", response_format="wav")
FILMED = VideoGenerationRequest(model="portrait", prompt="Hello")


@dataclass
class Predictors:
    speaker: Speaker
    filmer: Filmer
    behind: FakeSpeaker
    camera: FakeFilmer
    unknown_goes_to: str = "kokoro"


@pytest.fixture(params=["fake", "http", "default of several", "one of several"])
async def predictors(request: pytest.FixtureRequest) -> AsyncIterator[Predictors]:
    speaker, filmer = FakeSpeaker(), FakeFilmer()
    if request.param == "fake":
        yield Predictors(speaker, filmer, speaker, filmer)
        return
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(predictor_app(speaker, filmer, Seen())))
        if request.param == "http":
            vocalizr = await stack.enter_async_context(VocalizrHttp(url))
            visualizr = await stack.enter_async_context(VisualizrHttp(url))
            yield Predictors(vocalizr, visualizr, speaker, filmer)
            return
        others = predictor_app(FakeSpeaker(["xtts"], voices=[]), FakeFilmer(["svd"]), Seen())
        other = await stack.enter_async_context(served(others))
        if request.param == "default of several":
            several = await stack.enter_async_context(speakers(url, {"xtts": other}, model="kokoro"))
            cameras = await stack.enter_async_context(filmers(url, {"svd": other}))
            yield Predictors(several, cameras, speaker, filmer)
        else:
            several = await stack.enter_async_context(speakers(other, {"kokoro": url}, model="xtts"))
            cameras = await stack.enter_async_context(filmers(other, {"portrait": url}))
            yield Predictors(several, cameras, speaker, filmer, unknown_goes_to="xtts")


@dataclass
class Wire:
    url: str
    seen: Seen
    speaker: FakeSpeaker
    filmer: FakeFilmer


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    seen, speaker, filmer = Seen(), FakeSpeaker(), FakeFilmer()
    async with served(predictor_app(speaker, filmer, seen)) as url:
        yield Wire(url, seen, speaker, filmer)


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


async def all_of(items: AsyncGenerator[Any]) -> list[Any]:
    async with aclosing(items):
        return [item async for item in items]


def has_stopped(fake: Scripted, times: int) -> bool:
    return fake.stopped == times


async def test_speech_comes_as_it_is_made(predictors: Predictors) -> None:
    assert b"".join(await all_of(predictors.speaker.speak(SPOKEN, soon(), "acme"))) == b"".join(SOUND)
    assert predictors.behind.requests[0].input == "Hello there."


async def test_speech_comes_with_timings(predictors: Predictors) -> None:
    *deltas, done = await all_of(predictors.speaker.speech_events(SPOKEN, soon(), "acme"))
    assert all(isinstance(delta, SpeechDelta) for delta in deltas)
    assert b"".join(base64.b64decode(delta.audio) for delta in deltas) == b"".join(SOUND)
    assert [phoneme.start for delta in deltas for phoneme in delta.phonemes] == [0.0, 0.1, 0.2]
    assert isinstance(done, SpeechDone)


async def test_voices_and_models_are_listed(predictors: Predictors) -> None:
    voices, speaking = await predictors.speaker.voices(soon(), "acme"), await predictors.speaker.models(soon())
    assert [voice.id for voice in voices.found] == ["af_heart", "bm_george"]
    assert "kokoro" in speaking.found
    assert "portrait" in (await predictors.filmer.models(soon())).found
    assert (voices.away, voices.unknown, speaking.away, speaking.unknown) == ({}, None, {}, None)


async def test_a_film_comes_with_its_progress(predictors: Predictors) -> None:
    *progress, film = await all_of(predictors.filmer.film(FILMED, soon()))
    assert [event.progress for event in progress if isinstance(event, VideoProgress)] == [0, 1 / 3, 2 / 3]
    assert isinstance(film, VideoCompleted)
    assert base64.b64decode(film.video) == FILM


async def test_a_film_that_cannot_be_made_is_told(predictors: Predictors) -> None:
    predictors.camera.failure = VideoFailed(code="unsupported", message="No face in the picture.", retryable=False)
    events = await all_of(predictors.filmer.film(FILMED, soon()))
    assert events[-1] == predictors.camera.failure


@pytest.mark.parametrize(
    "refusal",
    [
        Busy("All places are taken.", retry_after=7),
        NotReady("The model is loading.", retry_after=5),
        OutOfMemory("Too large for this device."),
        NotFound("No such voice. This service has: af_heart.", param="voice"),
        Misconfigured("kokoro is not installed; run `chatacter models install kokoro`."),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_arrives_as_itself(predictors: Predictors, refusal: ChatacterError) -> None:
    speaker, filmer = predictors.speaker, predictors.filmer
    calls: list[tuple[Scripted, Callable[[], AsyncGenerator[Any]]]] = [
        (predictors.behind, lambda: speaker.speak(SPOKEN, soon(), "acme")),
        (predictors.behind, lambda: speaker.speech_events(SPOKEN, soon(), "acme")),
        (predictors.camera, lambda: filmer.film(FILMED, soon())),
    ]
    for fake, call in calls:
        fake.refusals.append(refusal)
        with pytest.raises(type(refusal)) as caught:
            await all_of(call())
        assert caught.value.message == refusal.message
        assert caught.value.param == refusal.param
        assert caught.value.retry_after == refusal.retry_after


async def test_an_unknown_model_lists_those_served(predictors: Predictors) -> None:
    with pytest.raises(NotFound, match=predictors.unknown_goes_to):
        await all_of(predictors.speaker.speak(SPOKEN.model_copy(update={"model": "bark"}), soon(), "acme"))


async def test_hanging_up_stops_the_work(predictors: Predictors) -> None:
    predictors.behind.hold_at = predictors.camera.hold_at = 1
    calls: list[tuple[Scripted, AsyncGenerator[Any]]] = [
        (predictors.behind, predictors.speaker.speak(SPOKEN, soon(), "acme")),
        (predictors.behind, predictors.speaker.speech_events(SPOKEN, soon(), "acme")),
        (predictors.camera, predictors.filmer.film(FILMED, soon())),
    ]
    for fake, items in calls:
        stopped = fake.stopped
        await anext(items)
        assert fake.stopped == stopped
        await items.aclose()
        await until(partial(has_stopped, fake, stopped + 1))
        assert fake.finished == 0


async def test_no_time_left_is_told_before_anything_is_sent(predictors: Predictors) -> None:
    with pytest.raises(DeadlineExceeded):
        await all_of(predictors.filmer.film(FILMED, soon(0)))
    assert predictors.camera.started == 0


async def test_time_that_runs_out_ends_the_call(wire: Wire) -> None:
    wire.filmer.hold_at = 1
    async with VisualizrHttp(wire.url) as visualizr:
        with pytest.raises(DeadlineExceeded):
            await all_of(visualizr.film(FILMED, soon(0.1)))
    await until(lambda: wire.filmer.stopped == 1)


class Unhurried(FakeSpeaker):
    """Takes longer for the whole than anybody gives it for the beginning."""

    async def step(self, number: int) -> None:
        """Wait before each piece."""
        await super().step(number)
        await asyncio.sleep(0.4)


async def test_a_chapter_is_heard_to_its_end_however_long_that_takes() -> None:
    async with served(predictor_app(Unhurried(), FakeFilmer(), Seen())) as url, VocalizrHttp(url) as vocalizr:
        assert b"".join(await all_of(vocalizr.speak(SPOKEN, soon(0.9), "acme"))) == b"".join(SOUND)
        assert isinstance((await all_of(vocalizr.speech_events(SPOKEN, soon(0.9), "acme")))[-1], SpeechDone)


async def test_speech_that_does_not_begin_in_time_is_late(wire: Wire) -> None:
    wire.speaker.hold_at = 0
    async with VocalizrHttp(wire.url) as vocalizr:
        with pytest.raises(DeadlineExceeded):
            await all_of(vocalizr.speak(SPOKEN, soon(0.2), "acme"))
    wire.speaker.released.set()


async def test_speech_that_falls_silent_for_as_long_as_it_had_to_begin_is_given_up(wire: Wire) -> None:
    wire.speaker.hold_at = 1
    async with VocalizrHttp(wire.url) as vocalizr:
        with pytest.raises(UpstreamFailed, match="stopped answering"):
            await all_of(vocalizr.speak(SPOKEN, soon(0.5), "acme"))
    await until(lambda: wire.speaker.stopped == 1)


async def test_a_predictor_that_falls_silent_is_given_up(wire: Wire) -> None:
    wire.filmer.hold_at = 1
    async with VisualizrHttp(wire.url, silence=0.1) as visualizr:
        with pytest.raises(UpstreamFailed, match="stopped answering"):
            await all_of(visualizr.film(FILMED, soon()))


async def test_a_predictor_that_is_slow_to_begin_is_waited_for(wire: Wire) -> None:
    """A balancer may hold a request while a replica starts; only an answer that has begun must not fall silent."""
    wire.filmer.hold_at = 0
    async with VisualizrHttp(wire.url, silence=0.1) as visualizr:
        film = asyncio.create_task(all_of(visualizr.film(FILMED, soon())))
        await until(lambda: wire.filmer.started == 1)
        assert not (await asyncio.wait({film}, timeout=0.5))[0]
        wire.filmer.released.set()
        assert isinstance((await film)[-1], VideoCompleted)


async def test_a_predictor_that_breaks_off_is_upstream(wire: Wire) -> None:
    wire.filmer.lost_at = (2, UpstreamFailed("gone"))
    wire.speaker.lost_at = (2, UpstreamFailed("gone"))
    async with VisualizrHttp(wire.url) as visualizr, VocalizrHttp(wire.url) as vocalizr:
        for items in (
            visualizr.film(FILMED, soon()),
            vocalizr.speak(SPOKEN, soon(), "acme"),
            vocalizr.speech_events(SPOKEN, soon(), "acme"),
        ):
            with pytest.raises(UpstreamFailed, match="lost in the middle"):
                await all_of(items)


async def test_nobody_there_is_unavailable_with_a_sentence() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with VisualizrHttp(url) as visualizr, VocalizrHttp(url) as vocalizr:
        for items in (visualizr.film(FILMED, soon()), vocalizr.speak(SPOKEN, soon(), "acme")):
            with pytest.raises(Unavailable, match=r"reached\. Check that it runs and that V.*__URL") as caught:
                await all_of(items)
            assert caught.value.retry_after
        assert isinstance((await visualizr.models(soon())).unknown, Unavailable)


async def test_each_call_is_a_connection_of_its_own_with_trace_and_token(wire: Wire) -> None:
    tracer = TracerProvider().get_tracer("test")
    async with VisualizrHttp(wire.url, token=SecretStr("s3cret")) as visualizr:
        with tracer.start_as_current_span("job") as span:
            await all_of(visualizr.film(FILMED, soon()))
            await all_of(visualizr.film(FILMED, soon()))
    assert len(set(wire.seen.peers)) == 2
    trace_id = format(span.get_span_context().trace_id, "032x")
    for headers in wire.seen.headers:
        assert headers["authorization"] == "Bearer s3cret"
        assert headers["traceparent"].split("-")[1] == trace_id


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (Response(status_code=503, headers={"retry-after": "9"}), Unavailable),
        (Response("<html>", status_code=504), Unavailable),
        (Response(b'{"error": {"message": "secret", "type": "x", "code": "internal"}}', 500), UpstreamFailed),
        (Response(b"[]", 418), UpstreamFailed),
        (Response(b'{"error": {"message": "No key.", "type": "x", "code": "unauthenticated"}}', 401), Misconfigured),
        (Response(b"data: {not json\n\n", 200), UpstreamFailed),
        (Response(b'data: {"type": "video.unheard_of"}\n\n', 200), UpstreamFailed),
        (Response(b"", 200), UpstreamFailed),
    ],
)
async def test_whatever_is_answered_is_one_of_our_errors(
    wire: Wire, broken: Response, expected: type[ChatacterError]
) -> None:
    wire.seen.broken = broken
    async with VisualizrHttp(wire.url) as visualizr:
        with pytest.raises(expected) as caught:
            await all_of(visualizr.film(FILMED, soon()))
    assert "secret" not in caught.value.message
    if expected is Unavailable and broken.headers.get("retry-after"):
        assert caught.value.retry_after == 9


async def test_an_event_of_many_megabytes_arrives(wire: Wire) -> None:
    big = base64.b64encode(b"x" * 6_000_000)
    event = (
        b'{"type":"video.completed","video":"%s","media_type":"video/webm","seconds":1,"width":2,"height":2,"fps":9}'
    )
    wire.seen.broken = Response(b": hello\n\ndata: " + event % big + b"\n\n", 200)
    async with VisualizrHttp(wire.url) as visualizr:
        (film,) = await all_of(visualizr.film(FILMED, soon()))
    assert len(film.video) == len(big)
