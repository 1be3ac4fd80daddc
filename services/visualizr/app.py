"""Visualizr's composition root."""

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
from visualizr.backend import VideoBackend
from visualizr.inference import video_job
from visualizr.render import OPERATION, Renderer
from visualizr.routes import video_router
from visualizr.settings import VisualizrSettings


def create_app(settings: VisualizrSettings) -> FastAPI:
    """Build the service around the backend that the settings name. Raises `Misconfigured`."""
    return application(settings, plugins.load("chatacter.video", settings.visualizr_model)(settings))


def application(settings: VisualizrSettings, backend: VideoBackend) -> FastAPI:
    """Build the service around a backend. Nothing is loaded before its lifespan starts. Raises `Misconfigured`."""
    model, release = settings.served_name, version("chatacter")
    telemetry = telemetry_of("visualizr", settings)
    gate = measured_gate(
        telemetry.meter,
        model=model,
        operation=OPERATION,
        concurrency=settings.visualizr_concurrency,
        queue=settings.visualizr_queue,
    )
    loading = Loading(model, backend.load, backend.close, preload=settings.preload_models)
    renderer = Renderer(backend, loading, gate, telemetry.tracer, settings)
    models = Models("visualizr", release, [Predictor(model, loading, video_job(renderer))])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with loading.running():
            yield {}

    service = Service(
        name="visualizr",
        title="Visualizr",
        version=release,
        health=Health({model: loading.check}),
        lifespan=lifespan,
        routers=[video_router(renderer), kserve_router(models)],
        telemetry=telemetry,
        probes=[kserve_probes(models)],
    )
    return build(service, settings)
