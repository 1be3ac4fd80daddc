"""The calls of a gRPC server: each within its time, none new once the drain begins.

A server of gRPC's that stops answers `CANCELLED` to what reaches it before the client has heard of it, and nobody tries
that again. So it goes on while calls run, refuses new ones with `UNAVAILABLE`, and stops when none are left.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from grpc import aio

from chatacter.chassis.drain import Drain
from chatacter.chassis.errors import Unavailable
from chatacter.chassis.limits import too_slow

ENDING: Final = "The service is shutting down. Ask again: another one answers, or this one when it is back."
CUT: Final = "The service shut down before this was done. Ask again, for less, or raise SHUTDOWN_GRACE."
# Seconds in which those that the drain cuts off are told so.
TELLING: Final = 2.0


class Calls:
    """Those that run; each may take `seconds`, and the time of the drain once that has begun."""

    def __init__(self, drain: Drain, seconds: float) -> None:
        self._drain = drain
        self._seconds = seconds
        self._running: set[asyncio.Task[Any]] = set()
        self._bounds: set[asyncio.Timeout] = set()

    def enter(self) -> None:
        """Count the current task as a call until its answer is sent. Raises `Unavailable` once the drain has begun."""
        call = asyncio.current_task()
        assert call is not None
        self._running.add(call)
        call.add_done_callback(self._running.discard)
        if self._drain.begun.is_set():
            raise Unavailable(ENDING)

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Bound a block by the time that a call may take. Raises `DeadlineExceeded`; `Unavailable` at the drain's."""
        try:
            async with asyncio.timeout(self._seconds) as bound:
                self._bounds.add(bound)
                try:
                    yield
                finally:
                    self._bounds.discard(bound)
        except TimeoutError as error:
            if not bound.expired():
                raise
            if self._drain.begun.is_set() and self._drain.remaining == 0:
                raise Unavailable(CUT) from error
            raise too_slow(self._seconds) from error

    async def ended(self, server: aio.Server) -> None:
        """Wait for the drain and see the calls through; one that is cut holds its model until that lets go.

        So does one whose time was up before: its bound has done its work and can be moved no more.
        """
        await self._drain.begun.wait()
        last = asyncio.get_running_loop().time() + self._drain.remaining
        for bound in (each for each in self._bounds if not each.expired()):
            when = bound.when()
            bound.reschedule(last if when is None else min(when, last))
        await self._sent(self._drain.remaining + TELLING)
        await server.stop(None)
        await self._sent()

    async def _sent(self, seconds: float | None = None) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
