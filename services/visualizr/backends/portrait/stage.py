"""What both kinds of portrait share: the performance that is acted out, and a stage on which it is seen."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from chatacter.contracts.speech import Phoneme
from visualizr.backend import Sound
from visualizr.backends.portrait import acting, listening, visemes
from visualizr.backends.portrait.acting import Role
from visualizr.backends.portrait.easing import Floats
from visualizr.backends.portrait.motion import Motion, motion
from visualizr.backends.portrait.visemes import MouthTrack

# Blue, green, red and alpha (or nothing) of every pixel; uint8 [height, width, 4]. Layers are premultiplied.
Frame = NDArray[np.uint8]

NOBODY: Final = Role()
# Of what is loud for this speaker; well below it nothing is said.
SPEAKING: Final = 0.12
NEAR_SECONDS: Final = 0.2
ROUNDING: Final = 1.7


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


def rehearse(
    sound: Sound, phonemes: tuple[Phoneme, ...], fps: int, seed: int, liveliness: float = 1.0, role: Role = NOBODY
) -> Performance:
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
    loud = np.interp(at, np.arange(len(level)), level)
    moved = motion(seed, loud, fps, frames).scaled(liveliness)
    if role.plain:
        return Performance(mouth, moved)
    moved = acting.acted(moved, role, seed, fps, liveliness)
    return Performance(agape(mouth, moved, level, at), moved)


def agape(mouth: MouthTrack, moved: Motion, level: Floats, at: Floats) -> MouthTrack:
    """Let the mouth hang open where nothing is said for a while, round unless it smiles; speech keeps its lips."""
    reach = round(NEAR_SECONDS * visemes.TRACK_HZ)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(level, reach), 2 * reach + 1).max(axis=1)
    silent = visemes.smoothed(1 - np.clip(around / SPEAKING, 0, 1), NEAR_SECONDS / 3)
    hanging = moved.gape * np.interp(at, np.arange(len(level)), silent)
    rounded = ROUNDING * hanging * np.clip(1 - 2 * moved.smile, 0, 1)
    return MouthTrack(np.maximum(mouth.aperture, hanging), np.clip(mouth.width - rounded, -1, 1))
