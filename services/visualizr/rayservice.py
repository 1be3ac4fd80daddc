"""Visualizr as an application of Ray Serve, `visualizr.rayservice:application`: what KubeRay's RayService deploys.

Ray starts the door and the replicas, wherever it has room; each reads its settings from the environment of its node, so
that no secret passes through Ray's stores.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI

from chatacter.chassis import logs
from chatacter.serving.licences import require_accepted
from chatacter.serving.replicas import ray_side
from visualizr.app import application as app_around
from visualizr.app import made
from visualizr.backend import VideoBackend
from visualizr.replicas import beside, planned
from visualizr.settings import VisualizrSettings


def application(_: Mapping[str, Any]) -> Any:
    """Describe the service to Ray Serve, whose configuration needs no arguments for it. Raises `Misconfigured`."""
    settings = VisualizrSettings.for_ray_serve()
    allowed(settings)
    return ray_side().entered(planned(settings), replica, door)


def replica() -> VideoBackend:
    """Make the backend of one replica. Raises `Misconfigured`."""
    settings = VisualizrSettings.for_ray_serve()
    logs.configure(settings)
    return allowed(settings)


def allowed(settings: VisualizrSettings) -> VideoBackend:
    """Make the backend. Raises `Misconfigured` unless its licence is accepted: Ray loads without asking the door."""
    backend = made(settings)
    require_accepted(settings.served_name, backend.capabilities.licence, settings.accept_model_licenses)
    return backend


def door(handle: Any) -> FastAPI:
    """Build the service before the replicas."""
    settings = VisualizrSettings.for_ray_serve()
    logs.configure(settings)
    return app_around(settings, beside(settings, partial(made, settings), handle))
