"""A predictor as a service: one backend, loaded in the background, behind a gate, at doors of its own and KServe's."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI
from opentelemetry.trace import Tracer

from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.telemetry import telemetry_of
from chatacter.serving.batching import Batch
from chatacter.serving.gate import Gate
from chatacter.serving.licences import Licence, require_accepted
from chatacter.serving.loading import Loading
from chatacter.serving.metrics import measured_batches, measured_gate
from chatacter.serving.predictor import Job, Predictor
from chatacter.serving.protocol import Models, kserve_probes, kserve_router
from chatacter.serving.settings import PredictorSettings


class Licensed(Protocol):
    """Capabilities, as far as every backend has the same."""

    @property
    def licence(self) -> Licence | None:
        """The licence of the weights."""
        ...


class Backend(Protocol):
    """What every backend has beside its one verb. All of it may block."""

    @property
    def capabilities(self) -> Licensed:
        """What it can do."""
        ...

    def load(self) -> None:
        """Load the weights."""
        ...

    def close(self) -> None:
        """Let go of them."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What differs from one predictor to the next. `operation` names its work in metrics and spans."""

    name: str
    title: str
    model: str
    operation: str
    concurrency: int
    queue: int
    preload: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backend is used: its model's name, whether it is loaded, who may run, and where spans are started.

    `batches` is told each batch of work that is done for several requests at once.
    """

    model: str
    loading: Loading
    gate: Gate
    tracer: Tracer
    batches: Callable[[Batch], None]


@dataclass(frozen=True, slots=True)
class Doors:
    """A predictor's own router, and its work as KServe's protocols ask for it."""

    router: APIRouter
    job: Job[Any]


def predictor_app(
    plan: Plan, settings: PredictorSettings, backend: Backend, doors: Callable[[Place], Doors]
) -> FastAPI:
    """Build the service around a backend. Nothing is loaded before its lifespan starts. Raises `Misconfigured`."""
    release = version("chatacter")
    telemetry = telemetry_of(plan.name, settings)
    gate = measured_gate(
        telemetry.meter, model=plan.model, operation=plan.operation, concurrency=plan.concurrency, queue=plan.queue
    )
    licence = backend.capabilities.licence

    def load() -> None:
        require_accepted(plan.model, licence, settings.accept_model_licenses)
        backend.load()

    loading = Loading(plan.model, load, backend.close, preload=plan.preload)
    batches = measured_batches(telemetry.meter, model=plan.model, operation=plan.operation)
    opened = doors(Place(plan.model, loading, gate, telemetry.tracer, batches))
    models = Models(plan.name, release, [Predictor(plan.model, loading, opened.job, licence)])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with loading.running():
            yield {}

    service = Service(
        name=plan.name,
        title=plan.title,
        version=release,
        health=Health({plan.model: loading.check}),
        lifespan=lifespan,
        routers=[opened.router, kserve_router(models)],
        telemetry=telemetry,
        probes=[kserve_probes(models)],
    )
    return build(service, settings)
