"""Texts as vectors of meaning."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Places texts so that those of like meaning lie near each other. Vectors of different embedders never mix."""

    @property
    def name(self) -> str:
        """Which embedder it is; kept with every vector. Another model or another length has another name."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length 1 a text, all of one length. Raises `Unavailable`."""
        ...
