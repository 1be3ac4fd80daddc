"""Vocalizr as an application of Ray Serve, `vocalizr.rayservice:application`: what KubeRay's RayService deploys.

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
from vocalizr.app import application as app_around
from vocalizr.app import made
from vocalizr.backend import SpeechBackend
from vocalizr.replicas import beside, in_batches, planned
from vocalizr.settings import VocalizrSettings


def application(_: Mapping[str, Any]) -> Any:
    """Describe the service to Ray Serve, whose configuration needs no arguments for it. Raises `Misconfigured`."""
    settings = VocalizrSettings.for_ray_serve()
    return ray_side().entered(planned(settings, allowed(settings).capabilities), replica, door)


def replica() -> SpeechBackend:
    """Make the backend of one replica. Raises `Misconfigured`."""
    settings = VocalizrSettings.for_ray_serve()
    logs.configure(settings)
    return in_batches(partial(allowed, settings))


def allowed(settings: VocalizrSettings) -> SpeechBackend:
    """Make the backend. Raises `Misconfigured` unless its licence is accepted: Ray loads without asking the door."""
    backend = made(settings)
    require_accepted(settings.served_name, backend.capabilities.licence, settings.accept_model_licenses)
    return backend


def door(handle: Any) -> FastAPI:
    """Build the service before the replicas."""
    settings = VocalizrSettings.for_ray_serve()
    logs.configure(settings)
    return app_around(settings, beside(settings, partial(made, settings), handle))
