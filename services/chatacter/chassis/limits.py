"""Limits on every request, as plain ASGI: the size of a body, the time in which it arrives, and who may be the host."""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatacter.chassis.errors import ChatacterError, DeadlineExceeded, InvalidInput, TooLarge
from chatacter.chassis.problems import response_of

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})
REBINDING = "Without API keys this service answers only to localhost. Set REQUIRE_API_KEY=true to use other names."


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
        request = LimitedRequest(receive, send, self._max_bytes, time.monotonic() + self._seconds)
        try:
            if declared > self._max_bytes:
                raise request.too_large()
            async with asyncio.timeout(self._seconds) as request.until_start:
                await self._app(scope, request.receive, request.send)
        except TimeoutError:
            if request.started or not request.until_start_expired():
                raise
            late = DeadlineExceeded(f"No answer within {self._seconds:g} s. Ask for less, or raise REQUEST_TIMEOUT.")
            await response_of(late, scope["path"])(scope, receive, send)
        except ChatacterError as error:
            if request.started:
                raise
            await response_of(error, scope["path"])(scope, receive, send)


class LimitedRequest:
    """The two channels of one request, counted."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int, deadline: float) -> None:
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._received = 0
        self._complete = False
        self.started = False
        self.until_start: asyncio.Timeout | None = None

    def too_large(self) -> TooLarge:
        """Say which limit the body is over."""
        return TooLarge(f"The body is over {self._max_bytes} bytes (MAX_REQUEST_BYTES).")

    def until_start_expired(self) -> bool:
        """Whether it was this limit that ended the request."""
        return self.until_start is not None and self.until_start.expired()

    async def receive(self) -> Message:
        """Pass a part of the body on, counted; after the body, wait for the hang-up without limit."""
        if self._complete:
            return await self._receive()
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._received > self._max_bytes:
            raise self.too_large()
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on; once it has begun it may take its time."""
        if message["type"] == "http.response.start":
            self.started = True
            if self.until_start is not None:
                self.until_start.reschedule(None)
        await self._send(message)


class LoopbackHost:
    """Guards an open service on loopback against DNS rebinding: a web page must not reach it by another name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a `Host` that is not this machine."""
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            name = host if host.endswith("]") else host.rpartition(":")[0] or host
            if name not in LOOPBACK_HOSTS:
                await response_of(InvalidInput(REBINDING), scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)
