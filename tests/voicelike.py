"""Sound that is as speech to what looks for a mark: a buzz whose pitch and vowels change, with pauses in it."""

import numpy as np
from numpy.typing import NDArray


def voice(seconds: float, rate: int = 24000) -> NDArray[np.float32]:
    """Mono samples in [-1, 1]; the same each time."""
    times = np.arange(round(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * times)) / rate
    formant = 600 + 300 * np.sin(2 * np.pi * 1.3 * times)
    vowels = [np.exp(-(((number * 120 - formant) / 350) ** 2)) * np.sin(number * pitch) for number in range(1, 30)]
    breath = 0.02 * np.random.default_rng(3).normal(size=times.size)
    pauses = np.sin(2 * np.pi * 0.9 * times) > -0.7
    return np.asarray(0.1 * (np.sum(vowels, axis=0) + breath) * pauses, dtype=np.float32)
