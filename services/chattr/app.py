"""The application: Chattr's routers on the chassis, its parts from `bootstrap`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI

from chatacter.chassis import plugins
from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.telemetry import telemetry_of
from chattr.bootstrap import compose
from chattr.routes import admin, characters, conversations, inference, live, media, openai, videos
from chattr.settings import ChattrSettings

ROUTERS = (
    openai.router,
    characters.router,
    conversations.router,
    live.router,
    media.router,
    videos.router,
    inference.router,
    admin.router,
)


def create_app(settings: ChattrSettings | None = None) -> FastAPI:
    """Build Chattr; what it needs is opened when it starts. Raises `Misconfigured`."""
    settings = settings or ChattrSettings.read()
    telemetry = telemetry_of("chattr", settings)
    health = Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with compose(settings, telemetry, health) as parts:
            yield parts.state()

    service = Service(
        name="chattr",
        title="Chatacter",
        version=version("chatacter"),
        health=health,
        lifespan=lifespan,
        routers=[*ROUTERS, *product_routers()],
        telemetry=telemetry,
    )
    return build(service, settings)


def product_routers() -> list[APIRouter]:
    """Load the routers that installed products bring; they stand behind the same keys."""
    return [router for _, router in plugins.load_all("chatacter.routes")]
