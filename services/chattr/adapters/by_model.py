"""Several predictors behind one port: the model that a request names picks one, the default takes every other name.

What is listed is what can be reached: a model that settings place at one predictor is not listed for another that
happens to have it too.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import SecretStr

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, Misconfigured
from chatacter.contracts.speech import SpeechDelta, SpeechDone, SpeechRequest, Voice
from chatacter.contracts.video import VideoEvent, VideoGenerationRequest
from chattr.adapters.visualizr_http import VisualizrHttp
from chattr.adapters.vocalizr_http import VocalizrHttp
from chattr.ports.media import Answer, Filmer, Inference, Listing, Question, Speaker

T = TypeVar("T")

MISNAMED: Final = (
    "The predictor at which settings place {model} answers, and serves no model of that name. Correct the settings."
)


class SpeakingPredictor(Speaker, Inference, Protocol):
    """A predictor that speaks."""


class FilmingPredictor(Filmer, Inference, Protocol):
    """A predictor that films."""


P = TypeVar("P", bound=Inference)


class ByModel(Generic[P]):
    """Predictors of one modality. `named` are the models that settings place; the default may be among them."""

    def __init__(self, default: P, named: Mapping[str, P]) -> None:
        self._default = default
        self._named = dict(named)
        self._all: list[P] = []
        for predictor in (default, *named.values()):
            if not any(predictor is known for known in self._all):
                self._all.append(predictor)

    def named(self, model: str) -> bool:
        """Whether settings place a model."""
        return model in self._named

    def of(self, model: str) -> P:
        """Return the predictor of a model."""
        return self._named.get(model, self._default)

    async def models(self, deadline: Deadline) -> Listing[str]:
        """Return the models of all predictors that answer."""
        listing = await self._listed(lambda predictor: predictor.models(deadline), str)
        missing = self._named.keys() - set(listing.found) - listing.away.keys()
        misnamed = {model: Misconfigured(MISNAMED.format(model=model)) for model in missing}
        return Listing(listing.found, {**listing.away, **misnamed}, listing.unknown)

    async def ask(self, model: str, question: Question, deadline: Deadline) -> Answer:
        """Pass a question on to the predictor of its model."""
        return await self.of(model).ask(model, question, deadline)

    async def _listed(
        self, ask: Callable[[P], Coroutine[Any, Any, Listing[T]]], model_of: Callable[[T], str]
    ) -> Listing[T]:
        """Ask all side by side, the default first in the answer; keep of each what requests would find there."""
        answers = await asyncio.gather(*map(ask, self._all))
        found: list[T] = []
        away: dict[str, ChatacterError] = {}
        unknown: ChatacterError | None = None
        for predictor, answer in zip(self._all, answers, strict=True):
            found += (each for each in answer.found if self.of(model_of(each)) is predictor)
            if answer.unknown is None:
                continue
            names = [model for model, place in self._named.items() if place is predictor]
            away |= dict.fromkeys(names, answer.unknown)
            unknown = unknown if names else answer.unknown
        return Listing(found, away, unknown)


class SpeakersByModel(ByModel[SpeakingPredictor]):
    """A `Speaker`, and an `Inference`."""

    def speak(self, request: SpeechRequest, deadline: Deadline, tenant: str) -> AsyncGenerator[bytes]:
        """Let the predictor of the request's model speak."""
        return self.of(request.model).speak(request, deadline, tenant)

    def speech_events(
        self, request: SpeechRequest, deadline: Deadline, tenant: str
    ) -> AsyncGenerator[SpeechDelta | SpeechDone]:
        """The same, with timings."""
        return self.of(request.model).speech_events(request, deadline, tenant)

    async def voices(self, deadline: Deadline, tenant: str) -> Listing[Voice]:
        """Return the voices of all predictors that answer."""
        return await self._listed(lambda predictor: predictor.voices(deadline, tenant), lambda voice: voice.model)


class FilmersByModel(ByModel[FilmingPredictor]):
    """A `Filmer`, and an `Inference`."""

    def film(self, request: VideoGenerationRequest, deadline: Deadline) -> AsyncGenerator[VideoEvent]:
        """Let the predictor of the request's model film."""
        return self.of(request.model).film(request, deadline)


@asynccontextmanager
async def speakers(
    url: str, urls: Mapping[str, str], *, model: str, token: SecretStr | None = None
) -> AsyncIterator[SpeakersByModel]:
    """Connect to every Vocalizr; `model` is the one that the default serves unless `urls` places it elsewhere."""
    async with AsyncExitStack() as stack:
        named = {model: url, **urls}
        clients = {
            place: await stack.enter_async_context(VocalizrHttp(place, *models, token=token))
            for place, models in places(url, named).items()
        }
        yield SpeakersByModel(clients[url], {name: clients[place] for name, place in named.items()})


@asynccontextmanager
async def filmers(
    url: str, urls: Mapping[str, str], *, token: SecretStr | None = None
) -> AsyncIterator[FilmersByModel]:
    """Connect to every Visualizr."""
    async with AsyncExitStack() as stack:
        clients = {
            place: await stack.enter_async_context(VisualizrHttp(place, *models, token=token))
            for place, models in places(url, urls).items()
        }
        yield FilmersByModel(clients[url], {name: clients[place] for name, place in urls.items()})


def places(default: str, named: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Return each address once, the default first, with the models for which it is not merely the default."""
    elsewhere = dict.fromkeys((default, *named.values()))
    return {place: tuple(model for model, url in named.items() if url == place != default) for place in elsewhere}
