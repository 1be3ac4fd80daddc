"""The page on an application that has doors of its own: which addresses are the page's, and what it may load."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import gradio as gr
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chattr.ui.door import Door
from chattr.ui.page import Page
from chattr.ui.paths import of_page
from chattr.ui.style import CSS, HEAD, theme

# The page loads nothing from elsewhere, whatever a character writes into its text, and stands in no other site's frame.
SECURITY: Final = {
    "content-security-policy": "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # how Gradio starts itself and its custom components
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class PageMount(Mount):
    """A mount at the root that matches only the page's own addresses."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match what the page asks for; leave the rest, and its errors, to the application."""
        if scope["type"] != "http" or not of_page(scope["path"]):
            return Match.NONE, {}
        return super().matches(scope)


class Secured:
    """Puts the page's security headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY)
            await send(message)

        await self._app(scope, receive, headed)


def mount(app: FastAPI, door: Door, *, ending: asyncio.Event | None = None) -> Page:
    """Serve the page at `/` of an application, before the API behind `door`. Call it after all other routes.

    When `ending` is set, open tabs are let go: each keeps one stream open for as long as it shows the page, and would
    hold the process's end up. What is being said is said to its end, over a stream of its own.
    """
    page = Page(door)
    gr.mount_gradio_app(
        app,
        page.parts.blocks,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
        max_file_size=1,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        theme=theme(),
        css=CSS,
        head=HEAD,
    )
    mounted: Any = app.router.routes.pop()
    app.router.routes.append(PageMount(mounted.path, app=Secured(mounted.app), name="page"))
    if ending is not None:
        app.router.lifespan_context = closing(app.router.lifespan_context, mounted.app.stop_event, ending)
    return page


def closing(lifespan: Any, tabs: asyncio.Event, ending: asyncio.Event) -> Any:
    """Wrap a lifespan so that `tabs`, at which their streams end, is set as soon as `ending` is."""

    async def close() -> None:
        await ending.wait()
        tabs.set()

    @asynccontextmanager
    async def watched(app: FastAPI) -> AsyncIterator[Any]:
        inner: AbstractAsyncContextManager[Any] = lifespan(app)
        async with inner as state:
            watching = asyncio.create_task(close())
            try:
                yield state
            finally:
                watching.cancel()

    return watched
