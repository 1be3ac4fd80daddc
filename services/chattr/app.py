"""The application: Chattr's routers on the chassis, its parts from `bootstrap`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request

from chatacter.chassis import plugins
from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.settings import url_host
from chatacter.chassis.telemetry import telemetry_of
from chattr.bootstrap import compose
from chattr.bootstrap.language import EMBEDDED_MODEL
from chattr.routes import (
    admin,
    cards,
    characters,
    chat,
    conversations,
    forgetting,
    inference,
    jobs,
    links,
    live,
    long_speech,
    lorebooks,
    media,
    memories,
    memory_changes,
    messages,
    openai,
    prompts,
    reminders,
    summaries,
    videos,
    voices,
)
from chattr.routes.rate_limit import RateLimit
from chattr.settings import ChattrSettings
from chattr.usecases.outstanding import Outstanding

ROUTERS = (
    openai.router,
    cards.router,
    characters.router,
    prompts.router,
    lorebooks.router,
    chat.router,
    conversations.router,
    messages.router,
    reminders.router,
    summaries.router,
    forgetting.router,
    memory_changes.router,
    memories.router,
    live.router,
    media.router,
    voices.router,
    videos.router,
    long_speech.router,
    jobs.router,
    links.router,
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
        async with compose(settings, telemetry, health, app.state.drain) as parts:
            yield {**parts.state(), "about": about(settings)}

    service = Service(
        name="chattr",
        title="Chatacter",
        version=version("chatacter"),
        health=health,
        lifespan=lifespan,
        routers=[*ROUTERS, *product_routers()],
        telemetry=telemetry,
        before_metrics=refresh_outstanding,
        middleware=(RateLimit,) if settings.api_rate_limit else (),
    )
    app = build(service, settings)
    if settings.enable_ui:
        show_page(app, settings)
    return app


async def refresh_outstanding(request: Request) -> None:
    """Read what the gauge of outstanding work shows, at the moment of the scrape."""
    outstanding: Outstanding = request.state.outstanding
    await outstanding.refresh()


def about(settings: ChattrSettings) -> Mapping[str, Any]:
    """Say what answers here and what is switched off, for those who talk with it."""
    name = settings.model.name or EMBEDDED_MODEL
    return {
        "answers": {"kind": "embedded" if settings.embedded_model else "provider", "model": name},
        "voice": settings.enable_voice_generation,
        "video": settings.enable_video_generation,
        "default_character": settings.default_character,
    }


def show_page(app: FastAPI, settings: ChattrSettings) -> None:
    """Serve the page at `/`. It is a client like any other, so it is told where this process answers."""
    with plugins.needing("The page (ENABLE_UI)"):
        from chattr.ui.door import Door  # noqa: PLC0415  # only where there is a page
        from chattr.ui.mounting import mount  # noqa: PLC0415  # needs the extra `ui`
    mount(app, Door(f"http://{url_host(settings.host)}:{settings.port}"), ending=app.state.drain.begun)


def product_routers() -> list[APIRouter]:
    """Load the routers that installed products bring; they stand behind the same keys."""
    return [router for _, router in plugins.load_all("chatacter.routes")]
