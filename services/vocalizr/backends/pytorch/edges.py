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


def flowing(sound: Iterable[Samples], text: str, rate: int) -> Iterator[Samples]:
    """Yield a piece as it comes, within full scale, from zero and back to zero; its last part ends with the pause.

    Only the last 5 ms of what came are held back, because they may be the last of all.
    """
    length = round(FADE * rate)
    held = np.zeros(0, dtype=np.float32)
    begun = False
    for samples in sound:
        heard = np.concatenate([held, np.clip(np.nan_to_num(samples), -1.0, 1.0).astype(np.float32)])
        if not begun and heard.size >= length:
            heard[:length] *= np.linspace(0.0, 1.0, length, dtype=np.float32)
            begun = True
        ready, held = heard[: max(0, heard.size - length)], heard[max(0, heard.size - length) :]
        if ready.size:
            yield ready
    yield np.concatenate([held * np.linspace(1.0, 0.0, held.size, dtype=np.float32), silence(text, rate)])
