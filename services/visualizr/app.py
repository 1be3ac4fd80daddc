"""Visualizr's composition root."""

from functools import partial

from fastapi import FastAPI

from chatacter.chassis import plugins
from chatacter.serving.service import Doors, Place, Plan, predictor_app
from visualizr.backend import VideoBackend
from visualizr.inference import video_job
from visualizr.render import OPERATION, Renderer
from visualizr.replicas import on_replicas
from visualizr.routes import video_router
from visualizr.settings import VisualizrSettings


def create_app(settings: VisualizrSettings) -> FastAPI:
    """Build the service around the backend that the settings name. Raises `Misconfigured`."""
    make = partial(made, settings)
    if settings.visualizr_engine == "ray":
        return application(settings, on_replicas(settings, make))
    return application(settings, make())


def made(settings: VisualizrSettings) -> VideoBackend:
    """Make the backend that the settings name. Raises `Misconfigured`."""
    backend: VideoBackend = plugins.load("chatacter.video", settings.visualizr_model)(settings)
    return backend


def application(settings: VisualizrSettings, backend: VideoBackend) -> FastAPI:
    """Build the service around a backend. Nothing is loaded before its lifespan starts. Raises `Misconfigured`."""

    def doors(place: Place) -> Doors:
        renderer = Renderer(backend, place.loading, place.gate, place.tracer, settings)
        return Doors(video_router(renderer), video_job(renderer))

    plan = Plan(
        name="visualizr",
        title="Visualizr",
        model=settings.served_name,
        operation=OPERATION,
        concurrency=lambda: (
            settings.visualizr_concurrency * (settings.ray_replicas if settings.visualizr_engine == "ray" else 1)
        ),
        queue=settings.visualizr_queue,
        preload=settings.preload_models,
    )
    return predictor_app(plan, settings, backend, doors)
