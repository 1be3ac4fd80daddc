"""Perth's two networks (Resemble AI, MIT) in numpy: one changes a spectrum a little, the other sees that.

Source: `resemble-perth` 1.0.1, model "implicit": at 32 kHz and full strength the sound is the same to 125 dB. Its own
code asks for PyTorch. Both look at the lowest 128 bands of a spectrum of 64 ms every 10 ms, up to 2 kHz, in decibels.
"""

import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chatacter.models.store import ModelStore
from vocalizr.listening.checkpoint import Weights, tensors
from vocalizr.watermark.spectrum import Levels

Array = NDArray[np.float32]

PERTH: Final = "perth-watermark"
FILE: Final = "perth_net_250000.pth.tar"
LAYERS: Final = 7
REACH: Final = 15
"""Frames on each side that a frame's change depends on: five layers that see three each."""
LEAK: Final = 0.01
DECIBELS: Final = 195.0
"""What 1 means in the networks' scale of levels, from -180 dB on."""
PACES: Final = {"slow": 1.25, "normal": 1.0, "fast": 0.75}


class Perth:
    """The weights, read when they are first needed. May be used from several threads at once."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._loading = threading.Lock()
        self._weights: Weights | None = None

    def require(self) -> None:
        """Raise `Misconfigured`, with the line that installs them, unless the weights are there."""
        self._store.file(PERTH, FILE)

    def load(self) -> None:
        """Read the weights, once. Raises `Misconfigured`."""
        with self._loading:
            if self._weights is None:
                self._weights = tensors(self._store.file(PERTH, FILE), "model")

    def change(self, levels: Levels) -> Array:
        """Return by how many decibels each band of each frame is to be raised: [frames, bands]."""
        raised = stack(levels, self._read(), "encoder.layers") * DECIBELS
        return np.where(heard(levels)[:, None], raised, np.float32(0))

    def likeness(self, levels: Levels) -> float:
        """Return how marked a sound is: 0 not at all, 1 surely; silence is 0."""
        there = heard(levels)
        if not there.any():
            return 0.0
        weights = self._read()
        opinions = []
        for pace, factor in PACES.items():
            frames = max(1, int(len(levels) * factor))
            told = stack(stretched(levels, frames), weights, f"decoder.{pace}_layers")
            opinions.append(told[there[np.arange(frames) * len(levels) // frames]].mean(axis=0))
        attention, marked = np.array(opinions).T
        share = np.exp(attention - attention.max())
        return float(np.clip((share * marked).sum() / share.sum(), 0, 1))

    def _read(self) -> Weights:
        self.load()
        assert self._weights is not None
        return self._weights


def heard(levels: Levels) -> NDArray[np.bool_]:
    """Tell frames from digital silence."""
    there: NDArray[np.bool_] = levels.max(axis=1, initial=0) > 0
    return there


def stack(levels: Array, weights: Weights, name: str) -> Array:
    """Run one network of convolutions over time."""
    for number in range(LAYERS):
        levels = convolved(levels, weights[f"{name}.{number}.conv.weight"], weights[f"{name}.{number}.conv.bias"])
        if number < LAYERS - 1:
            levels = np.where(levels > 0, levels, LEAK * levels)
    return levels


def convolved(levels: Array, kernel: Array, bias: Array) -> Array:
    """Convolve over time, as long as it was: [frames, in] by [out, in, width] to [frames, out]."""
    outputs, _, width = kernel.shape
    padded = np.pad(levels, ((width // 2, width // 2), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0).reshape(len(levels), -1)
    return np.asarray(seen @ kernel.reshape(outputs, -1).T + bias, dtype=np.float32)


def stretched(levels: Array, frames: int) -> Array:
    """Play levels slower or faster: as many frames, from the first to the last."""
    at = np.linspace(0, len(levels) - 1, frames)
    before = at.astype(int)
    after = np.minimum(before + 1, len(levels) - 1)
    share = (at - before).astype(np.float32)[:, None]
    return np.asarray(levels[before] * (1 - share) + levels[after] * share, dtype=np.float32)
