"""`python -m chattr.dispatcher`: the dispatcher as a process of its own, with probes and metrics on its port.

SIGTERM ends it as it ends Chattr: nothing more is leased, what runs may finish within `SHUTDOWN_GRACE`, the rest is
handed back.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.server import serve
from chatacter.chassis.telemetry import telemetry_of
from chattr.app import refresh_outstanding
from chattr.bootstrap import compose_dispatcher
from chattr.settings import ChattrSettings


def create_app(settings: ChattrSettings) -> FastAPI:
    """Build the process's application: no doors but probes and metrics. Raises `Misconfigured`."""
    telemetry = telemetry_of("chattr-dispatcher", settings)
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with compose_dispatcher(settings, telemetry, health, app.state.drain) as outstanding:
            yield {"outstanding": outstanding}

    service = Service(
        name="chattr-dispatcher",
        title="Chatacter's dispatcher",
        version=version("chatacter"),
        health=health,
        lifespan=lifespan,
        routers=[],
        telemetry=telemetry,
        before_metrics=refresh_outstanding,
    )
    return build(service, settings)


if __name__ == "__main__":
    settings = ChattrSettings.read()
    serve(lambda: create_app(settings), settings)
