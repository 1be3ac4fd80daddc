"""A model loads behind the service's back; readiness says how far it is, and nobody is let in before."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from chatacter.chassis.errors import ChatacterError, Misconfigured, NotReady, Unavailable
from chatacter.serving.memory import done_within_memory
from chatacter.serving.room import Room
from chatacter.serving.work import ended

logger = logging.getLogger(__name__)

RETRY_AFTER: Final = 5.0
FULL: Final = "There was not enough memory to load the model."
UNEXPECTED: Final = "The model could not be loaded; the service's log says why."


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A model whose work is done in other processes.

    `amiss` says what is wrong with a loaded one, and may block; `give_up` ends a load that waits for others.
    """

    amiss: Callable[[], str | None]
    give_up: Callable[[], None] = lambda: None


class Loading:
    """Loads one model in a thread, once, and closes it when the service ends.

    With `preload` the load begins with the service, and requests before its end are refused with `NotReady`. Without,
    the first request begins it and waits; until then the service counts as ready. Models may share a room with too few
    places for all: one that nobody uses is then unloaded, and loaded again by the next request. A load that a request
    began and that fails is begun again by the next one; one that the service began stays failed, but where the work is
    done `elsewhere`: that is tried again while it raises `Unavailable`. `loaded` is called after each load, in the
    event loop. `allowed` raises why the model must not be loaded: no other makes room for one that is refused.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], None],
        close: Callable[[], None],
        *,
        preload: bool = True,
        room: Room | None = None,
        elsewhere: Elsewhere | None = None,
        loaded: Callable[[], None] = lambda: None,
        allowed: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._load = load
        self._close = close
        self._told = loaded
        self._allowed = allowed
        self._preload = preload
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._hindered: str | None = None
        self._room = room or Room()
        self._elsewhere = elsewhere
        self._users = 0
        self.used_at = 0.0
        self.held = 0
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def present(self) -> bool:
        """Whether the model takes memory: it is loaded, or loading."""
        return self._task is not None

    @property
    def idle(self) -> bool:
        """Whether nobody uses it, and it could be unloaded."""
        return self._users == 0 and self._task is not None and self._task.done()

    @property
    def at_work(self) -> bool:
        """Whether somebody uses it, and it is loaded."""
        return self._users > 0 and self._task is not None and self._task.done()

    @property
    def required(self) -> bool:
        """Whether a service of several models waits for this one: loaded at the start, and not unloaded since."""
        return self._preload

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Obtain the model and keep it for the length of the block. Raises what `obtain` raises."""
        self._users += 1
        try:
            await self.obtain()
            self.used_at = time.monotonic()
            yield
        finally:
            self._users -= 1
            if self._room.over and not self._over.is_set():
                leaving = asyncio.create_task(self._room.kept_within(), name="make room")
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    async def unload(self) -> None:
        """Take the model out of memory; the next request loads it again."""
        self._preload = False
        self._task = None  # before it is closed: whoever asks from now on waits for the room
        closing = asyncio.create_task(asyncio.to_thread(self._close), name=f"unload {self.name}")
        await ended(closing)  # whoever is cancelled meanwhile: until then its memory is not free
        closing.result()
        logger.info("model unloaded", extra={"model": self.name})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load in the background for the length of the block; at its end wait for the thread and close the model."""
        if self._preload:
            self._task = self._begun()
        try:
            yield
        finally:
            self._over.set()
            if self._elsewhere is not None:
                self._elsewhere.give_up()
            with anyio.CancelScope(shield=True):
                await self.settled()
                await asyncio.gather(*self._leaving)
                if self._task is not None:
                    await asyncio.to_thread(self._close)

    @property
    def ready(self) -> bool:
        """Whether a request would be let in now."""
        return self.told() is None

    def told(self) -> str | None:
        """Return None when the model can work, else a sentence that says what it waits for or why it failed."""
        if self._over.is_set():
            return "closed"
        if self._task is None:
            return "loading" if self._preload else self._refusal()
        if not self._task.done():
            return f"failed: {self._hindered}" if self._hindered else "loading"
        error = self._task.exception()
        if error is None:
            return None
        return f"failed: {error.message if isinstance(error, ChatacterError) else UNEXPECTED}"

    def _refusal(self) -> str | None:
        try:
            self._allowed()
        except ChatacterError as error:
            return f"failed: {error.message}"
        return None

    async def check(self) -> str | None:
        """Answer a readiness probe."""
        told = self.told()
        if told is None and self._elsewhere is not None and self._task is not None:
            return await asyncio.to_thread(self._elsewhere.amiss)
        return told

    async def obtain(self) -> None:
        """Return once the model can work. Raises `NotReady` while it loads, and what loading failed with."""
        task = self._task
        if task is None and not self._preload and not self._over.is_set():
            self._allowed()
            async with self._room.made(self):
                task = self._task = self._task or self._begun()
            await asyncio.wait([task])
        if self._over.is_set() or task is None or not task.done():
            raise NotReady(f"The model {self.name} is still loading.", retry_after=RETRY_AFTER)
        error = task.exception()
        if isinstance(error, ChatacterError):
            raise error
        if error is not None:
            raise Misconfigured(UNEXPECTED)

    async def settled(self) -> None:
        """Wait for the end of the load that runs, good or bad; return at once where none does."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _begun(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._loaded(), name=f"load {self.name}")
        task.add_done_callback(self._log)
        return task

    async def _loaded(self) -> None:
        began = time.monotonic()
        try:
            async with self._room.measured(self):
                await self._had()
        except Exception:
            if not self._preload:
                await asyncio.to_thread(self._close)  # what a load that failed has taken
                self._task = None
            raise
        self._told()
        facts = {"model": self.name, "seconds": round(time.monotonic() - began, 3)}
        logger.info("model loaded", extra={**facts, "bytes": self.held} if self.held else facts)

    async def _had(self) -> None:
        while True:
            try:
                return await asyncio.to_thread(done_within_memory, self._permitted, FULL)
            except Unavailable as error:
                if self._elsewhere is None or not self._preload or not await self._waited(error):
                    raise

    def _permitted(self) -> None:
        """Load, if that is allowed: what forbids it may be known only then, as with weights named at a hub."""
        self._allowed()
        self._load()
        try:
            self._allowed()
        except ChatacterError:
            self._close()
            raise

    async def _waited(self, error: ChatacterError) -> bool:
        """Tell why the load is tried again, and wait until it is; False where the service ends before."""
        if self._hindered != error.message:
            logger.warning("model cannot be loaded yet", exc_info=error, extra={"model": self.name})
        self._hindered = error.message
        try:
            await asyncio.wait_for(self._over.wait(), RETRY_AFTER)
        except TimeoutError:
            return True
        return False

    def _log(self, task: asyncio.Task[None]) -> None:
        error = task.exception() if not task.cancelled() else None
        if error is not None:
            logger.error("model could not be loaded", exc_info=error, extra={"model": self.name})
