"""Several predictors behind one port: where a model's name leads to, and what is told of those that are away."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import Busy, Misconfigured, NotReady, Unavailable
from chatacter.contracts.speech import SpeechRequest
from chatacter.contracts.video import VideoGenerationRequest
from chattr.adapters.by_model import FilmersByModel, SpeakersByModel, filmers, speakers
from chattr.adapters.fakes.media import FakeFilmer, FakeInference, FakeSpeaker
from chattr.ports.media import Question
from tests.predictor_server import Seen, predictor_app
from tests.redis_server import free_port
from tests.served import served

pytestmark = pytest.mark.contract

COLD = Unavailable("Nobody listens.", retry_after=2)


class Speaking(FakeSpeaker, FakeInference):
    """A fake of Vocalizr with both of its ports."""


class Filming(FakeFilmer, FakeInference):
    """A fake of Visualizr with both of its ports."""


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


def line(model: str) -> SpeechRequest:
    return SpeechRequest(model=model, input="Hello.", voice="v", response_format="wav")


async def drained(items: Any) -> None:
    async with aclosing(items) as found:
        async for _ in found:
            pass


async def test_the_name_of_a_model_picks_its_predictor() -> None:
    kokoro, xtts, bark = Speaking(["kokoro", "other"]), Speaking(["xtts"]), Speaking(["bark"])
    port = SpeakersByModel(kokoro, {"xtts": xtts, "bark": bark})
    for model in ("kokoro", "xtts", "bark", "other"):
        await drained(port.speak(line(model), soon(), "acme"))
        await drained(port.speech_events(line(model), soon(), "acme"))
        await drained((await port.ask(model, Question("GET", f"/v2/models/{model}"), soon())).chunks)
    asked = {fake: [r if isinstance(r, tuple) else r.model for r in fake.requests] for fake in (kokoro, xtts, bark)}
    assert [each for each in asked[kokoro] if isinstance(each, str)] == ["kokoro"] * 2 + ["other"] * 2
    assert [each for each in asked[xtts] if isinstance(each, str)] == ["xtts"] * 2
    assert [each[1] for each in asked[bark] if isinstance(each, tuple)] == ["/v2/models/bark"]


async def test_a_film_is_made_by_the_predictor_of_its_model() -> None:
    portrait, svd = Filming(["portrait"]), Filming(["svd"])
    port = FilmersByModel(portrait, {"svd": svd})
    await drained(port.film(VideoGenerationRequest(model="svd"), soon()))
    assert (portrait.started, svd.finished) == (0, 1)


async def test_what_is_listed_is_the_union() -> None:
    kokoro, xtts = Speaking(["kokoro"], voices=["heart"]), Speaking(["xtts"], voices=["ana", "claribel"])
    port = SpeakersByModel(kokoro, {"xtts": xtts})
    assert (await port.models(soon())).found == ["kokoro", "xtts"]
    voices = await port.voices(soon(), "acme")
    assert [(voice.id, voice.model) for voice in voices.found] == [
        ("heart", "kokoro"),
        ("ana", "xtts"),
        ("claribel", "xtts"),
    ]
    assert (voices.away, voices.unknown) == ({}, None)


async def test_one_that_is_away_hides_no_other_and_is_told() -> None:
    portrait, svd, animatediff = Filming(["portrait"]), Filming(["svd"]), Filming(["animatediff"])
    port = FilmersByModel(portrait, {"svd": svd, "animatediff": animatediff})
    svd.away, animatediff.away = COLD, NotReady("Loading.", retry_after=5)
    listing = await port.models(soon())
    assert (listing.found, dict(listing.away)) == (["portrait"], {"svd": COLD, "animatediff": animatediff.away})
    assert listing.unknown is None
    svd.away, portrait.away = None, COLD
    listing = await port.models(soon())
    assert (listing.found, listing.unknown) == (["svd"], COLD)  # nobody knows what the default serves


async def test_a_default_that_settings_name_is_known_while_it_is_away() -> None:
    kokoro, xtts = Speaking(["kokoro"]), Speaking(["xtts"])
    port = SpeakersByModel(kokoro, {"kokoro": kokoro, "xtts": xtts})
    assert (port.named("kokoro"), port.named("tts-1")) == (True, False)
    kokoro.away = COLD
    listing = await port.models(soon())
    assert (listing.found, dict(listing.away), listing.unknown) == (["xtts"], {"kokoro": COLD}, None)


async def test_only_what_requests_would_reach_is_listed() -> None:
    default, named = (
        Speaking(["xtts", "kokoro"], voices=["of the default"]),
        Speaking(["xtts", "hidden"], voices=["own"]),
    )
    port = SpeakersByModel(default, {"xtts": named})
    assert (await port.models(soon())).found == ["kokoro", "xtts"]
    assert [voice.id for voice in (await port.voices(soon(), "acme")).found] == ["own"]


async def test_a_name_that_its_predictor_does_not_know_is_told_as_a_mistake() -> None:
    port = FilmersByModel(Filming(["portrait"]), {"svd": Filming(["svd-xt"])})
    listing = await port.models(soon())
    assert listing.found == ["portrait"]
    assert isinstance(listing.away["svd"], Misconfigured)
    assert "svd answers, and serves no model of that name" in listing.away["svd"].message


@dataclass
class House:
    """A server with two predictors below paths of their own, and one address where nobody listens."""

    url: str
    kokoro: FakeSpeaker
    svd: FakeFilmer
    seen: Seen
    nobody: str


@pytest.fixture
async def house() -> AsyncIterator[House]:
    kokoro, svd, seen = FakeSpeaker(), FakeFilmer(["svd"]), Seen()
    async with AsyncExitStack() as stack:
        app = FastAPI(openapi_url=None)
        app.mount("/serving/kokoro", predictor_app(kokoro, FakeFilmer(), Seen()))
        app.mount("/serving/svd", predictor_app(FakeSpeaker([]), svd, seen))
        url = await stack.enter_async_context(served(app))
        yield House(url, kokoro, svd, seen, f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_address_may_have_a_path_and_a_slash_at_its_end(house: House, slash: str) -> None:
    urls = {"svd": f"{house.url}/serving/svd{slash}"}
    async with filmers(house.nobody, urls) as port:
        await drained(port.film(VideoGenerationRequest(model="svd"), soon()))
        assert "svd" in (await port.models(soon())).found
    async with speakers(f"{house.url}/serving/kokoro{slash}", {}, model="kokoro") as port:
        await drained(port.speak(line("kokoro"), soon(), "acme"))
    assert (house.svd.finished, house.kokoro.finished) == (1, 1)


async def test_two_models_at_one_address_are_one_predictor(house: House) -> None:
    house.svd.served.append("svd-xt")
    place = f"{house.url}/serving/svd"
    async with filmers(place, {"svd": place, "svd-xt": place}) as port:
        assert (await port.models(soon())).found == ["svd", "svd-xt"]
    assert len(house.seen.peers) == 1  # asked once


async def test_nobody_there_is_told_with_the_model_and_its_setting(house: House) -> None:
    async with filmers(house.url, {"animatediff": house.nobody}) as port:
        with pytest.raises(Unavailable, match=r"Visualizr \(animatediff\) cannot .* VISUALIZR__URLS") as caught:
            await drained(port.film(VideoGenerationRequest(model="animatediff"), soon()))
        assert caught.value.retry_after
        listing = await port.models(soon())
        assert isinstance(listing.away["animatediff"], Unavailable)
    async with speakers(house.nobody, {"xtts": house.nobody}, model="kokoro") as voices:
        with pytest.raises(Unavailable, match=r"Vocalizr cannot .* VOCALIZR__URL is"):
            await drained(voices.speak(line("xtts"), soon(), "acme"))
        assert set((await voices.voices(soon(), "acme")).away) == {"kokoro", "xtts"}


async def test_each_call_to_a_busy_predictor_is_a_new_connection(house: House) -> None:
    house.svd.refusals += [Busy("Full.", retry_after=1)] * 3
    async with filmers(house.nobody, {"svd": f"{house.url}/serving/svd"}) as port:
        for _ in range(3):
            with pytest.raises(Busy):
                await drained(port.film(VideoGenerationRequest(model="svd"), soon()))
    assert len(set(house.seen.peers)) == 3
