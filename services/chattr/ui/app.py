"""The page as an application of its own on the chassis: no doors but the page, probes and metrics."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from chatacter.chassis import plugins
from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.telemetry import telemetry_of
from chatacter.client.api import Api
from chatacter.client.errors import ClientError
from chattr.ui.door import Door
from chattr.ui.settings import UiSettings


def create_app(settings: UiSettings) -> FastAPI:
    """Build the process's application. Raises `Misconfigured`."""
    health = Health()
    door = Door(settings.api_url, keys_required=settings.keys_required)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with Api.connected(settings.api_url) as api:

            async def behind() -> str | None:
                try:
                    await door.ask(api)
                except ClientError as error:
                    return error.message
                return None

            health.tell("chattr", behind)
            yield {}

    service = Service(
        name="chattr-ui",
        title="Chatacter's page",
        version=version("chatacter"),
        health=health,
        lifespan=lifespan,
        routers=[],
        telemetry=telemetry_of("chattr-ui", settings),
    )
    app = build(service, settings)
    with plugins.needing("The page"):
        from chattr.ui.mounting import mount  # noqa: PLC0415  # needs the extra `ui`
    mount(app, door, ending=app.state.drain.begun)
    return app
