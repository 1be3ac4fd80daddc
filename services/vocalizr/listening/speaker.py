"""Whose voice it is: the port, and how alike two voices are."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vocalizr.backend import Recording

VoicePrint = NDArray[np.float32]


class SpeakerEmbedder(Protocol):
    """Tells voices apart. The constructor does no work; every method blocks and is called off the event loop."""

    def load(self) -> None:
        """Make it ready. Raises `Misconfigured` when something has to be installed first; may be called again."""
        ...

    def embed(self, recording: Recording) -> VoicePrint:
        """Return a vector of length one; voices of one person lie close to each other. Raises `InvalidInput`."""
        ...

    def close(self) -> None:
        """Free what `load` took."""
        ...


def likeness(one: VoicePrint, other: VoicePrint) -> float:
    """Return how alike two voices are: 1 is the same, 0 nothing in common."""
    return float(np.dot(one, other))
