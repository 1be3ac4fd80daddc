"""Acting over time: due at its word, eased in, the same for the same seed, and never at the cost of the lips."""

from dataclasses import fields

import numpy as np
import pytest

from chatacter.contracts.directions import EMOTIONS, Direction, script
from chatacter.contracts.speech import Phoneme
from tests.film_material import tone
from visualizr.backend import Sound
from visualizr.backends.portrait.acting import Role
from visualizr.backends.portrait.cues import moments, word_starts
from visualizr.backends.portrait.motion import Motion
from visualizr.backends.portrait.poses import GESTURES, LIMITS
from visualizr.backends.portrait.stage import Performance, rehearse

pytestmark = pytest.mark.unit

FPS = 25
QUIET = Sound(np.zeros(48_000 * 4, np.float32), 48_000)


def spoken(*words: tuple[str, float, float]) -> tuple[Phoneme, ...]:
    """Each word's sounds share its time; a space stands between two."""
    out: list[Phoneme] = []
    for symbols, start, end in words:
        if out:
            out.append(Phoneme(symbol=" ", start=out[-1].end, end=start))
        step = (end - start) / len(symbols)
        out += [Phoneme(symbol=s, start=start + i * step, end=start + (i + 1) * step) for i, s in enumerate(symbols)]
    return tuple(out)


WORDS = spoken(("hɛlO", 0.1, 0.5), ("ðɛɹ", 0.6, 0.9), ("mI", 1.4, 1.6), ("fɹɛnd", 1.7, 2.1))


def role(text: str = "", phonemes: tuple[Phoneme, ...] = WORDS, seconds: float = 4.0, **more: object) -> Role:
    lines = script(text)
    return Role(cues=moments(lines.directions, lines.spoken, phonemes, seconds), **more)  # type: ignore[arg-type]


def played(acted: Role, seed: int = 5, sound: Sound = QUIET, liveliness: float = 1.0) -> Performance:
    return rehearse(sound, (), FPS, seed, liveliness, acted)


def test_a_direction_is_due_when_its_word_begins() -> None:
    assert word_starts(WORDS) == [0.1, 0.6, 1.4, 1.7]
    due = role("[smiles] Hello there [looks away] my [sad] friend [surprised]").cues
    assert [(round(second, 2), each.value) for second, each in due] == [
        (0.0, "happy"),
        (1.4, "aside"),
        (1.7, "sad"),
        (3.1, "surprised"),  # nothing follows; it still needs some time to be seen
    ]


def test_where_words_are_counted_otherwise_the_share_decides() -> None:
    due = role("In 1843 it [sad] rained.").cues  # spoken, the year is more than one word
    due_without_timings = role("In 1843 it [sad] rained.", ()).cues
    assert due[0][0] in word_starts(WORDS)
    assert due_without_timings[0][0] == pytest.approx(4.0 * len("In 1843 it") / len("In 1843 it rained."))


def test_nothing_is_acted_before_its_time_and_then_it_comes_softly() -> None:
    smile = played(Role(cues=[(2.0, Direction(0, "emotion", "happy"))])).motion.smile
    assert not smile[: int(1.8 * FPS)].any()
    assert smile[int(2.6 * FPS)] > 0.8
    assert np.diff(smile).max() < 0.25


@pytest.mark.parametrize("second", [0.5, 1.99, 2.0])
@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_a_face_never_jumps(second: float, strength: float) -> None:
    """One emotion on the other, with gestures and looks among them; only eyes and lids may be fast."""
    cues = [(second + 0.2 * n, Direction(0, "emotion", each)) for n, each in enumerate(EMOTIONS)]
    cues += [(second + 0.3 * n, Direction(0, "gesture", each)) for n, each in enumerate(GESTURES)]
    cues += [(second + 0.4 * n, Direction(0, "gaze", each)) for n, each in enumerate(("left", "right", "down"))]
    motion = played(Role(emotion="sad", cues=cues, strength=strength)).motion
    most = {"smile": 0.6, "furrow": 0.012, "brow": 0.012, "tilt": 0.02, "turn_x": 0.006, "turn_y": 0.007}
    for name, step in most.items():
        assert np.abs(np.diff(getattr(motion, name))).max() < step, name
    for name in ("smile", "furrow", "wide", "gape", "gaze_x", "gaze_y"):
        low, high = LIMITS[name]
        track = getattr(motion, name)
        assert low - 1e-9 <= track.min() <= track.max() <= high + 1e-9, name


def test_an_emotion_gives_way_to_the_next() -> None:
    motion = played(role("[happy] Hello there [sad] my friend")).motion
    assert motion.smile[int(1.0 * FPS)] > 0.5
    assert motion.smile[int(2.2 * FPS)] < -0.5


def test_how_strong_an_emotion_is() -> None:
    weak, usual, strong = (played(Role(emotion="happy", strength=s)).motion.smile[0] for s in (0.3, 1.0, 1.5))
    assert 0 < weak < usual < strong
    assert not played(Role(emotion="happy", strength=0.0)).motion.smile.any()


def test_eyes_that_looked_away_come_back() -> None:
    x = played(Role(gaze="camera", cues=[(0.5, Direction(0, "gaze", "left"))])).motion.gaze_x
    assert x[int(1.5 * FPS)] < -0.008
    assert abs(x[int(3.5 * FPS)]) < 0.006


def test_eyes_stay_on_the_camera_while_the_head_moves() -> None:
    motion = played(Role(gaze="camera"), liveliness=2.0).motion
    seen = motion.turn_x + motion.gaze_x
    assert np.ptp(motion.turn_x) > 0.004
    assert np.ptp(seen) < 0.5 * np.ptp(motion.turn_x)


def test_eyes_follow_what_passes_by_without_jumps() -> None:
    x = played(Role(gaze="follow")).motion.gaze_x
    assert np.ptp(x) > 0.01
    assert np.abs(np.diff(x)).max() < 0.0015


def test_the_same_seed_plays_the_same_and_another_does_not() -> None:
    acted = role("[looks away] Hello there [laughs] my friend", emotion="thoughtful")
    first, again = (played(acted, seed=8).motion for _ in range(2))
    for field in fields(Motion):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name))
    sides = {bool(played(acted, seed=seed).motion.gaze_x[FPS] > 0) for seed in range(12)}
    assert sides == {True, False}


def test_a_head_that_is_to_be_still_is() -> None:
    motion = played(role("[nods] Hello [shakes head] there my friend", emotion="sad"), liveliness=0.0).motion
    for name in ("head_x", "head_y", "tilt", "turn_x", "turn_y"):
        assert not getattr(motion, name).any(), name
    assert motion.smile.min() < -0.5


def test_a_mouth_hangs_open_only_while_nothing_is_said() -> None:
    sound = Sound(np.concatenate([np.zeros(48_000, np.float32), tone(1.0).samples]), 48_000)
    plain, amazed = (played(acted, sound=sound).mouth for acted in (Role(), Role(emotion="surprised")))
    assert amazed.aperture[int(0.3 * FPS)] > plain.aperture[int(0.3 * FPS)] + 0.2
    assert np.allclose(amazed.aperture[int(1.2 * FPS) :], plain.aperture[int(1.2 * FPS) :], atol=0.02)


def test_who_acts_nothing_moves_as_before() -> None:
    plain, idle = rehearse(QUIET, (), FPS, 5), played(Role())
    for field in fields(Motion):
        assert np.array_equal(getattr(plain.motion, field.name), getattr(idle.motion, field.name))
