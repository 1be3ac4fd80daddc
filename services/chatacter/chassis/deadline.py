"""How long a piece of work may still take; handed along with every outgoing call."""

import asyncio
import time
from typing import NamedTuple, Self


class Deadline(NamedTuple):
    """A moment on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Make a deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self.at - time.monotonic())

    def timeout(self) -> asyncio.Timeout:
        """Bound an `async with` block; it raises `TimeoutError` when the time is up."""
        return asyncio.timeout(self.remaining)
