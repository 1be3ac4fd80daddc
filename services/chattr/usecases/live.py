"""Replies while they are written: the log's writer, and the tasks that this process must finish before it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio

from chatacter.chassis.errors import Unavailable
from chatacter.chassis.tasks import stopped
from chattr.domain.identity import Owner
from chattr.ports.sessions import Event, SessionLog

logger = logging.getLogger(__name__)

COALESCE_SECONDS: Final = 0.03
HEARTBEAT_SECONDS: Final = 0.25
LAST_TRIES: Final = 20


class LogWriter:
    """Writes one reply's events in small batches, and cancels `scope` when somebody asks.

    The listener on this process gets each event at once; the log follows within `COALESCE_SECONDS`. When the log is
    away the events wait here, in order; the reply goes on.
    """

    def __init__(self, log: SessionLog, owner: Owner, reply_id: str, scope: anyio.CancelScope) -> None:
        self._log = log
        self._owner = owner
        self._reply_id = reply_id
        self._scope = scope
        self._waiting: list[Event] = []
        self._seq = 0
        self._closing = False
        self._wake = asyncio.Event()
        self.cancel_requested = False
        self.away = False

    def event(self, kind: str, data: dict[str, Any]) -> Event:
        """Number an event and put it down to be written."""
        self._seq += 1
        event = Event(self._seq, kind, data)
        self._waiting.append(event)
        self._wake.set()
        return event

    async def flush(self) -> None:
        """Write what waits, renew the lease, and hear whether to stop. A log that is away is told in `away`."""
        batch, self._waiting = self._waiting, []
        try:
            asked = await self._log.append(self._owner, self._reply_id, batch)
        except Unavailable:
            self._waiting[:0] = batch
            self.away = True
            return
        self.away = False
        if asked and not self.cancel_requested:
            self.cancel_requested = True
            self._scope.cancel()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write in the background; on leaving, write the rest."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._closing = True
            self._wake.set()
            with anyio.CancelScope(shield=True):
                await task

    async def _run(self) -> None:
        while not self._closing:
            with anyio.move_on_after(HEARTBEAT_SECONDS):
                await self._wake.wait()
                if not self._closing:
                    await asyncio.sleep(COALESCE_SECONDS)
            self._wake.clear()
            await self.flush()
        for _ in range(LAST_TRIES):
            if not self._waiting:
                return
            await self.flush()
            if self.away:
                await asyncio.sleep(HEARTBEAT_SECONDS)
        if self._waiting:
            logger.warning("a reply's last events could not be logged")


class Live:
    """The replies that this process writes. They outlive the request that asked for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a reply until it ends by itself."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a reply's task failed", exc_info=task.exception())

    async def close(self, grace: float) -> None:
        """Let running replies finish within `grace` seconds, then stop the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        await asyncio.gather(*(stopped(task) for task in tuple(self._tasks)))
