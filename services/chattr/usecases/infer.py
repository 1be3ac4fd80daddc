"""KServe's protocols through Chattr: the predictor that serves a model answers, authenticated and counted here."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import NotFound, Unavailable, Unsupported
from chattr.ports.demand import Demand
from chattr.ports.jobs import Modality
from chattr.ports.media import Answer, Inference

LISTING_SECONDS: Final = 3.0
SWITCHED_OFF: Final = "Voice and video generation are switched off here; there is no model to ask."


class Infer:
    """Finds the predictor of a model and passes requests on."""

    def __init__(self, predictors: Mapping[Modality, Inference], demand: Demand, *, seconds: float) -> None:
        self._predictors = predictors
        self._demand = demand
        self._seconds = seconds
        self._places: dict[str, Modality] = {}

    async def models(self) -> Sequence[str]:
        """Return the models of every predictor that answers."""
        listed = await self._listed()
        return sorted(model for models in listed.values() if not isinstance(models, Unavailable) for model in models)

    async def ask(self, method: str, path: str, model: str, *, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Pass a request on; `{model}` in `path` stands for the model's name. Read `chunks`, or close it.

        Raises `NotFound` with the models there are, or what the predictor says.
        """
        modality = await self._place(model)
        address = path.replace("{model}", quote(model, safe=""))
        async with AsyncExitStack() as stack:
            if method == "POST":
                await stack.enter_async_context(self._demand.holding(modality, model))
            answer = await self._predictors[modality].ask(
                method, address, Deadline.after(self._seconds), body=body, headers=headers
            )
            await stack.enter_async_context(aclosing(answer.chunks))
            chunks = passed_on(answer.chunks, stack.pop_all())
            await anext(chunks)  # from here on its end lets go of everything
        return replace(answer, chunks=chunks)

    async def _place(self, model: str) -> Modality:
        if model in self._places:
            return self._places[model]
        listed = await self._listed()
        for modality, models in listed.items():
            if not isinstance(models, Unavailable):
                self._places |= dict.fromkeys(models, modality)
        if model in self._places:
            return self._places[model]
        for away in listed.values():
            if isinstance(away, Unavailable):
                raise away
        raise NotFound(f"There is no model {model!r}. Served: {', '.join(sorted(self._places))}.", param="model")

    async def _listed(self) -> dict[Modality, Sequence[str] | Unavailable]:
        if not self._predictors:
            raise Unsupported(SWITCHED_OFF)
        answers = await asyncio.gather(*map(listed_by, self._predictors.values()))
        return dict(zip(self._predictors, answers, strict=True))


async def listed_by(predictor: Inference) -> Sequence[str] | Unavailable:
    """Ask one predictor for its models; that it is away is an answer too."""
    try:
        return await predictor.models(Deadline.after(LISTING_SECONDS))
    except Unavailable as error:
        return error


async def passed_on(chunks: AsyncGenerator[bytes], held: AsyncExitStack) -> AsyncGenerator[bytes]:
    """Yield nothing once, then the chunks; let go of what is held when it ends or is closed."""
    async with held:
        yield b""
        async for chunk in chunks:
            yield chunk
