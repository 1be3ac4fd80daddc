"""Streams that fail before they open, and that end their work when the listener leaves."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import anyio
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from chatacter.chassis.errors import Cancelled
from chatacter.chassis.tasks import stopped

logger = logging.getLogger(__name__)

T = TypeVar("T")

SSE = "text/event-stream"
# A browser that plays takes at once what lasts it about two minutes. Whoever takes nothing for this long has left.
TAKEN_WITHIN = 300.0
# What keeps proxies from holding a stream back.
UNBUFFERED = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Untaken(Exception):
    """The client keeps its connection and reads nothing from it."""


class ClosingStream(StreamingResponse):
    """A response over an async generator that is closed whatever ends it, so that its work stops at once."""

    def __init__(
        self,
        chunks: AsyncGenerator[bytes],
        first: bytes | None,
        media_type: str,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(prepend(first, chunks), media_type=media_type, headers=headers, background=background)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; close the generator also on a hang-up, and where nothing is taken for too long.

        The answer ends in the middle then, and the server closes the connection.
        """

        async def taken(message: Message) -> None:
            try:
                async with asyncio.timeout(TAKEN_WITHIN):
                    await send(message)
            except TimeoutError as error:
                raise Untaken from error

        try:
            await super().__call__(scope, receive, taken)
        except Untaken:
            logger.info("nobody takes the answer any more")
        finally:
            with anyio.CancelScope(shield=True):
                await self._chunks.aclose()


async def prepend(first: bytes | None, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunk that was pulled already, then the rest."""
    if first is not None:
        yield first
    async for chunk in rest:
        yield chunk


async def opened(
    chunks: AsyncGenerator[bytes],
    media_type: str,
    headers: Mapping[str, str] | Callable[[], Mapping[str, str]] = dict,
) -> ClosingStream:
    """Pull the first chunk, then make the response: what goes wrong before it is still a plain error.

    `headers` that are a function are asked for once the first chunk is there.
    """
    try:
        first = await anext(chunks, None)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await chunks.aclose()
        raise
    return ClosingStream(chunks, first, media_type, {**UNBUFFERED, **(headers() if callable(headers) else headers)})


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do work whose whole answer is sent at once; it is cancelled when the client leaves. Raises `Cancelled` then.

    The request's body must have been read.
    """
    doing, leaving = asyncio.create_task(work), asyncio.create_task(left(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Cancelled("The client left before the answer was ready.")
        return doing.result()
    finally:
        await stopped(leaving)
        await stopped(doing)


async def left(request: Request) -> None:
    """Wait until the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def sse(data: bytes, *, event: str | None = None, event_id: str | None = None) -> bytes:
    """Write one server-sent event; `data` must be one line. Source: WHATWG HTML, section 9.2."""
    head = (f"id: {event_id}\n" if event_id else "") + (f"event: {event}\n" if event else "")
    return head.encode() + b"data: " + data + b"\n\n"


DONE = b"data: [DONE]\n\n"
