"""A sound as frames of 64 ms every 10 ms, at whatever rate it has, and how loud their lowest bands are."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vocalizr.backend import Samples

Levels = NDArray[np.float32]
Bands = NDArray[np.complex64]

FRAME_SECONDS: Final = 0.064
HOP_SECONDS: Final = 0.01
BANDS: Final = 128
# The networks know spectra of 2048 samples; a frame of another rate has as many bands below 2 kHz, and other sums.
KNOWN_FRAME: Final = 2048
FAINTEST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Frames:
    """How a sound of one rate is cut: samples a frame, and from one frame to the next."""

    size: int
    hop: int

    @classmethod
    def at(cls, rate: int) -> "Frames":
        """Return the frames of a sound of `rate` samples a second."""
        return cls(round(rate * FRAME_SECONDS), round(rate * HOP_SECONDS))

    @property
    def window(self) -> Samples:
        """A periodic Hann window."""
        return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.size) / self.size), dtype=np.float32)

    def analysed(self, samples: Samples) -> Bands:
        """Return the lowest bands of all frames that the samples fill: [frames, bands]."""
        if samples.size < self.size:
            return np.zeros((0, BANDS), dtype=np.complex64)
        cut = np.lib.stride_tricks.sliding_window_view(samples, self.size)[:: self.hop] * self.window
        return np.fft.rfft(cut, axis=1)[:, :BANDS].astype(np.complex64)

    def levels(self, bands: Bands) -> Levels:
        """Return how loud bands are in the networks' scale: 0 is -180 dB, 1 is 15 dB."""
        magnitude = np.maximum(np.abs(bands) * (KNOWN_FRAME / self.size), FAINTEST)
        return np.asarray((20 * np.log10(magnitude) + 180) / 195, dtype=np.float32)

    def sounds(self, bands: Bands) -> Samples:
        """Return the samples of frames that consist of these bands alone, windowed again: [frames, size]."""
        whole = np.zeros((len(bands), self.size // 2 + 1), dtype=np.complex64)
        whole[:, :BANDS] = bands
        return np.asarray(np.fft.irfft(whole, self.size, axis=1) * self.window, dtype=np.float32)
