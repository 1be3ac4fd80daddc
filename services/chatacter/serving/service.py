"""A predictor as a service: backends, loaded in the background, behind gates, at doors of its own and KServe's."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI
from opentelemetry.trace import Tracer

from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Check, Health
from chatacter.chassis.telemetry import telemetry_of
from chatacter.serving import grpc_door
from chatacter.serving.batching import Batch
from chatacter.serving.gate import Gate
from chatacter.serving.licences import Licence, require_accepted
from chatacter.serving.loading import Elsewhere, Loading
from chatacter.serving.metrics import measured_batches, measured_gates
from chatacter.serving.predictor import Job, Predictor
from chatacter.serving.protocol import Models, kserve_probes, kserve_router
from chatacter.serving.room import Room
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
    """What differs from one predictor to the next. `operation` names its work in metrics and spans.

    `concurrency` is asked again once the model is loaded, when more may be known of it; `device` says where it computes
    then.
    """

    name: str
    title: str
    model: str
    operation: str
    concurrency: Callable[[], int]
    queue: int
    preload: bool
    device: Callable[[], str | None] = lambda: None


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

    def opened(places: Sequence[Place]) -> tuple[APIRouter, Sequence[Job[Any]]]:
        only = doors(places[0])
        return only.router, [only.job]

    return predictors_app([(plan, backend)], settings, opened)


def predictors_app(
    shelf: Sequence[tuple[Plan, Backend]],
    settings: PredictorSettings,
    doors: Callable[[Sequence[Place]], tuple[APIRouter, Sequence[Job[Any]]]],
    room: Room | None = None,
    beside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> FastAPI:
    """Build a service of several models; `doors` are theirs together, and a job of each. Raises `Misconfigured`.

    `beside` is open as long as the service runs.
    """
    release = version("chatacter")
    plan = shelf[0][0]
    telemetry = telemetry_of(plan.name, settings)
    sizes = {each.model: (each.concurrency(), each.queue) for each, _ in shelf}
    gates = measured_gates(telemetry.meter, plan.operation, sizes)
    room = room or Room()
    loadings = [loading_of(each, backend, settings, room, gates[each.model]) for each, backend in shelf]
    room.enter(loadings)
    places = [
        Place(
            each.model,
            loading,
            gates[each.model],
            telemetry.tracer,
            measured_batches(telemetry.meter, model=each.model, operation=each.operation),
        )
        for (each, _), loading in zip(shelf, loadings, strict=True)
    ]
    router, jobs = doors(places)
    predictors = [
        Predictor(place.model, place.loading, job, licence_of(backend), each.device)
        for place, job, (each, backend) in zip(places, jobs, shelf, strict=True)
    ]
    models = Models(plan.name, release, predictors)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            by_grpc: AbstractAsyncContextManager[None] = nullcontext()
            if settings.grpc_port:
                house = grpc_door.House(models, app.state.keyring, telemetry.tracer, settings)
                by_grpc = grpc_door.opened(house, app.state.drain)  # now: the port may be taken
            await stack.enter_async_context(beside())
            for loading in loadings:
                await stack.enter_async_context(loading.running())
            await stack.enter_async_context(by_grpc)
            yield {}

    service = Service(
        name=plan.name,
        title=plan.title,
        version=release,
        health=health_of(loadings),
        lifespan=lifespan,
        routers=[router, kserve_router(models)],
        telemetry=telemetry,
        probes=[kserve_probes(models)],
    )
    return build(service, settings)


def health_of(loadings: Sequence[Loading]) -> Health:
    """Require the only model; of several those that were to be loaded at the start, and tell of each.

    While a request loads one of several, the others speak.
    """

    async def models() -> str | None:
        told = {loading.name: await loading.check() for loading in loadings if loading.required}
        return ", ".join(f"{name}: {why}" for name, why in told.items() if why) or None

    each: dict[str, Check] = {loading.name: loading.check for loading in loadings}
    return Health(each) if len(loadings) == 1 else Health({"models": models}, each)


def loading_of(plan: Plan, backend: Backend, settings: PredictorSettings, room: Room, gate: Gate) -> Loading:
    """Make what loads a model, once its licence allows it."""
    licence = licence_of(backend)

    def allowed() -> None:
        require_accepted(plan.model, licence(), settings.accept_model_licenses)

    def loaded() -> None:
        gate.resize(plan.concurrency())

    amiss = getattr(backend, "amiss", None)  # of those whose work is done in other processes
    give_up = getattr(backend, "give_up", lambda: None)
    elsewhere = Elsewhere(amiss, give_up) if amiss else None
    return Loading(
        plan.model,
        backend.load,
        backend.close,
        preload=plan.preload,
        room=room,
        elsewhere=elsewhere,
        loaded=loaded,
        allowed=allowed,
    )


def licence_of(backend: Backend) -> Callable[[], Licence | None]:
    """Return what says the licence of the weights, as far as it is known by then."""
    return lambda: backend.capabilities.licence
