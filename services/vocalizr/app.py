"""Vocalizr's composition root."""

from functools import partial

from fastapi import FastAPI

from chatacter.chassis import plugins
from chatacter.serving.service import Doors, Place, Plan, predictor_app
from vocalizr.backend import SpeechBackend, SpeechCapabilities
from vocalizr.inference import speech_job
from vocalizr.replicas import on_replicas
from vocalizr.routes import speech_router
from vocalizr.settings import VocalizrSettings
from vocalizr.synthesize import OPERATION, Synthesizer
from vocalizr.together import together


def create_app(settings: VocalizrSettings) -> FastAPI:
    """Build the service around the backend that the settings name. Raises `Misconfigured`."""
    make = partial(made, settings)
    if settings.vocalizr_engine == "ray":
        return application(settings, on_replicas(settings, make))
    return application(settings, make())


def made(settings: VocalizrSettings) -> SpeechBackend:
    """Make the backend that the settings name. Raises `Misconfigured`."""
    backend: SpeechBackend = plugins.load("chatacter.speech", settings.vocalizr_model)(settings)
    return backend


def application(settings: VocalizrSettings, backend: SpeechBackend) -> FastAPI:
    """Build the service around a backend. Nothing is loaded before its lifespan starts. Raises `Misconfigured`."""

    def doors(place: Place) -> Doors:
        speaker = together(backend, place.batches)
        synthesizer = Synthesizer(place.model, speaker, place.loading, place.gate, place.tracer)
        return Doors(speech_router(synthesizer), speech_job(synthesizer))

    plan = Plan(
        name="vocalizr",
        title="Vocalizr",
        model=settings.served_name,
        operation=OPERATION,
        concurrency=places(settings, backend.capabilities),
        queue=settings.vocalizr_queue,
        preload=settings.preload_models,
    )
    return predictor_app(plan, settings, backend, doors)


def places(settings: VocalizrSettings, capable: SpeechCapabilities) -> int:
    """How many texts are spoken side by side: as many as were set, else as many as the model speaks in one go."""
    able = capable.together
    return capable.places or settings.vocalizr_concurrency or (able.pieces if able else 1)
