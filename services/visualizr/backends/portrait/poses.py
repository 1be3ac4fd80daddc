"""What a face does in each emotion, where eyes go, and what gestures are: the tables behind the acting."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from chatacter.contracts.directions import Emotion, Gaze, Gesture
from visualizr.backends.portrait.easing import Floats, eased


@dataclass(frozen=True, slots=True)
class Pose:
    """A face away from rest; the lengths are parts of the picture's height.

    `smile`: mouth corners, 1 well up, below 0 down. `brow`: both brows up. `furrow`: their inner ends up (worry),
    below 0 down and together (anger). `wide`: lids, 1 wide open, -1 half shut. `gape`: how far the mouth hangs open
    while it says nothing. `nod`: features down. `tilt`: radians, towards the side that the seed chose.
    `lively`: factor on the head's own motion.
    """

    smile: float = 0.0
    brow: float = 0.0
    furrow: float = 0.0
    wide: float = 0.0
    gape: float = 0.0
    nod: float = 0.0
    tilt: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    lively: float = 1.0


TRACKS: Final = tuple(Pose.__slots__)
REST: Final = Pose()

POSES: Final[Mapping[Emotion, Pose]] = {
    "neutral": REST,
    "happy": Pose(smile=0.85, brow=0.005, wide=-0.22, tilt=0.012, lively=1.2),
    "sad": Pose(smile=-1.0, brow=0.001, furrow=0.014, wide=-0.38, nod=0.005, tilt=0.022, gaze_y=0.003, lively=0.6),
    "angry": Pose(smile=-0.75, brow=-0.005, furrow=-0.013, wide=-0.26, nod=0.003, lively=1.15),
    "surprised": Pose(smile=-0.50, brow=0.019, furrow=0.002, wide=0.95, gape=0.42, nod=-0.003, lively=0.8),
    "afraid": Pose(smile=-0.75, brow=0.011, furrow=0.012, wide=0.70, gape=0.10, nod=-0.002, tilt=-0.010, lively=1.1),
    "thoughtful": Pose(smile=-0.08, brow=0.006, furrow=-0.003, wide=-0.08, tilt=0.030, gaze_x=0.009, gaze_y=-0.006),
}
# What a face can do at most, whatever is added up.
LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "smile": (-1.3, 1.3),
    "brow": (-0.010, 0.028),
    "furrow": (-0.020, 0.020),
    "wide": (-0.7, 1.1),
    "gape": (0.0, 0.5),
    "nod": (-0.012, 0.014),
    "tilt": (-0.08, 0.08),
    "gaze_x": (-0.017, 0.017),
    "gaze_y": (-0.010, 0.011),
    "lively": (0.3, 1.5),
}
# Seconds in which a face changes; fright and surprise come at once.
CHANGE_SECONDS: Final = 0.45
STARTLED_SECONDS: Final = 0.20
STARTLED: Final = frozenset({"surprised", "afraid"})


@dataclass(frozen=True, slots=True)
class Look:
    """Where eyes rest, and how far the head goes with them. `x`, `y`, `turn`: parts of the picture's height.

    `free`: how much of the small glances is left. `held`: whether the eyes stay on the viewer while the head moves.
    `pursues`: whether they follow something that passes by. `lids`: how far the lids go with the eyes.
    """

    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    nod: float = 0.0
    free: float = 0.4
    held: float = 0.0
    pursues: float = 0.0
    lids: float = 0.0


# `left` and `right` are those of who watches. `aside` is one of them; the seed chooses.
LOOKS: Final[Mapping[Gaze, Look]] = {
    "natural": Look(free=1.0),
    "camera": Look(free=0.1, held=1.0),
    "left": Look(x=-0.0135, turn=-0.0065),
    "right": Look(x=0.0135, turn=0.0065),
    "up": Look(y=-0.0080, nod=-0.0035, lids=0.25),
    "down": Look(y=0.0085, nod=0.0045, lids=-0.45),
    "follow": Look(free=0.0, pursues=1.0),
}
ASIDE: Final = Look(x=0.0125, y=0.002, turn=0.0055)


def swell(since: Floats, seconds: float, rise: float = 0.22, fall: float = 0.40) -> Floats:
    """Return a bump that begins at 0, is 1 for a while and is over after `seconds`."""
    up = eased(np.clip(since / rise, 0, 1))
    curve: Floats = up * (1 - eased(np.clip((since - seconds + fall) / fall, 0, 1)))
    return curve


def swing(since: Floats, seconds: float, hertz: float) -> Floats:
    """Return a swinging to and fro within `swell`."""
    curve: Floats = swell(since, seconds) * np.sin(2 * np.pi * hertz * np.clip(since, 0, seconds))
    return curve


@dataclass(frozen=True, slots=True)
class Act:
    """A gesture: how long it takes, and what it adds to each track, a function of the seconds since it began."""

    seconds: float
    adds: Mapping[str, Callable[[Floats], Floats]]


def held(amount: float, seconds: float) -> Callable[[Floats], Floats]:
    """Add an amount for a while."""
    return lambda since: amount * swell(since, seconds)


def swung(amount: float, seconds: float, hertz: float) -> Callable[[Floats], Floats]:
    """Swing by an amount for a while."""
    return lambda since: amount * swing(since, seconds, hertz)


# `turn` is a track of the head, `wink` one of an eye; the others are those of `Pose`.
GESTURES: Final[Mapping[Gesture, Act]] = {
    "nod": Act(1.2, {"nod": lambda since: 0.011 * np.abs(swing(since, 1.2, 0.85)), "brow": held(0.003, 1.2)}),
    "shake": Act(1.3, {"turn": swung(0.010, 1.3, 1.6), "furrow": held(-0.003, 1.3)}),
    "tilt": Act(2.4, {"tilt": held(0.055, 2.4), "brow": held(0.004, 2.4)}),
    "wink": Act(0.55, {"wink": lambda since: swell(since, 0.55, 0.12, 0.24), "smile": held(0.35, 0.9)}),
    "laugh": Act(
        1.7,
        {
            "smile": held(0.95, 1.7),
            "wide": held(-0.40, 1.7),
            "gape": held(0.30, 1.5),
            "nod": swung(0.0045, 1.7, 3.2),
            "brow": held(0.005, 1.7),
        },
    ),
    "sigh": Act(
        2.0,
        {
            "nod": held(0.008, 2.0),
            "wide": held(-0.40, 1.8),
            "furrow": held(0.006, 1.9),
            "smile": held(-0.2, 1.9),
            "gape": held(0.14, 1.2),
        },
    ),
    "shrug": Act(1.3, {"brow": held(0.011, 1.3), "tilt": held(0.035, 1.3), "smile": held(-0.30, 1.2)}),
    "brow": Act(1.5, {"brow": held(0.013, 1.5)}),
}
