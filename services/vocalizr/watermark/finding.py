"""The mark, looked for: a sound is judged in stretches, so that one marked sentence among others is found."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from vocalizr.backend import Recording
from vocalizr.watermark.network import Perth
from vocalizr.watermark.spectrum import Frames

STRETCH_SECONDS: Final = 4.0
THRESHOLD: Final = 0.2
"""What is over it counts as marked: ADR 0026 has how often that is wrong."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a sound, in seconds, and how marked it is: 0 not at all, 1 surely."""

    start: float
    end: float
    likeness: float

    @property
    def marked(self) -> bool:
        """Whether the mark is there."""
        return self.likeness > THRESHOLD


def stretches(perth: Perth, recording: Recording) -> Iterator[Stretch]:
    """Judge a sound stretch by stretch; a rest that is too short to be judged well belongs to the one before it."""
    rate, total = recording.rate, recording.samples.size
    frames = Frames.at(rate)
    length = round(STRETCH_SECONDS * rate)
    count = max(1, round(total / length))
    for number in range(count):
        begin, end = number * length, total if number == count - 1 else (number + 1) * length
        samples = np.pad(recording.samples[begin:end], frames.size // 2)
        likeness = perth.likeness(frames.levels(frames.analysed(samples)))
        yield Stretch(begin / rate, end / rate, likeness)
