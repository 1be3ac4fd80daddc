"""Pieces of speech that are played one after the other: no click where they meet, a pause as long as its mark asks."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from vocalizr.backend import Samples

AFTER: Final = {".": 0.32, "!": 0.32, "?": 0.32, "…": 0.4, ",": 0.16, ";": 0.22, ":": 0.22, "—": 0.22}
AFTER_WORD: Final = 0.06
FADE: Final = 0.005


def pause(text: str) -> float:
    """Return the seconds of silence after a piece, by its last mark."""
    return AFTER.get(text.rstrip().rstrip("\"')]”’")[-1:], AFTER_WORD)


def silence(text: str, rate: int) -> Samples:
    """Return the silence after a piece."""
    return np.zeros(round(pause(text) * rate), dtype=np.float32)


class Edges:
    """A piece on its way: within full scale, from zero and back to zero, with the pause behind it.

    Only the last 5 ms of what came are held back, because they may be the last of all.
    """

    def __init__(self, text: str, rate: int) -> None:
        self._text = text
        self._rate = rate
        self._length = round(FADE * rate)
        self._held = np.zeros(0, dtype=np.float32)
        self._begun = False

    def passed(self, samples: Samples) -> Samples:
        """Take what came next; return what can be heard, which may be nothing yet."""
        heard = np.concatenate([self._held, np.clip(np.nan_to_num(samples), -1.0, 1.0).astype(np.float32)])
        if not self._begun and heard.size >= self._length:
            heard[: self._length] *= np.linspace(0.0, 1.0, self._length, dtype=np.float32)
            self._begun = True
        ready, self._held = np.split(heard, [max(0, heard.size - self._length)])
        return ready

    def ended(self) -> Samples:
        """Return the end."""
        fading = self._held * np.linspace(1.0, 0.0, self._held.size, dtype=np.float32)
        return np.concatenate([fading, silence(self._text, self._rate)])


def flowing(sound: Iterable[Samples], text: str, rate: int) -> Iterator[Samples]:
    """Yield a piece as it comes, with its edges."""
    edges = Edges(text, rate)
    for samples in sound:
        ready = edges.passed(samples)
        if ready.size:
            yield ready
    yield edges.ended()
