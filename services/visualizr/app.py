"""Visualizr's composition root."""

from functools import partial

from fastapi import FastAPI

from chatacter.chassis import plugins
from chatacter.chassis.plugins import needing
from chatacter.serving.service import Doors, Place, Plan, predictor_app
from visualizr.backend import VideoBackend
from visualizr.inference import video_job
from visualizr.render import OPERATION, Renderer, Signer
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


def application(settings: VisualizrSettings, backend: VideoBackend, signer: Signer | None = None) -> FastAPI:
    """Build the service around a backend. Nothing is loaded before its lifespan starts. Raises `Misconfigured`."""
    signer = signer or signing_of(settings)

    def doors(place: Place) -> Doors:
        renderer = Renderer(backend, place.loading, place.gate, place.tracer, settings, signer)
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


def signing_of(settings: VisualizrSettings) -> Signer | None:
    """Return what signs films, where a certificate is set. Raises `Misconfigured` where it cannot."""
    certificate, key = settings.visualizr_c2pa_certificate, settings.visualizr_c2pa_key
    if certificate is None or key is None:
        return None
    with needing("VISUALIZR_C2PA_CERTIFICATE"):
        from visualizr.signing import signing_with  # noqa: PLC0415  # needs the extra `c2pa`
    return signing_with(certificate, key)
