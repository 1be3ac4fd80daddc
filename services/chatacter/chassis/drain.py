"""The end of a process: one clock for everything that still runs."""

import asyncio

from chatacter.chassis.deadline import Deadline


class Drain:
    """Begins with SIGTERM. Streams, replies and jobs end side by side within `grace` seconds, not one after another."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._deadline: Deadline | None = None
        self.begun = asyncio.Event()

    def begin(self) -> None:
        """Start the clock, once. Call it in the event loop."""
        if self._deadline is None:
            self._deadline = Deadline.after(self._grace)
            self.begun.set()

    @property
    def remaining(self) -> float:
        """Seconds that running work may still take; all of the grace before the end has begun."""
        return self._grace if self._deadline is None else self._deadline.remaining
