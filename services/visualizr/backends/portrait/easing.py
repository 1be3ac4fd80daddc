"""The soft start and end that living things move with."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def eased(x: Floats) -> Floats:
    """Map [0, 1] onto itself with soft ends (smoothstep)."""
    curve: Floats = x * x * (3 - 2 * x)
    return curve
