"""The acting: emotions, gaze and gestures over time, laid over the motion of somebody who is merely alive."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from chatacter.contracts.directions import Direction, Emotion, Gaze
from visualizr.backends.portrait.easing import Floats, eased
from visualizr.backends.portrait.motion import Motion, one_blink, wander
from visualizr.backends.portrait.poses import (
    ASIDE,
    CHANGE_SECONDS,
    GESTURES,
    LIMITS,
    LOOKS,
    POSES,
    REST,
    STARTLED,
    STARTLED_SECONDS,
    TRACKS,
    Look,
    Pose,
)

# A face begins to change a little before the word that it belongs to.
LEAD_SECONDS: Final = 0.15
# What a direction brings about is strongest at first; this much of it stays until the next one.
STAYS: Final = 0.75
FADE_SECONDS: Final = 3.0
EYES_SECONDS: Final = 0.11
HEAD_SECONDS: Final = 0.55
# A turn of the features by this much is made up for by eyes that stay on the viewer.
HELD_SHARE: Final = 0.9
HEAVY: Final = frozenset({"nod", "tilt", "lively"})
"""What the head does, which is slow whatever the face feels."""
PURSUIT: Final = 0.0115
PURSUIT_HERTZ: Final = 0.16
# Gazes that go this far bring a blink along, as a shift of attention does.
FAR: Final = 0.006
AWAY: Final = frozenset({"aside", "left", "right", "up", "down"})
AWAY_SECONDS: Final = 2.2
LOOK_TRACKS: Final = tuple(Look.__slots__)
WITH_THE_HEAD: Final = frozenset({"turn", "nod", "pursues"})


@dataclass(frozen=True, slots=True)
class Role:
    """How a film is acted: what holds from its start, and what is due at which second."""

    emotion: Emotion = "neutral"
    gaze: Gaze = "natural"
    strength: float = 1.0
    cues: Sequence[tuple[float, Direction]] = ()

    @property
    def plain(self) -> bool:
        """Whether nothing is acted."""
        return self.emotion == "neutral" and self.gaze == "natural" and not self.cues


def acted(alive: Motion, role: Role, seed: int, fps: int, liveliness: float) -> Motion:
    """Lay a role over motion. `liveliness` scales the head's part of it; a head that is to be still stays so."""
    frames = len(alive.blink)
    times = (np.arange(frames) + 0.5) / fps
    random = np.random.default_rng([seed & 0xFFFFFFFF, 0xAC7])
    side = 1.0 if random.random() < 0.5 else -1.0
    face = felt(role, times)
    look, blinks = looked(role, times, side)
    turn, wink = gestured(role, times, face)
    face = {name: np.clip(track, *LIMITS[name]) for name, track in face.items()}
    pursued_x = PURSUIT * np.tanh(1.3 * wander(random, times, PURSUIT_HERTZ)) * look["pursues"]
    head = min(1.0, liveliness)
    turn_x = alive.turn_x * face["lively"] + head * (turn + look["turn"] + 0.45 * pursued_x)
    nod = head * (face["nod"] + look["nod"])
    gaze_x = alive.gaze_x * look["free"] + side * face["gaze_x"] + look["x"] + pursued_x
    gaze_y = alive.gaze_y * look["free"] + face["gaze_y"] + look["y"]
    return replace(
        alive,
        head_x=alive.head_x * face["lively"],
        head_y=alive.head_y * face["lively"] + 0.5 * nod,
        tilt=alive.tilt * face["lively"] + head * side * face["tilt"],
        turn_x=turn_x,
        turn_y=alive.turn_y * face["lively"] + nod,
        gaze_x=np.clip(gaze_x - HELD_SHARE * look["held"] * turn_x, *LIMITS["gaze_x"]),
        gaze_y=np.clip(gaze_y - HELD_SHARE * look["held"] * nod, *LIMITS["gaze_y"]),
        blink=np.maximum(alive.blink, blinks),
        brow=alive.brow + face["brow"],
        smile=face["smile"],
        furrow=face["furrow"],
        wide=np.clip(face["wide"] + look["lids"], *LIMITS["wide"]),
        gape=face["gape"],
        wink=wink,
    )


def felt(role: Role, times: Floats) -> dict[str, Floats]:
    """Return the face's tracks: from one emotion into the next, softly, from wherever it is."""
    tracks = {name: np.full_like(times, at(POSES[role.emotion], name, role.strength)) for name in TRACKS}
    for second, direction in role.cues:
        if direction.kind != "emotion":
            continue
        pose = POSES[direction.value]  # type: ignore[index]
        since = times - second + LEAD_SECONDS
        change = STARTLED_SECONDS if direction.value in STARTLED else CHANGE_SECONDS
        face, head = (eased(np.clip(since / seconds, 0, 1)) for seconds in (change, HEAD_SECONDS))
        held = 1 - (1 - STAYS) * eased(np.clip((since - 1.2) / FADE_SECONDS, 0, 1))
        for name, track in tracks.items():
            rest = getattr(REST, name)
            aim = rest + (at(pose, name, role.strength * direction.strength) - rest) * held
            tracks[name] = track + (aim - track) * (head if name in HEAVY else face)
    return tracks


def at(pose: Pose, name: str, strength: float) -> float:
    """Return a pose's value at a strength; 1 is the pose itself, 0 rest."""
    rest: float = getattr(REST, name)
    return rest + (float(getattr(pose, name)) - rest) * strength


def looked(role: Role, times: Floats, side: float) -> tuple[dict[str, Floats], Floats]:
    """Return the tracks of where eyes rest, and the blinks that go with far looks. The head follows the eyes."""
    first = look_of(role.gaze, side)
    tracks = {name: np.full_like(times, getattr(first, name)) for name in LOOK_TRACKS}
    blinks = np.zeros_like(times)
    here = first
    for second, gaze in gazes(role):
        look = look_of(gaze, side)
        since = times - second + LEAD_SECONDS
        eyes, head = (eased(np.clip(since / seconds, 0, 1)) for seconds in (EYES_SECONDS, HEAD_SECONDS))
        for name, track in tracks.items():
            arrived = head if name in WITH_THE_HEAD else eyes
            tracks[name] = track + (getattr(look, name) - track) * arrived
        if np.hypot(look.x - here.x, look.y - here.y) > FAR:
            blinks = np.maximum(blinks, one_blink(since))
        here = look
    return tracks, blinks


def gazes(role: Role) -> Iterator[tuple[float, Gaze]]:
    """Yield when the eyes go where. A look away lasts for a while, then they come back by themselves."""
    due = [(second, each.value) for second, each in role.cues if each.kind == "gaze"]
    for number, (second, gaze) in enumerate(due, 1):
        yield second, gaze  # type: ignore[misc]
        ends = second + AWAY_SECONDS
        if gaze in AWAY and (number == len(due) or ends < due[number][0]):
            yield ends, role.gaze


def look_of(gaze: Gaze, side: float) -> Look:
    """Return a look; `aside` to the side that was drawn."""
    return replace(ASIDE, x=side * ASIDE.x, turn=side * ASIDE.turn) if gaze == "aside" else LOOKS[gaze]


def gestured(role: Role, times: Floats, face: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Add the gestures to the face's tracks, in place; return what they add to the head's turn, and the wink."""
    others = {"turn": np.zeros_like(times), "wink": np.zeros_like(times)}
    for second, direction in role.cues:
        if direction.kind != "gesture":
            continue
        act = GESTURES[direction.value]  # type: ignore[index]
        since = np.maximum(times - second + LEAD_SECONDS, 0.0)
        for name, adds in act.adds.items():
            tracks = others if name in others else face
            tracks[name] = tracks[name] + adds(since) * direction.strength
    return others["turn"], np.clip(others["wink"], 0, 1)
