"""Being alive: blinks, breath, glances and the sway of a head, deterministic from a seed."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from visualizr.backends.portrait.easing import Floats, eased

CLOSING_SECONDS: Final = 0.085
SHUT_SECONDS: Final = 0.035
OPENING_SECONDS: Final = 0.175
SACCADE_SECONDS: Final = 0.055
MOVES: Final = ("head_x", "head_y", "tilt", "turn_x", "turn_y", "gaze_x", "gaze_y", "brow")


@dataclass(frozen=True, slots=True)
class Motion:
    """How everything but the mouth moves, one value a frame; lengths as parts of the picture's height.

    `head_x`, `head_y`: where the head is. `tilt`: radians, clockwise. `turn_x`, `turn_y`: how far the features slide
    over the head, which looks as if it turned. `gaze_x`, `gaze_y`: where the eyes look. `blink`: 0 open to 1 shut.
    `brow`: how far the brows are raised. `breath`: 0 out to 1 in. What only an actor does is told by `poses.Pose`:
    `smile`, `furrow`, `wide`, `gape`; and `wink`: how shut the eye on the picture's right is, beside `blink`.
    """

    head_x: Floats
    head_y: Floats
    tilt: Floats
    turn_x: Floats
    turn_y: Floats
    gaze_x: Floats
    gaze_y: Floats
    blink: Floats
    brow: Floats
    breath: Floats
    smile: Floats
    furrow: Floats
    wide: Floats
    gape: Floats
    wink: Floats

    def scaled(self, factor: float) -> "Motion":
        """Move `factor` times as far; blinks and breath stay as they are."""
        if factor == 1:
            return self
        return replace(self, **{name: getattr(self, name) * factor for name in MOVES})


def motion(seed: int, loudness: Floats, fps: int, frames: int) -> Motion:
    """Invent the motion of `frames` frames. `loudness`, one value a frame, makes the head and brows stress words."""
    random = np.random.default_rng(seed & 0xFFFFFFFF)
    times = (np.arange(frames) + 0.5) / fps
    stress = leaned(loudness, fps)
    turn_x = wander(random, times, 0.17)
    turn_y = wander(random, times, 0.14)
    gaze_x, gaze_y = glances(random, times)
    rest = np.zeros(frames)
    return Motion(
        head_x=0.0045 * wander(random, times, 0.16) + 0.002 * turn_x,
        head_y=0.0030 * wander(random, times, 0.21) + 0.0060 * (stress - 0.3),
        tilt=0.017 * wander(random, times, 0.13) + 0.006 * wander(random, times, 0.45) * stress,
        turn_x=0.0042 * turn_x + 0.0012 * wander(random, times, 0.5) * stress,
        turn_y=0.0026 * turn_y + 0.0022 * stress,
        gaze_x=gaze_x,
        gaze_y=gaze_y,
        blink=blinks(random, times),
        brow=0.0035 * np.clip(wander(random, times, 0.22), 0, None) + 0.0045 * np.clip(stress - 0.45, 0, None),
        breath=0.5 - 0.5 * np.cos(2 * np.pi * times / random.uniform(3.6, 4.4) + random.uniform(0, 6)),
        smile=rest,
        furrow=rest,
        wide=rest,
        gape=rest,
        wink=rest,
    )


def wander(random: np.random.Generator, times: Floats, hertz: float) -> Floats:
    """Return a slow aimless curve around 0, mostly within [-1, 1], whose tempo is about `hertz`."""
    curve = np.zeros_like(times)
    for factor, weight in ((0.61, 0.62), (1.0, 0.40), (1.73, 0.20), (2.9, 0.07)):
        curve += weight * np.sin(2 * np.pi * hertz * factor * times + random.uniform(0, 2 * np.pi))
    return curve


def leaned(loudness: Floats, fps: int) -> Floats:
    """Follow the loudness as a heavy head would: about a quarter of a second late and without jerks."""
    followed = np.asarray(loudness, dtype=np.float64)
    keep = float(np.exp(-1 / (0.12 * fps)))
    for _ in range(2):
        value, out = 0.0, np.empty_like(followed)
        for index, heard in enumerate(followed):
            value = keep * value + (1 - keep) * heard
            out[index] = value
        followed = out
    return followed


def blinks(random: np.random.Generator, times: Floats) -> Floats:
    """Return how shut the eyes are: fast down, slower up, every few seconds, now and then twice."""
    shut = np.zeros_like(times)
    at = random.uniform(0.9, 2.4)
    end = float(times[-1]) if len(times) else 0.0
    while at < end:
        shut = np.maximum(shut, one_blink(times - at))
        pause = 0.34 if random.random() < 0.14 else float(np.clip(random.gamma(6.0, 0.6), 1.6, 6.5))
        at += pause
    return shut


def one_blink(since: Floats) -> Floats:
    """Return one blink that begins at 0."""
    down = eased(np.clip(since / CLOSING_SECONDS, 0, 1))
    up = eased(np.clip((since - CLOSING_SECONDS - SHUT_SECONDS) / OPENING_SECONDS, 0, 1))
    curve: Floats = down * (1 - up)
    return curve


def glances(random: np.random.Generator, times: Floats) -> tuple[Floats, Floats]:
    """Return where the eyes look: mostly at the viewer, with small quick jumps between rests."""
    x, y = np.zeros_like(times), np.zeros_like(times)
    at, here = 0.0, np.zeros(2)
    end = float(times[-1]) if len(times) else 0.0
    while at <= end:
        away = random.random() < 0.22
        there = random.normal(0, (0.0042, 0.0018)) if away else random.normal(0, (0.0011, 0.0007))
        there = np.clip(there, -0.007, 0.007)
        step = eased(np.clip((times - at) / SACCADE_SECONDS, 0, 1))
        x += (there[0] - here[0]) * step
        y += (there[1] - here[1]) * step
        here = there
        at += float(random.uniform(0.35, 0.8) if away else random.uniform(0.7, 2.2))
    return x, y
