"""Room for a few models in memory: the one that was used longest ago makes room for another."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from chatacter.chassis.errors import Busy

RETRY_AFTER: Final = 5.0
AT_WORK: Final = "All models that are in memory are at work, and there is no room for another. Try again soon."


class Guest(Protocol):
    """A model that is in memory, or could be."""

    @property
    def present(self) -> bool:
        """Whether it takes room: it is loaded, or loading."""
        ...

    @property
    def idle(self) -> bool:
        """Whether nobody uses it."""
        ...

    @property
    def used_at(self) -> float:
        """When it was used last."""
        ...

    async def unload(self) -> None:
        """Make room; the next request loads it again."""
        ...


class Room:
    """Holds at most `size` models at once; None: as many as there are."""

    def __init__(self, size: int | None = None) -> None:
        self._size = size
        self._guests: list[Guest] = []
        self._lock = asyncio.Lock()

    def enter(self, guests: Sequence[Guest]) -> None:
        """Name the models that share the room."""
        self._guests = list(guests)

    @asynccontextmanager
    async def made(self, guest: Guest) -> AsyncIterator[None]:
        """Hold the room for the block, in which `guest` begins to load. Raises `Busy` when all others are at work."""
        async with self._lock:
            while self._size is not None and not guest.present and len(self._others(guest)) >= self._size:
                idle = [other for other in self._others(guest) if other.idle]
                if not idle:
                    raise Busy(AT_WORK, retry_after=RETRY_AFTER)
                await min(idle, key=lambda other: other.used_at).unload()
            yield

    def _others(self, guest: Guest) -> list[Guest]:
        return [other for other in self._guests if other is not guest and other.present]
