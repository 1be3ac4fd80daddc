"""What a person sees while something long happens: one moving line on a terminal, else a plain line now and then."""

import time
from collections.abc import Callable
from typing import Final, TextIO

PLAIN_EVERY: Final = 5.0
MOVING_EVERY: Final = 0.1


def amount(count: float) -> str:
    """Write a number of bytes for people, in the decimal units that disks are sold in."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


class Progress:
    """Writes lines to a stream. `moved` may be called as often as one likes."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._moving = stream.isatty()
        self._open = False
        self._label, self._from = "", 0
        self._total: int | None = None
        self._began = self._told = clock()

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self._write(f"{self._clear()}{line}\n")

    def start(self, label: str, total: int | None, done: int = 0) -> None:
        """Begin to count towards `total` bytes, None where nobody knows; `done` of them are there already."""
        self._label, self._total, self._from = label, total, done
        self._began = self._told = self._clock()

    def moved(self, done: int) -> None:
        """Tell how many bytes there are now."""
        now = self._clock()
        if now - self._told < (MOVING_EVERY if self._moving else PLAIN_EVERY):
            return
        rate = (done - self._from) / max(now - self._began, 0.001)
        goal = f" of {amount(self._total)}" if self._total is not None else ""
        line = f"  {self._label}: {amount(done)}{goal}, {amount(max(rate, 0))}/s"
        self._told = now
        if self._moving:
            self._write(f"{self._clear()}{line}")
            self._open = True
        else:
            self._write(f"{line}\n")

    def _clear(self) -> str:
        was_open, self._open = self._open, False
        return "\r\x1b[K" if was_open else ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
