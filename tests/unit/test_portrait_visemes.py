"""The mouth over time: closures close, vowels open, neighbours blend, and sound alone is never out of time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatacter.contracts.speech import Phoneme
from tests.film_material import RATE, tone
from visualizr.backend import Sound
from visualizr.backends.portrait import listening, visemes
from visualizr.backends.portrait.motion import blinks, motion
from visualizr.backends.portrait.stage import rehearse

pytestmark = pytest.mark.unit

# Kokoro's English alphabet: what the speech service sends.
ALPHABET = "AIOWYbdfhijklmnpstuvwzæðŋɑɔəɛɜɡɪɹʃʊʌʒʤʧθᵊᵻɾTˈˌː"
SILENT_SIGNS = "Tˈˌː"


def spoken(symbols: str, each: float = 0.12) -> list[Phoneme]:
    return [Phoneme(symbol=symbol, start=i * each, end=(i + 1) * each) for i, symbol in enumerate(symbols)]


def track(symbols: str, fps: int = 50, each: float = 0.12) -> visemes.MouthTrack:
    seconds = len(symbols) * each
    loud = np.ones(round(seconds * visemes.TRACK_HZ))
    return visemes.from_phonemes(spoken(symbols, each), loud, seconds, fps, round(seconds * fps))


def test_every_sound_of_the_alphabet_has_a_shape() -> None:
    shapeless = {symbol for symbol in ALPHABET if visemes.target(symbol) is None}
    assert shapeless == set(SILENT_SIGNS)


@pytest.mark.parametrize("closed", "pbm")
def test_lips_meet_between_vowels(closed: str) -> None:
    mouth = track(f"ɑ{closed}ɑ")
    middle = len(mouth) // 2
    assert mouth.aperture[middle - 1 : middle + 1].min() < 0.03
    assert mouth.aperture[: middle // 2].max() > 0.6


def test_open_vowels_open_more_than_close_ones() -> None:
    assert track("ɑɑɑ").aperture.max() > 2 * track("iii").aperture.max()


def test_rounded_and_spread() -> None:
    assert track("uuu").width.min() < -0.7
    assert track("iii").width.max() > 0.6


def test_a_diphthong_moves() -> None:
    mouth = track(" O ", each=0.3)
    middle = slice(len(mouth) // 3, 2 * len(mouth) // 3)
    assert mouth.aperture[middle][2] > mouth.aperture[middle][-3] + 0.05


def test_silence_is_at_rest() -> None:
    mouth = track(",  .")
    assert mouth.aperture.max() == 0
    assert np.abs(mouth.width).max() == 0


def test_the_mouth_never_jumps() -> None:
    mouth = track("hɛlO wɜɹld mæp, ʃi sɛd", fps=100, each=0.08)
    assert np.abs(np.diff(mouth.aperture)).max() < 0.25


def test_the_mouth_closes_when_the_sound_has_faded() -> None:
    loud = np.concatenate([np.ones(60), np.zeros(140)])
    mouth = visemes.from_phonemes([Phoneme(symbol="ɑ", start=0, end=1)], loud, 1.0, 100, 100)
    assert mouth.aperture[10:28].min() > 0.5
    assert mouth.aperture[50:].max() < 0.02


def test_unknown_signs_leave_the_mouth_as_it_is() -> None:
    loud = np.ones(100)
    plain = visemes.from_phonemes(spoken("ɑ"), loud, 0.12, 50, 6)
    marked = visemes.from_phonemes([Phoneme(symbol="ˈ", start=0, end=0), *spoken("ɑ")], loud, 0.12, 50, 6)
    assert np.array_equal(plain.aperture, marked.aperture)


def test_a_stress_mark_lends_its_time_to_the_vowel() -> None:
    """Kokoro gives a mark half of the vowel's time; a mouth that closed meanwhile would stumble at every stress."""
    stressed = track("sˈɑs", fps=100)
    assert stressed.aperture[15:32].min() > 0.35
    longer = track("tɑːt", fps=100)
    assert longer.aperture[15:32].min() > 0.35


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=3), st.floats(0, 2), st.floats(0, 2)), max_size=30),
    st.integers(1, 60),
)
def test_any_timings_give_a_mouth_in_range(timings: list[tuple[str, float, float]], fps: int) -> None:
    phonemes = tuple(Phoneme(symbol=text, start=min(a, b), end=max(a, b)) for text, a, b in timings)
    performance = rehearse(tone(1.0), phonemes, fps, seed=3)
    assert len(performance) == fps
    assert np.isfinite(performance.mouth.aperture).all()
    assert 0 <= performance.mouth.aperture.min() <= performance.mouth.aperture.max() <= 1
    assert np.abs(performance.mouth.width).max() <= 1


def test_without_timings_the_mouth_follows_the_loudness() -> None:
    sound = tone(2.0)
    mouth = listening.from_sound(sound, 25, 50)
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * 3 * (np.arange(50) + 0.5) / 25)
    assert np.corrcoef(mouth.aperture, swell)[0, 1] > 0.9


def test_hissing_is_said_with_a_nearly_closed_mouth() -> None:
    times = np.arange(RATE) / RATE
    hiss = Sound((0.3 * np.sin(2 * np.pi * 7000 * times)).astype(np.float32), RATE)
    hum = Sound((0.3 * np.sin(2 * np.pi * 300 * times)).astype(np.float32), RATE)
    assert listening.from_sound(hiss, 25, 25).aperture.mean() < 0.5 * listening.from_sound(hum, 25, 25).aperture.mean()


@pytest.mark.parametrize("count", [1, 7, 481])
def test_sounds_shorter_than_a_window(count: int) -> None:
    performance = rehearse(Sound(np.zeros(count, np.float32), RATE), (), 25, seed=0)
    assert len(performance) == 1
    assert performance.mouth.aperture[0] == 0


def test_motion_comes_from_the_seed() -> None:
    level = np.full(250, 0.5)
    first, again, other = (motion(seed, level, 25, 250) for seed in (4, 4, 5))
    assert np.array_equal(first.blink, again.blink)
    assert np.array_equal(first.tilt, again.tilt)
    assert not np.array_equal(first.tilt, other.tilt)


def test_eyes_blink_every_few_seconds_and_close_fully() -> None:
    times = np.arange(60 * 50) / 50
    shut = blinks(np.random.default_rng(1), times)
    begun = int(((shut[1:] > 0.5) & (shut[:-1] <= 0.5)).sum())
    assert 10 <= begun <= 30
    assert shut.max() > 0.95
    assert (shut == 0).mean() > 0.8


def test_the_head_stays_small_in_its_movements() -> None:
    move = motion(9, np.ones(1500), 25, 1500)
    assert np.degrees(np.abs(move.tilt)).max() < 3
    assert max(np.abs(move.head_x).max(), np.abs(move.head_y).max()) < 0.02
    assert np.degrees(np.abs(np.diff(move.tilt))).max() < 0.3
