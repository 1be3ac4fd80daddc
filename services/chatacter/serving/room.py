"""Room for a few models in memory: the one that was used longest ago makes room for another."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from chatacter.chassis.errors import Busy
from chatacter.serving.memory import Footprint, footprint

logger = logging.getLogger(__name__)

RETRY_AFTER: Final = 5.0
AT_WORK: Final = "All models that are in memory are at work, and there is no room for another. Try again soon."


class Guest(Protocol):
    """A model that is in memory, or could be. `held` are the bytes that it was seen to take, 0 before it was loaded."""

    name: str
    held: int

    @property
    def present(self) -> bool:
        """Whether it takes room: it is loaded, or loading."""
        ...

    @property
    def idle(self) -> bool:
        """Whether nobody uses it."""
        ...

    @property
    def at_work(self) -> bool:
        """Whether somebody uses it, and it is loaded."""
        ...

    @property
    def used_at(self) -> float:
        """When it was used last."""
        ...

    async def unload(self) -> None:
        """Make room; the next request loads it again."""
        ...


class Room:
    """Holds at most `size` models at once, and at most `limit` bytes of them; None: as many as there are.

    What a model takes is known once it was loaded: from then on others make room for it before, the first time after.
    With a limit models load one at a time, so that each can be measured. What is measured while others work may hold
    what these took: it counts until the model is measured again. One that is larger than all the room stays alone.
    """

    def __init__(
        self, size: int | None = None, limit: int | None = None, measure: Callable[[], Footprint] = footprint
    ) -> None:
        self._size = size
        self._limit = limit
        self._measure = measure
        self._guests: list[Guest] = []
        self._sure: set[str] = set()
        self._lock = asyncio.Lock()
        self._loading = asyncio.Lock()

    def enter(self, guests: Sequence[Guest]) -> None:
        """Name the models that share the room."""
        self._guests = list(guests)

    @asynccontextmanager
    async def made(self, guest: Guest) -> AsyncIterator[None]:
        """Hold the room for the block, in which `guest` begins to load. Raises `Busy` when all others are at work."""
        async with self._lock:
            while not guest.present and self._full(self._others(guest), guest):
                if not await self._left(guest):
                    raise Busy(AT_WORK, retry_after=RETRY_AFTER)
            yield

    @asynccontextmanager
    async def measured(self, guest: Guest) -> AsyncIterator[None]:
        """See what `guest` takes, which loads in the block, and have others make room for it where it is too much."""
        if self._limit is None:
            yield
            return
        async with self._loading:
            began, busy = time.monotonic(), self._busy(guest)
            before = await asyncio.to_thread(self._measure)
            yield
            taken = (await asyncio.to_thread(self._measure)).since(before)
            self._weighed(guest, taken, sure=not busy and not self._busy(guest, since=began))
        await self.kept_within(guest)
        if self._held() > self._limit:
            logger.warning("models hold more than they may", extra={"bytes": self._held(), "limit": self._limit})

    def _busy(self, guest: Guest, since: float = math.inf) -> bool:
        """Whether another model is at work, or began to be since then."""
        return any(other.at_work or other.used_at >= since for other in self._guests if other is not guest)

    def _weighed(self, guest: Guest, taken: int, *, sure: bool) -> None:
        """Keep what was measured. A model that loads again may get what its process kept, and seem to take less."""
        known = guest.name in self._sure
        if sure:
            self._sure.add(guest.name)
            guest.held = max(guest.held, taken) if known else taken
        elif not known:
            guest.held = taken

    async def kept_within(self, keep: Guest | None = None) -> None:
        """Unload what nobody uses, all but `keep` and the last one, until the limit is met."""
        async with self._lock:
            while self.over and await self._left(keep):
                pass

    @property
    def over(self) -> bool:
        """Whether several models are in memory, and hold more than they may."""
        return self._limit is not None and len(self._others(None)) > 1 and self._held() > self._limit

    def _held(self) -> int:
        return sum(guest.held for guest in self._guests if guest.present)

    def _full(self, others: Sequence[Guest], guest: Guest) -> bool:
        if self._size is not None and len(others) >= self._size:
            return True
        held = sum(other.held for other in others)
        return bool(others) and self._limit is not None and held + guest.held > self._limit

    async def _left(self, staying: Guest | None) -> bool:
        """Unload the one that was used longest ago; False where all are at work."""
        idle = [other for other in self._others(staying) if other.idle]
        if idle:
            await min(idle, key=lambda other: other.used_at).unload()
        return bool(idle)

    def _others(self, guest: Guest | None) -> list[Guest]:
        return [other for other in self._guests if other is not guest and other.present]
