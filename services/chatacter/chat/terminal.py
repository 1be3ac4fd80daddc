"""What stands on the terminal. Replies go to standard output, everything about them to standard error."""

import sys
from typing import Final, TextIO

PHASES: Final = {
    "queued": "waiting for its turn",
    "waiting_for_gpu": "waiting for a GPU to wake",
    "speaking": "recording the voice",
    "filming": "filming",
    "publishing": "putting it away",
    "completed": "done",
    "failed": "failed",
}
DIM, BOLD, RESET, CLEAR = "\x1b[2m", "\x1b[1m", "\x1b[0m", "\r\x1b[K"


class Terminal:
    """Two streams, and whether somebody watches each."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._line_open = False
        self._progress = ""

    @property
    def watched(self) -> bool:
        """Whether replies are read by a person rather than a program."""
        return self._out.isatty()

    def speaker(self, name: str) -> None:
        """Say who is about to speak; only where a person reads."""
        if self.watched:
            self._out.write(f"{BOLD}{name}:{RESET} ")
            self._line_open = True

    def text(self, piece: str) -> None:
        """Write a piece of a reply as it came."""
        self._out.write(piece)
        self._out.flush()
        if piece:
            self._line_open = not piece.endswith("\n")

    def end_line(self) -> None:
        """Finish the line that a reply left open."""
        if self._line_open:
            self._out.write("\n")
            self._out.flush()
            self._line_open = False

    def note(self, sentence: str) -> None:
        """Tell something about the conversation, beside it."""
        self.end_line()
        self._clear_progress()
        watched = self._err.isatty()
        self._err.write(f"{DIM}{sentence}{RESET}\n" if watched else f"{sentence}\n")
        self._err.flush()

    def progress(self, what: str, phase: str | None, percent: int) -> None:
        """Show how far a longer piece of work is: in place for a person, a line a phase for a program."""
        told = PHASES.get(phase or "", phase or "working")
        if self._err.isatty():
            self._err.write(f"{CLEAR}{what}: {told} {bar(percent)} {percent:3d} %")
            self._progress = told
        elif told != self._progress:
            self._err.write(f"{what}: {told}\n")
            self._progress = told
        self._err.flush()

    def _clear_progress(self) -> None:
        if self._progress and self._err.isatty():
            self._err.write(CLEAR)
        self._progress = ""


def bar(percent: int, width: int = 20) -> str:
    """Draw how far something is."""
    full = min(width, max(0, percent * width // 100))
    return "█" * full + "░" * (width - full)
