"""Vocalizr's composition root."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI

from chatacter.chassis import plugins
from chatacter.serving.predictor import Job
from chatacter.serving.room import Room
from chatacter.serving.service import Place, Plan, predictors_app
from vocalizr.as_loaded import AsLoaded
from vocalizr.backend import SpeechBackend, SpeechCapabilities
from vocalizr.cloning.routes import cloning_router
from vocalizr.cloning.studios import Ears, Studios, ears_of, kept, store_of
from vocalizr.inference import speech_job
from vocalizr.listening.routes import listening_router
from vocalizr.replicas import on_replicas
from vocalizr.routes import speech_router
from vocalizr.settings import VocalizrSettings
from vocalizr.several import Speakers
from vocalizr.synthesize import OPERATION, Synthesizer
from vocalizr.watermark.marking import encoding_of


def create_app(settings: VocalizrSettings) -> FastAPI:
    """Build the service around the backends that the settings name. Raises `Misconfigured`."""
    if settings.vocalizr_engine == "ray":
        (name,) = settings.served
        only = settings.for_model(name)
        return application(only, on_replicas(only, partial(made, only)))
    return shared(settings, {name: made(settings.for_model(name)) for name in settings.served})


def made(settings: VocalizrSettings) -> SpeechBackend:
    """Make the backend that the settings name. Raises `Misconfigured`."""
    backend: SpeechBackend = plugins.load("chatacter.speech", settings.vocalizr_model)(settings)
    return backend


def application(settings: VocalizrSettings, backend: SpeechBackend, ears: Ears | None = None) -> FastAPI:
    """Build the service around a backend. Nothing is loaded before its lifespan starts. Raises `Misconfigured`.

    Without `ears` it listens with those that the settings name.
    """
    return shared(settings, {settings.served_name: backend}, ears)


def shared(settings: VocalizrSettings, backends: Mapping[str, SpeechBackend], ears: Ears | None = None) -> FastAPI:
    """Build the service around several backends by their models' names. Raises `Misconfigured`."""
    listening = ears or ears_of(settings)
    store = store_of(settings)
    encoding = encoding_of(settings)

    def doors(stands: Sequence[Place]) -> tuple[APIRouter, Sequence[Job[Any]]]:
        studios = Studios(settings, listening, store, backends, stands)
        synthesizers = [
            Synthesizer(
                place.model,
                AsLoaded(backends[place.model], place.batches),
                place.loading,
                place.gate,
                place.tracer,
                studios.named(place.model),
                longest=settings.vocalizr_max_characters,
                encoding=encoding,
            )
            for place in stands
        ]
        router = APIRouter()
        router.include_router(speech_router(Speakers(synthesizers)))
        router.include_router(cloning_router(studios))
        router.include_router(listening_router(listening.transcriber, studios.hearing))
        return router, [speech_job(synthesizer) for synthesizer in synthesizers]

    memory = settings.vocalizr_models_memory
    loaded = settings.vocalizr_models_loaded if memory is None else 1
    shelf = [
        (plan_of(settings, name, backend, preload=loaded is None or number < loaded), backend)
        for number, (name, backend) in enumerate(backends.items())
    ]
    return predictors_app(
        shelf, settings, doors, Room(settings.vocalizr_models_loaded, memory), partial(kept, listening, store)
    )


def plan_of(settings: VocalizrSettings, name: str, backend: SpeechBackend, *, preload: bool) -> Plan:
    """Plan one model; `preload` is whether there is room for it at the start."""
    return Plan(
        name="vocalizr",
        title="Vocalizr",
        model=name,
        operation=OPERATION,
        concurrency=lambda: places(settings, backend.capabilities),
        queue=settings.vocalizr_queue,
        preload=settings.preload_models and preload,
        device=lambda: backend.capabilities.device,
    )


def places(settings: VocalizrSettings, capable: SpeechCapabilities) -> int:
    """How many texts are spoken side by side: as many as were set, else as many as the model speaks in one go."""
    able = capable.together
    return capable.places or settings.vocalizr_concurrency or (able.pieces if able else 1)
