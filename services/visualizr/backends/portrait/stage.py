"""What both kinds of portrait share: the performance that is acted out, and a stage on which it is seen."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chatacter.contracts.speech import Phoneme
from visualizr.backend import Sound
from visualizr.backends.portrait import listening, visemes
from visualizr.backends.portrait.motion import Motion, motion
from visualizr.backends.portrait.visemes import MouthTrack

# Blue, green, red and alpha (or nothing) of every pixel; uint8 [height, width, 4]. Layers are premultiplied.
Frame = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Performance:
    """Everything that moves, one value a frame."""

    mouth: MouthTrack
    motion: Motion

    def __len__(self) -> int:
        return len(self.mouth)


class Stage(Protocol):
    """One portrait at one size."""

    def frame(self, performance: Performance, index: int) -> Frame:
        """Draw one frame: uint8 [height, width, 4], BGR and an opaque alpha. Valid until the next call."""
        ...


def rehearse(sound: Sound, phonemes: tuple[Phoneme, ...], fps: int, seed: int, liveliness: float = 1.0) -> Performance:
    """Turn a sound, and the timings of its phonemes where they are known, into a performance as long as the sound.

    `liveliness` scales how far head, gaze and brows move; blinks, breath and lips stay as they are.
    """
    frames = max(1, int(np.ceil(sound.seconds * fps)))
    level = listening.loudness(sound)
    if phonemes:
        mouth = visemes.from_phonemes(phonemes, level, sound.seconds, fps, frames)
    else:
        mouth = listening.from_sound(sound, fps, frames)
    at = (np.arange(frames) + 0.5) / fps * visemes.TRACK_HZ
    moved = motion(seed, np.interp(at, np.arange(len(level)), level), fps, frames)
    return Performance(mouth, moved.scaled(liveliness))
