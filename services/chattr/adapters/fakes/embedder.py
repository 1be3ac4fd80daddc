"""Texts as hashed bags of words: the same words, the same place. No meaning, no model, always the same."""

import re
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from chatacter.chassis.errors import Unavailable
from chattr.ports.embedder import Vectors

DIMENSIONS: Final = 64
WORD: Final = re.compile(r"\w+")


class FakeEmbedder:
    """Embeds at once. While `away` is set, it raises `Unavailable`."""

    name = "bag-of-words"

    def __init__(self) -> None:
        self.away = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length 1 a text."""
        if self.away:
            raise Unavailable("The embedder is away.", retry_after=1.0)
        return np.array([bag(text) for text in texts], np.float32).reshape(len(texts), DIMENSIONS)


def bag(text: str) -> Vectors:
    """Count words in hashed places, scaled to length 1."""
    counts = np.full(DIMENSIONS, 1e-3, np.float32)
    for word in WORD.findall(text.lower()):
        counts[zlib.crc32(word.encode()) % DIMENSIONS] += 1.0
    return np.asarray(counts / np.linalg.norm(counts), np.float32)
