"""Ray Serve: how replicas are described, started, asked and ended. The only module that imports ray."""

import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError, RayError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
    RequestCancelledError,
)

from chatacter.chassis.errors import Cancelled, Misconfigured, Unavailable
from chatacter.serving.replicas import RETRY_AFTER, Make, Replication
from chatacter.serving.work import streamed

# Neither says its types.
untyped: Any = ray
untyped_serve: Any = serve

DEPLOYMENT: Final = "replica"
DOOR: Final = "door"
# How often it is looked whether replicas that others start have loaded.
GLANCE: Final = 1.0
# A replica that died is missed after so many seconds.
MISSED: Final = 2.0
# More than a gate of ours ever lets in: who waits, and who is refused, is its to say.
MANY: Final = 100_000
# How often a replica whose model cannot be loaded is tried before the service says so.
ATTEMPTS: Final = 2
# As often as it takes: what Ray once takes for failed it never tries again. It also counts tries by replica, three for
# each, unless RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT says otherwise where it runs.
ENDLESS: Final = 1_000_000
# Seconds before such a try ends; Ray begins the next at once.
PAUSE: Final = 10.0
GONE: Final = "The replica that did this was lost. Another one may be free, or it comes back in a moment."
FAILED: Final = "The replicas could not be started; the service's log and Ray's say why."
GIVEN_UP: Final = "The service ended before a replica was there."


class Replica:
    """One replica: a backend, made and loaded in this process. It counts as healthy once it is loaded."""

    def __init__(self, make: Make, pause: float = 0.0) -> None:
        try:
            self._backend = make()
            self._backend.load()
        except Exception:
            time.sleep(pause)
            raise

    async def call(self, verb: str, arguments: tuple[Any, ...]) -> Any:
        """Call one of the backend's blocking methods, off the event loop."""
        method = getattr(self._backend, verb)
        async with aclosing(streamed(lambda _: iter([method(*arguments)]))) as results:
            return await anext(results)

    async def told(self, name: str) -> Any:
        """Return one of the backend's attributes, as it is once the model is loaded."""
        return getattr(self._backend, name)

    async def stream(self, verb: str, arguments: tuple[Any, ...]) -> AsyncGenerator[Any]:
        """Yield what the backend's streaming verb yields; whoever cancels this stops it."""
        work = getattr(self._backend, verb)
        async with aclosing(streamed(lambda cancelled: work(*arguments, cancelled))) as pieces:
            async for piece in pieces:
                yield piece

    def __del__(self) -> None:
        """Let go of the model when Ray ends the replica."""
        with suppress(AttributeError):
            self._backend.close()


def joined(address: str | None) -> bool:
    """Join a Ray, or start one on this machine; return whether it is our own."""
    if ray.is_initialized():
        return False
    ray.init(address, include_dashboard=False, configure_logging=False, log_to_driver=False)
    return address is None


def started(plan: Replication, make: Make) -> Any:
    """Start replicas and return their handle once each has loaded its model. Raises `Misconfigured`."""
    serve.start(proxy_location="Disabled", logging_config={"enable_access_log": False})
    try:
        return serve.run(described(plan, make), name=plan.name, route_prefix=None)
    except (RuntimeError, RayError) as error:
        raise Misconfigured(FAILED) from error


class Door:
    """The service before its replicas, in a process that Ray Serve's proxies pass requests on to."""

    def __init__(self, create: Callable[[Any], FastAPI], replicas: Any) -> None:
        self._create = create
        self._replicas = replicas

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the application around the handle of its replicas."""
        return self._create(self._replicas)


def entered(plan: Replication, make: Make, create: Callable[[Any], FastAPI]) -> serve.Application:
    """Describe a whole service to Ray Serve: its replicas, and before them the door that `create` makes."""
    door: Any = serve.deployment(
        serve.ingress()(Door),
        name=DOOR,
        max_ongoing_requests=MANY,
        graceful_shutdown_timeout_s=plan.grace,
    )
    application: serve.Application = door.bind(create, described(plan, make, ENDLESS, PAUSE))
    return application


def awaited(over: threading.Event) -> None:
    """Return once a replica of the application that this process is the door of has loaded.

    Raises `Unavailable` where Ray has given them up, until somebody deploys them anew, and once `over` is set.
    """
    own = untyped_serve.get_replica_context().app_name
    while not standing(own):
        if over.wait(GLANCE):
            raise Unavailable(GIVEN_UP)
        told = application_of(own)
        if told and told.status == "DEPLOY_FAILED":
            raise Unavailable(FAILED, retry_after=RETRY_AFTER)


def standing(name: str | None) -> int:
    """Say how many replicas of an application are there and well; without a name, of that of this process."""
    application = application_of(name or untyped_serve.get_replica_context().app_name)
    replicas = application.deployments.get(DEPLOYMENT) if application else None
    return int(replicas.replica_states.get("RUNNING", 0)) if replicas else 0


def application_of(name: str) -> Any:
    """Return what Ray Serve says of an application; None where it knows none, or says nothing."""
    try:
        return untyped_serve.status().applications.get(name)
    except (RayServeException, RayError):
        return None


def described(plan: Replication, make: Make, attempts: int = ATTEMPTS, pause: float = 0.0) -> serve.Application:
    """Describe replicas to Ray Serve, which are tried so often, with a pause after each try that failed."""
    deployment: Any = serve.deployment(
        Replica,
        name=DEPLOYMENT,
        num_replicas=plan.replicas,
        max_ongoing_requests=plan.ongoing,
        max_constructor_retry_count=attempts,
        graceful_shutdown_timeout_s=plan.grace,
        health_check_period_s=MISSED,
        ray_actor_options={"num_cpus": plan.cpus, "num_gpus": plan.gpus},
    )
    application: serve.Application = deployment.bind(make, pause)
    return application


def ended(name: str, *, own: bool) -> None:
    """End the replicas, and Ray where it is our own."""
    serve.delete(name)
    if own:
        untyped_serve.shutdown()
        untyped.shutdown()


def meant(error: Exception) -> Exception:
    """Return what a backend in another process raised; what says that the process is gone, in our words."""
    if isinstance(error, RayTaskError):
        cause: Exception = error.cause
        return cause
    if isinstance(error, TaskCancelledError | RequestCancelledError):
        return Cancelled("The work was cancelled.")
    if isinstance(error, RayActorError | DeploymentUnavailableError | ReplicaUnavailableError | BackPressureError):
        return Unavailable(GONE, retry_after=RETRY_AFTER)
    return error
