"""The application every service is: errors, auth, limits, CORS, telemetry, probes and metrics around its routers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from chatacter.chassis import problems
from chatacter.chassis.auth import bearer_key, keyring_of, scope
from chatacter.chassis.drain import Drain
from chatacter.chassis.errors import ChatacterError
from chatacter.chassis.health import Health, probes
from chatacter.chassis.limits import LoopbackOnly, RequestLimits
from chatacter.chassis.settings import ServiceSettings
from chatacter.chassis.telemetry import Telemetry

# Takes the application that it stands before.
ASGIMiddleware = Callable[[ASGIApp], ASGIApp]
# Opens what the service needs, yields it as the requests' state, and closes everything when it exits.
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Service:
    """What differs from one service to the next."""

    name: str
    title: str
    version: str
    health: Health
    lifespan: Lifespan
    routers: Sequence[APIRouter]
    telemetry: Telemetry
    before_metrics: Callable[[Request], Awaitable[None]] | None = None
    """Called before metrics are read, to fetch what gauges show."""
    probes: Sequence[APIRouter] = ()
    """Further routes that the kubelet asks: open, like `/livez`, so they may tell nothing but a state."""
    middleware: Sequence[ASGIMiddleware] = ()
    """What stands before the routers, within the limits and CORS; the last one is the outermost."""


def build(service: Service, settings: ServiceSettings) -> FastAPI:
    """Assemble the application. Nothing is opened before its lifespan starts. Raises `Misconfigured`."""
    app = FastAPI(
        title=service.title,
        version=service.version,
        lifespan=closing(service),
        dependencies=[Depends(bearer_key)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.keyring = keyring_of(settings, needed=bool(service.routers))
    app.state.failure = None
    app.state.drain = Drain(settings.shutdown_grace)
    for router in service.routers:
        app.include_router(router)
    for open_router in (probes(service.health), *service.probes):
        app.router.routes.extend(open_router.routes)
    app.include_router(operations(app, service, metrics=settings.enable_metrics))
    problems.install(app)
    guard(app, service, settings)
    return app


def closing(service: Service) -> Lifespan:
    """Wrap the service's lifespan: keep the sentence of a failed start, and send the last telemetry."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        try:
            async with service.lifespan(app) as state:
                try:
                    yield state
                finally:
                    app.state.drain.begin()
        except ChatacterError as error:
            app.state.failure = error.message
            raise
        finally:
            await anyio.to_thread.run_sync(service.telemetry.close)

    return lifespan


def guard(app: FastAPI, service: Service, settings: ServiceSettings) -> None:
    """Put the middleware around it; the last one added is the outermost."""
    app.add_middleware(problems.Unexpected)
    for each in service.middleware:
        app.add_middleware(each)
    app.add_middleware(RequestLimits, max_bytes=settings.max_request_bytes, seconds=settings.request_timeout)
    if settings.on_loopback and not settings.keys_required:
        app.add_middleware(LoopbackOnly, origins=settings.cors_origins)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    app.add_middleware(
        OpenTelemetryMiddleware,
        excluded_urls="/livez,/readyz,/metrics",
        tracer_provider=service.telemetry.tracers,
        meter_provider=service.telemetry.meters,
        exclude_spans=["receive", "send"],
    )


def operations(app: FastAPI, service: Service, *, metrics: bool) -> APIRouter:
    """Make the doors for those who run the service."""
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    if metrics:

        @router.get("/metrics", dependencies=[Depends(scope("inside"))])
        async def prometheus(request: Request) -> Response:
            if service.before_metrics is not None:
                await service.before_metrics(request)
            text = await anyio.to_thread.run_sync(generate_latest, service.telemetry.registry)
            return Response(text, media_type=CONTENT_TYPE_LATEST)

    return router
