"""What the sound itself tells about the mouth: loudness, and a guess at its shape where nobody timed the phonemes."""

from typing import Final

import numpy as np

from visualizr.backend import Sound
from visualizr.backends.portrait.easing import Floats
from visualizr.backends.portrait.visemes import TRACK_HZ, MouthTrack, sampled, smoothed

WINDOW_SECONDS: Final = 0.032
SILENCE: Final = 0.004
# Rows analysed at once; bounds the memory that a long sound takes.
BLOCK: Final = 512
# Fricatives live above this; a mouth that makes them is nearly shut.
HISS_HZ: Final = 3500.0
# The second formant: high for spread vowels (ee), low for rounded ones (oo).
FORMANT_HZ: Final = (600.0, 2800.0)


def loudness(sound: Sound) -> Floats:
    """Return how loud it is, `TRACK_HZ` values a second: 0 is silence, 1 is what this speaker's loud sounds reach."""
    hop = sound.rate / TRACK_HZ
    count = max(1, round(sound.seconds * TRACK_HZ))
    total = np.concatenate([[0.0], np.cumsum(sound.samples.astype(np.float64) ** 2)])
    centres = (np.arange(count) + 0.5) * hop
    half = WINDOW_SECONDS * sound.rate / 2
    begin, end = (np.clip(centres + side * half, 0, len(sound.samples)).astype(int) for side in (-1, 1))
    level = np.sqrt((total[end] - total[begin]) / np.maximum(end - begin, 1))
    voiced = level[level > SILENCE]
    reference = float(np.percentile(voiced, 90)) if len(voiced) else 1.0
    relative: Floats = np.clip(level / max(reference, SILENCE), 0.0, 1.2) / 1.2
    return relative


def timbre(sound: Sound) -> tuple[Floats, Floats]:
    """Return the share of power above `HISS_HZ` and where the formants lie (Hz), `TRACK_HZ` values a second."""
    size = round(WINDOW_SECONDS * sound.rate)
    count = max(1, round(sound.seconds * TRACK_HZ))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(sound.samples, (size // 2, size)), size)
    starts = np.minimum((np.arange(count) * sound.rate / TRACK_HZ).astype(int), len(windows) - 1)
    taper = np.hanning(size).astype(np.float32)
    frequencies = np.fft.rfftfreq(size, 1 / sound.rate)
    hissing = frequencies > HISS_HZ
    vowels = (frequencies >= FORMANT_HZ[0]) & (frequencies <= FORMANT_HZ[1])
    hiss, centre = np.empty(count), np.empty(count)
    for begin in range(0, count, BLOCK):
        rows = slice(begin, begin + BLOCK)
        power = np.abs(np.fft.rfft(windows[starts[rows]] * taper, axis=1)) ** 2
        hiss[rows] = power[:, hissing].sum(axis=1) / (power.sum(axis=1) + 1e-9)
        weights = power[:, vowels]
        centre[rows] = (weights * frequencies[vowels]).sum(axis=1) / (weights.sum(axis=1) + 1e-9)
    return hiss, centre


def from_sound(sound: Sound, fps: int, frames: int) -> MouthTrack:
    """Animate from loudness and timbre alone: plainer than timings, and never out of time."""
    level = loudness(sound)
    hiss, centre = timbre(sound)
    spread = np.clip((centre - 1100.0) / 700.0, -1.0, 1.0)
    voiced = np.clip(level / 0.15, 0.0, 1.0)
    aperture = level**0.8 * (1.0 - 0.75 * np.clip(hiss * 1.6, 0.0, 1.0))
    return sampled(smoothed(aperture, 0.025), smoothed(spread * voiced, 0.06) * 0.7, fps, frames)
