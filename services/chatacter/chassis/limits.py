"""Limits on every request, as plain ASGI: the size of a body, the time in which it arrives, and who may be the host."""

import asyncio
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatacter.chassis.errors import ChatacterError, DeadlineExceeded, Forbidden, InvalidInput, TooLarge
from chatacter.chassis.problems import response_of

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REBINDING = "Without API keys this service answers only to localhost. Set REQUIRE_API_KEY=true to use other names."

FOREIGN = "Pages of other sites may not use this service. Name the site in CORS_ORIGINS, or set REQUIRE_API_KEY=true."


def too_slow(seconds: float) -> DeadlineExceeded:
    """Say which limit an answer did not keep."""
    return DeadlineExceeded(f"No answer within {seconds:g} s. Ask for less, or raise REQUEST_TIMEOUT.")


class RequestLimits:
    """Refuses bodies that are too large or too slow, and answers that do not begin in time."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request within the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            declared = int(dict(scope["headers"]).get(b"content-length", b"0"))
        except ValueError:
            declared = 0
        request = LimitedRequest(receive, send, self._max_bytes)
        if declared > self._max_bytes:
            await response_of(request.too_large(), scope["path"])(scope, receive, send)
            return
        refusal: ChatacterError | None = None
        try:
            async with asyncio.timeout(self._seconds) as until_start:
                request.until_start = until_start
                await self._app(scope, request.receive, request.send)
        except TimeoutError:
            if request.started or not until_start.expired():
                raise
            refusal = too_slow(self._seconds)
        except TooLarge as error:
            refusal = error
        if (refusal or request.refusal) is not None and not request.started:
            await response_of(refusal or request.too_large(), scope["path"])(scope, receive, send)


class LimitedRequest:
    """The two channels of one request, counted."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int) -> None:
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._received = 0
        self._complete = False
        self.started = False
        self.refusal: TooLarge | None = None
        self.until_start: asyncio.Timeout | None = None

    def too_large(self) -> TooLarge:
        """Say which limit the body is over."""
        return TooLarge(f"The body is over {self._max_bytes} bytes (MAX_REQUEST_BYTES).")

    async def receive(self) -> Message:
        """Pass a part of the body on, counted; after the body, wait for the hang-up without limit."""
        message = await self._receive()
        if self._complete:
            return message
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._received > self._max_bytes:
            self.refusal = self.too_large()
            raise self.refusal
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on; once it has begun it may take its time.

        A body parser may answer an oversized body in its own words: those are dropped for ours.
        """
        if self.refusal is not None and not self.started:
            return
        if message["type"] == "http.response.start":
            self.started = True
            if self.until_start is not None:
                self.until_start.reschedule(None)
        await self._send(message)


class LoopbackOnly:
    """Guards an open service on loopback against web pages: by another name (DNS rebinding), and from another site.

    A browser sends `Origin` with every WebSocket and with every request that may change something.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a `Host` that is not this machine, and a page of a site that is not named in CORS_ORIGINS."""
        refusal = self._refusal(scope) if scope["type"] in {"http", "websocket"} else None
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await response_of(refusal, scope["path"])(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.message})

    def _refusal(self, scope: Scope) -> ChatacterError | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in {b"host", b"origin"}}
        if name_of(headers.get(b"host", "")) not in LOOPBACK_HOSTS:
            return InvalidInput(REBINDING)
        origin = headers.get(b"origin")
        harmless = scope["type"] == "http" and scope["method"] in SAFE_METHODS
        if origin is None or harmless or "*" in self._origins or origin in self._origins:
            return None
        return None if name_of(origin.rpartition("://")[2]) in LOOPBACK_HOSTS else Forbidden(FOREIGN)


def name_of(host: str) -> str:
    """Return a host without its port."""
    return host if host.endswith("]") else host.rpartition(":")[0] or host
