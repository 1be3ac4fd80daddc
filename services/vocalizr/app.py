"""Vocalizr's composition root."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from chatacter.chassis import plugins
from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.telemetry import telemetry_of
from chatacter.serving.loading import Loading
from chatacter.serving.metrics import measured_gate
from chatacter.serving.predictor import Predictor
from chatacter.serving.protocol import Models, kserve_probes, kserve_router
from vocalizr.backend import SpeechBackend
from vocalizr.inference import speech_job
from vocalizr.routes import speech_router
from vocalizr.settings import VocalizrSettings
from vocalizr.synthesize import OPERATION, Synthesizer


def create_app(settings: VocalizrSettings) -> FastAPI:
    """Build the service around the backend that the settings name. Raises `Misconfigured`."""
    return application(settings, plugins.load("chatacter.speech", settings.vocalizr_model)(settings))


def application(settings: VocalizrSettings, backend: SpeechBackend) -> FastAPI:
    """Build the service around a backend. Nothing is loaded before its lifespan starts. Raises `Misconfigured`."""
    model, release = settings.served_name, version("chatacter")
    telemetry = telemetry_of("vocalizr", settings)
    gate = measured_gate(
        telemetry.meter,
        model=model,
        operation=OPERATION,
        concurrency=settings.vocalizr_concurrency,
        queue=settings.vocalizr_queue,
    )
    loading = Loading(model, backend.load, backend.close, preload=settings.preload_models)
    synthesizer = Synthesizer(model, backend, loading, gate, telemetry.tracer)
    models = Models("vocalizr", release, [Predictor(model, loading, speech_job(synthesizer))])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with loading.running():
            yield {}

    service = Service(
        name="vocalizr",
        title="Vocalizr",
        version=release,
        health=Health({model: loading.check}),
        lifespan=lifespan,
        routers=[speech_router(synthesizer), kserve_router(models)],
        telemetry=telemetry,
        probes=[kserve_probes(models)],
    )
    return build(service, settings)
