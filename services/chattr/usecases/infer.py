"""KServe's protocols through Chattr: the predictor that serves a model answers, authenticated and counted here."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, NotFound, Unsupported
from chattr.ports.demand import Demand
from chattr.ports.jobs import Modality
from chattr.ports.media import Answer, Inference, Listing, Question
from chattr.usecases.serving import LISTING_SECONDS, served, told, waiting

WAITING: Final = "waiting_for_gpu"
FAILED: Final = "failed"
READY: Final = "ok"
SWITCHED_OFF: Final = "Voice and video generation are switched off here; there is no model to ask."


@dataclass(frozen=True, slots=True)
class ModelState:
    """How one model is: `ok`, `waiting_for_gpu` or `failed`, and what its predictor says where it is not ok."""

    modality: Modality
    model: str | None
    state: str
    detail: str | None = None


class Infer:
    """Finds the predictor of a model and passes requests on."""

    def __init__(self, predictors: Mapping[Modality, Inference], demand: Demand, *, seconds: float) -> None:
        self._predictors = predictors
        self._demand = demand
        self._seconds = seconds
        self._places: dict[str, Modality] = {}

    async def models(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """Return the models of every predictor that answers, and why the others do not."""
        listings = (await self._listed()).values()
        found = sorted(model for listing in listings for model in listing.found)
        return found, told({model: error for listing in listings for model, error in listing.away.items()})

    async def states(self, seconds: float) -> Sequence[ModelState]:
        """Say how every model is, of each predictor that is switched on."""
        deadline = Deadline.after(seconds)
        answers = await asyncio.gather(
            *(states_of(modality, predictor, deadline) for modality, predictor in self._predictors.items())
        )
        return [state for answer in answers for state in answer]

    async def ask(self, model: str, question: Question) -> Answer:
        """Pass a question on; `{model}` in its path stands for the model's name. Read `chunks`, or close it.

        Raises `NotFound` with the models there are, or what the predictor says.
        """
        modality = await self._place(model)
        addressed = replace(question, path=question.path.replace("{model}", quote(model, safe="")))
        async with AsyncExitStack() as stack:
            if question.method == "POST":
                await stack.enter_async_context(self._demand.holding(modality, model))
            answer = await self._predictors[modality].ask(model, addressed, Deadline.after(self._seconds))
            await stack.enter_async_context(aclosing(answer.chunks))
            chunks = passed_on(answer.chunks, stack.pop_all())
            await anext(chunks)  # from here on its end lets go of everything
        return replace(answer, chunks=chunks)

    async def _place(self, model: str) -> Modality:
        for modality, predictor in self._predictors.items():
            if predictor.named(model):
                return modality
        if model in self._places:
            return self._places[model]
        listed = await self._listed()
        for modality, listing in listed.items():
            self._places |= dict.fromkeys(listing.found, modality)
        if model in self._places:
            return self._places[model]
        silent = [(modality, listing.unknown) for modality, listing in listed.items() if listing.unknown]
        if len(silent) == 1:  # if it is served at all it is there: asked for there, it calls for a replica
            return silent[0][0]
        for _, error in silent:
            raise error
        raise NotFound(f"There is no model {model!r}. {served(listed.values())}", param="model")

    async def _listed(self) -> dict[Modality, Listing[str]]:
        if not self._predictors:
            raise Unsupported(SWITCHED_OFF)
        deadline = Deadline.after(LISTING_SECONDS)
        answers = await asyncio.gather(*(predictor.models(deadline) for predictor in self._predictors.values()))
        return dict(zip(self._predictors, answers, strict=True))


async def states_of(modality: Modality, predictor: Inference, deadline: Deadline) -> list[ModelState]:
    """Say how the models of one modality are. One that nobody can name yet has none."""
    listing = await predictor.models(deadline)
    answering = await asyncio.gather(*(state_of(modality, predictor, model, deadline) for model in listing.found))
    away = [state_for(modality, model, error) for model, error in sorted(listing.away.items())]
    silent = [state_for(modality, None, listing.unknown)] if listing.unknown else []
    return [*answering, *away, *silent]


async def state_of(modality: Modality, predictor: Inference, model: str, deadline: Deadline) -> ModelState:
    """Ask a model whether it is ready."""
    try:
        answer = await predictor.ask(model, Question("GET", f"/v2/models/{quote(model, safe='')}/ready"), deadline)
        async with aclosing(answer.chunks) as chunks:
            async for _ in chunks:
                pass
    except ChatacterError as error:
        return state_for(modality, model, error)
    return ModelState(modality, model, READY)


def state_for(modality: Modality, model: str | None, error: ChatacterError) -> ModelState:
    """Say how a model is whose predictor answers with an error."""
    return ModelState(modality, model, WAITING if waiting(error) else FAILED, error.message)


async def passed_on(chunks: AsyncGenerator[bytes], held: AsyncExitStack) -> AsyncGenerator[bytes]:
    """Yield nothing once, then the chunks; let go of what is held when it ends or is closed."""
    async with held:
        yield b""
        async for chunk in chunks:
            yield chunk
