"""What a request's model leads to: which voice, predictor and demand, and what is said where it leads nowhere."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from chatacter.chassis.errors import Misconfigured, NotFound, NotReady, Unavailable
from chatacter.contracts.speech import SpeechRequest
from chatacter.contracts.video_job import VideoOrder
from chattr.adapters.fakes.assets import FakeAssets
from chattr.adapters.fakes.casting import FakeCasting
from chattr.adapters.fakes.demand import FakeDemand
from chattr.adapters.fakes.jobs import FakeJobs
from chattr.adapters.fakes.media import FakeFilmer, FakeInference, FakeSpeaker
from chattr.domain.identity import Owner
from chattr.ports.media import Question
from chattr.usecases.film import Film
from chattr.usecases.infer import Infer, ModelState
from chattr.usecases.speak import Speak

pytestmark = pytest.mark.unit

ANNA = Owner("acme", "anna")
COLD = Unavailable("Nobody listens.", retry_after=2)
ASKED = Question("POST", "/v1/models/{model}:predict", b"{}")


def says(voice: str, model: str = "kokoro") -> SpeechRequest:
    return SpeechRequest(model=model, input="Hello.", voice=voice)


async def drained(items: AsyncGenerator[Any]) -> None:
    async with aclosing(items) as found:
        async for _ in found:
            pass


def speaking(*served: str) -> tuple[Speak, FakeSpeaker, FakeDemand]:
    speaker, demand = FakeSpeaker(served), FakeDemand()
    return Speak(speaker, FakeCasting(), demand, model="kokoro", seconds=30), speaker, demand


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        (says("ada"), ("kokoro", "af_heart")),
        (says("ada", "xtts"), ("xtts", "af_heart")),
        (says("clara"), ("xtts", "Claribel Dervla")),
        (says("clara", "xtts"), ("xtts", "Claribel Dervla")),
        (says("bm_george", "xtts"), ("xtts", "bm_george")),
    ],
)
async def test_a_character_speaks_by_the_model_of_its_voice(asked: SpeechRequest, spoken: tuple[str, str]) -> None:
    speak, speaker, demand = speaking("kokoro", "xtts")
    await drained(speak.speak(ANNA, asked))
    await drained(speak.events(ANNA, asked))
    assert [(request.model, request.voice) for request in speaker.requests] == [spoken] * 2
    assert set(await demand.outstanding()) == {("speech", spoken[0])}


async def test_an_unknown_speech_model_lists_all_that_there_are() -> None:
    speak, speaker, demand = speaking("kokoro", "xtts")
    for model in ("tts-1", ""):
        with pytest.raises(NotFound, match=r"Served: kokoro, xtts\.") as caught:
            await drained(speak.speak(ANNA, says("ada", model)))
        assert caught.value.param == "model"
    assert (speaker.started, await demand.outstanding()) == (0, {})


async def test_while_nobody_knows_the_request_itself_calls_for_a_replica() -> None:
    speak, speaker, demand = speaking("kokoro")
    speaker.away = COLD
    speaker.refusals.append(COLD)
    with pytest.raises(Unavailable):
        await drained(speak.speak(ANNA, says("ada", "bark")))
    assert await demand.outstanding() == {("speech", "bark"): 1}


async def test_a_wrong_setting_is_told_before_anything_is_counted() -> None:
    speak, speaker, demand = speaking("kokoro")
    speaker.away = Misconfigured("Set the same SERVICE_TOKEN for all services.")
    with pytest.raises(Misconfigured):
        await drained(speak.speak(ANNA, says("ada", "bark")))
    assert await demand.outstanding() == {}


async def test_a_model_that_settings_name_is_not_looked_for() -> None:
    speak, speaker, _ = speaking("kokoro")
    speaker.known, speaker.away = frozenset({"kokoro"}), Misconfigured("Never asked.")
    await drained(speak.speak(ANNA, says("ada")))
    assert speaker.finished == 1


async def test_voices_say_what_characters_speak_with() -> None:
    speak, speaker, _ = speaking("kokoro")
    assert (await speak.voices("acme")).model == "kokoro"
    speaker.away = COLD
    voices = await speak.voices("acme")
    assert (voices.data, voices.model) == ([], "kokoro")


@pytest.mark.parametrize(
    ("away", "accepted"),
    [
        (COLD, True),
        (NotReady("Loading."), True),
        (Misconfigured("Set the same SERVICE_TOKEN for all services."), False),
        (None, False),
    ],
)
async def test_a_film_waits_only_for_who_may_come(away: Any, accepted: bool) -> None:
    filmer, jobs = FakeFilmer(), FakeJobs()
    filmer.away = away
    film = Film(filmer, jobs, FakeAssets(), FakeCasting(), speech_model="kokoro")
    if accepted:
        await film.create(ANNA, VideoOrder(prompt="Hello.", model="svd"))
        assert await jobs.outstanding() == {("video", "svd"): 1}
        return
    with pytest.raises(type(away) if away else NotFound):
        await film.create(ANNA, VideoOrder(prompt="Hello.", model="svd"))
    assert await jobs.outstanding() == {}


def passing(*, cold: bool = False) -> tuple[Infer, FakeInference, FakeInference, FakeDemand]:
    voice, camera, demand = FakeInference(["kokoro"]), FakeInference(["portrait"]), FakeDemand()
    if cold:
        voice.away = camera.away = COLD
        voice.refusals, camera.refusals = [COLD], [COLD]
    return Infer({"speech": voice, "video": camera}, demand, seconds=30), voice, camera, demand


async def test_a_prediction_goes_to_who_serves_the_model() -> None:
    infer, voice, camera, demand = passing()
    await drained((await infer.ask("portrait", ASKED)).chunks)
    await drained((await infer.ask("kokoro", ASKED)).chunks)
    assert [request[1] for request in camera.requests] == ["/v1/models/portrait:predict"]
    assert [request[1] for request in voice.requests] == ["/v1/models/kokoro:predict"]
    assert set(await demand.outstanding()) == {("speech", "kokoro"), ("video", "portrait")}
    with pytest.raises(NotFound, match=r"Served: kokoro, portrait\."):
        await infer.ask("bert", ASKED)


async def test_a_prediction_for_a_cold_model_calls_for_a_replica() -> None:
    infer, _, camera, demand = passing(cold=True)
    camera.known = frozenset({"svd"})
    with pytest.raises(Unavailable):
        await infer.ask("svd", ASKED)
    assert await demand.outstanding() == {("video", "svd"): 1}


async def test_a_prediction_for_an_unknown_name_goes_where_it_could_be() -> None:
    infer, voice, _, demand = passing(cold=True)
    with pytest.raises(Unavailable):
        await infer.ask("svd", ASKED)  # it could be either's
    assert await demand.outstanding() == {}
    voice.away = None
    with pytest.raises(Unavailable):
        await infer.ask("svd", ASKED)
    assert await demand.outstanding() == {("video", "svd"): 1}


async def test_every_model_has_a_state() -> None:
    infer, voice, camera, _ = passing()
    assert list(await infer.states(5)) == [
        ModelState("speech", "kokoro", "ok"),
        ModelState("video", "portrait", "ok"),
    ]
    voice.away = COLD
    camera.refusals.append(NotReady("The model portrait is not ready (loading)."))
    assert list(await infer.states(5)) == [
        ModelState("speech", None, "waiting_for_gpu", "Nobody listens."),
        ModelState("video", "portrait", "waiting_for_gpu", "The model portrait is not ready (loading)."),
    ]
    camera.away = Misconfigured("Set the same SERVICE_TOKEN for all services.")
    assert [state.state for state in await infer.states(5)] == ["waiting_for_gpu", "failed"]
    assert camera.stopped == camera.started  # no answer was left open
