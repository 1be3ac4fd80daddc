"""A few places at the model and a short queue before it; whoever finds both full is told when to come back."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from statistics import median
from typing import Final

from chatacter.chassis.errors import Busy

REMEMBERED: Final = 20
FIRST_GUESS: Final = 2.0
# Nobody is sent away for longer: a place may be free much sooner than chapters, one after the other, let expect.
LONGEST_WAIT: Final = 120.0
FULL: Final = "All places at this model and in its queue are taken. Try again after the time in Retry-After."


def unrecorded(seconds: float) -> None:
    """Record nothing."""


class Gate:
    """Lets `concurrency` jobs run and `queue` more wait, first come, first served.

    `record` is told each job's seconds from its place to its end.
    """

    def __init__(self, concurrency: int, queue: int, record: Callable[[float], None] = unrecorded) -> None:
        if concurrency < 1 or queue < 0:
            raise ValueError("a gate needs at least one place, and its queue cannot be negative")
        self._concurrency = concurrency
        self._queue = queue
        self._record = record
        self._line: deque[asyncio.Future[None]] = deque()
        self._durations: deque[float] = deque(maxlen=REMEMBERED)
        self._running = 0

    @property
    def running(self) -> int:
        """Jobs that have a place."""
        return self._running

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._line)

    @property
    def retry_after(self) -> float:
        """Seconds after which a place in the queue is likely free, from how long recent jobs took."""
        typical = median(self._durations) if self._durations else FIRST_GUESS
        return min(max(1.0, typical * (self.waiting + 1) / self._concurrency), LONGEST_WAIT)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for the length of the block; wait for one in the queue. Raises `Busy` when the queue is full."""
        if self._running + self.waiting >= self._concurrency + self._queue:
            raise Busy(FULL, retry_after=self.retry_after)
        await self._enter()
        began = time.monotonic()
        try:
            yield
        finally:
            self._leave()
            took = time.monotonic() - began
            self._durations.append(took)
            self._record(took)

    def resize(self, concurrency: int) -> None:
        """Have another number of places from now on; who has one keeps it."""
        self._concurrency = concurrency
        self._admit()

    async def _enter(self) -> None:
        if self._running < self._concurrency and not self._line:
            self._running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # a place was given to one who leaves
                self._leave()
            elif turn in self._line:
                self._line.remove(turn)
            raise

    def _leave(self) -> None:
        self._running -= 1
        self._admit()

    def _admit(self) -> None:
        while self._line and self._running < self._concurrency:
            turn = self._line.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)
