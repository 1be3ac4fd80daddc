"""Vocalizr's composition root."""

from fastapi import FastAPI

from chatacter.chassis import plugins
from chatacter.serving.service import Doors, Place, Plan, predictor_app
from vocalizr.backend import SpeechBackend
from vocalizr.inference import speech_job
from vocalizr.routes import speech_router
from vocalizr.settings import VocalizrSettings
from vocalizr.synthesize import OPERATION, Synthesizer
from vocalizr.together import together


def create_app(settings: VocalizrSettings) -> FastAPI:
    """Build the service around the backend that the settings name. Raises `Misconfigured`."""
    return application(settings, plugins.load("chatacter.speech", settings.vocalizr_model)(settings))


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
        concurrency=places(settings, backend),
        queue=settings.vocalizr_queue,
        preload=settings.preload_models,
    )
    return predictor_app(plan, settings, backend, doors)


def places(settings: VocalizrSettings, backend: SpeechBackend) -> int:
    """How many texts are spoken side by side: as many as were set, else as many as the model speaks in one go."""
    able = backend.capabilities.together
    return settings.vocalizr_concurrency or (able.pieces if able else 1)
