"""From phonemes to the mouth: how far open and how wide it is in every frame.

The targets follow the usual grouping of English phonemes into visemes (MPEG-4 FBA, ISO/IEC 14496-2, table C-1), given
as two numbers so that they blend. Neighbouring sounds colour each other (coarticulation): targets are smoothed over
about 90 ms, and then the closures that an eye expects (p, b, m and f, v) are put back at full strength.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from chatacter.contracts.speech import Phoneme
from visualizr.backends.portrait.easing import Floats, eased


class Viseme(NamedTuple):
    """`aperture` 0 (closed) to 1 (wide open); `width` -1 (rounded) to 1 (spread)."""

    aperture: float
    width: float


REST: Final = Viseme(0.0, 0.0)

_GROUPS: Final[Mapping[str, Viseme]] = {
    "pbm": Viseme(0.0, 0.0),
    "fv": Viseme(0.10, 0.10),
    "θð": Viseme(0.24, 0.10),
    "tdnɾʔ": Viseme(0.22, 0.18),
    "sz": Viseme(0.16, 0.35),
    "ʃʒʧʤ": Viseme(0.22, -0.45),
    "kɡgŋxç": Viseme(0.30, 0.05),
    "lɫ": Viseme(0.34, 0.10),
    "ɹrɻʁ": Viseme(0.28, -0.35),
    "wʍ": Viseme(0.18, -0.90),
    "j": Viseme(0.24, 0.45),
    "hɦ": Viseme(0.40, 0.0),
    "iɨᵻ": Viseme(0.30, 0.75),
    "ɪ": Viseme(0.38, 0.40),
    "eɛ": Viseme(0.56, 0.38),
    "æa": Viseme(0.82, 0.35),
    "ɑɐ": Viseme(0.95, 0.0),
    "ɒ": Viseme(0.80, -0.30),
    "ɔ": Viseme(0.72, -0.50),
    "oø": Viseme(0.55, -0.70),
    "ʊ": Viseme(0.36, -0.60),
    "uyɯ": Viseme(0.28, -0.90),
    "ʌ": Viseme(0.62, 0.0),
    "əᵊɘ": Viseme(0.42, 0.0),
    "ɜɝɚ": Viseme(0.46, -0.25),
}
TARGETS: Final[Mapping[str, Viseme]] = {symbol: viseme for group, viseme in _GROUPS.items() for symbol in group}
# Diphthongs in Kokoro's alphabet: where the mouth starts and where it goes.
DIPHTHONGS: Final[Mapping[str, tuple[Viseme, Viseme]]] = {
    "A": (TARGETS["e"], TARGETS["i"]),
    "I": (TARGETS["ɑ"], TARGETS["ɪ"]),
    "W": (TARGETS["ɑ"], TARGETS["ʊ"]),
    "O": (TARGETS["o"], TARGETS["u"]),
    "Q": (TARGETS["ə"], TARGETS["u"]),
    "Y": (TARGETS["ɔ"], TARGETS["ɪ"]),
}
CLOSED: Final = frozenset("pbm")
LIP_TO_TEETH: Final = frozenset("fv")
STRESS: Final = frozenset("ˈˌ")
LENGTH: Final = "ː"
SILENT: Final = frozenset(' .,;:!?—…-"()“”')

TRACK_HZ: Final = 200
BLEND_SECONDS: Final = 0.030
CLOSURE_SECONDS: Final = 0.055
# Stops are silent for less than twice this; a pause is longer.
NEAR_SECONDS: Final = 0.06
# Of what is loud for this speaker.
AUDIBLE: Final = 0.06


@dataclass(frozen=True, slots=True)
class MouthTrack:
    """The mouth over time, one value a frame: `aperture` in [0, 1], `width` in [-1, 1]."""

    aperture: Floats
    width: Floats

    def __len__(self) -> int:
        return len(self.aperture)


def target(symbol: str) -> tuple[Viseme, Viseme] | None:
    """Return a phoneme's first and last viseme; None for signs without a shape of their own."""
    if symbol in DIPHTHONGS:
        return DIPHTHONGS[symbol]
    if symbol in SILENT:
        return REST, REST
    known = [TARGETS[part] for part in symbol if part in TARGETS]
    return (known[0], known[-1]) if known else None


def raw_targets(phonemes: Sequence[Phoneme], seconds: float) -> tuple[Floats, Floats]:
    """Lay the targets out in time, `TRACK_HZ` values a second, without any smoothing; silence is at rest."""
    count = max(1, round(seconds * TRACK_HZ))
    aperture, width = np.zeros(count), np.zeros(count)
    for phoneme in joined_to_vowels(phonemes):
        ends = target(phoneme.symbol)
        begin, end = (min(count, max(0, round(at * TRACK_HZ))) for at in (phoneme.start, phoneme.end))
        if ends is None or end <= begin:
            continue
        glide = np.linspace(0.0, 1.0, end - begin)
        for track, first, last in (
            (aperture, ends[0].aperture, ends[1].aperture),
            (width, ends[0].width, ends[1].width),
        ):
            track[begin:end] = first + (last - first) * glide
    return aperture, width


def joined_to_vowels(phonemes: Sequence[Phoneme]) -> Iterator[Phoneme]:
    """Give the time of a stress mark to the sound after it, and that of a length mark to the sound before it."""
    stressed: float | None = None
    before: Phoneme | None = None
    for phoneme in phonemes:
        if phoneme.symbol in STRESS:
            stressed = phoneme.start if stressed is None else stressed
        elif phoneme.symbol == LENGTH and before is not None:
            before = before.model_copy(update={"end": max(before.end, phoneme.end)})
        else:
            if before is not None:
                yield before
            before = phoneme if stressed is None else phoneme.model_copy(update={"start": min(stressed, phoneme.start)})
            stressed = None
    if before is not None:
        yield before


def smoothed(track: Floats, sigma_seconds: float) -> Floats:
    """Blend neighbours with a Gaussian; the ends are held."""
    sigma = sigma_seconds * TRACK_HZ
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    blended: Floats = np.convolve(np.pad(track, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
    return blended


def closures(phonemes: Sequence[Phoneme], count: int) -> Floats:
    """Return the most that the mouth may be open: 1 nearly everywhere, down to the closure at p, b, m, f and v."""
    limit = np.ones(count)
    times = np.arange(count) / TRACK_HZ
    for phoneme in phonemes:
        if phoneme.symbol not in CLOSED | LIP_TO_TEETH:
            continue
        floor = 0.0 if phoneme.symbol in CLOSED else TARGETS["f"].aperture
        middle, half = (phoneme.start + phoneme.end) / 2, (phoneme.end - phoneme.start) / 2
        away = np.clip((np.abs(times - middle) - min(half, 0.03)) / CLOSURE_SECONDS, 0.0, 1.0)
        limit = np.minimum(limit, floor + (1 - floor) * eased(away))
    return limit


def from_phonemes(phonemes: Sequence[Phoneme], loudness: Floats, seconds: float, fps: int, frames: int) -> MouthTrack:
    """Animate from timings. `loudness` (`TRACK_HZ` values a second, 0 to 1) lets accents open the mouth further."""
    aperture, width = raw_targets(phonemes, seconds)
    loud = np.interp(np.arange(len(aperture)), np.arange(len(loudness)), loudness)
    sounding = heard(loud)
    aperture = smoothed(aperture, BLEND_SECONDS) * (0.78 + 0.27 * smoothed(loud, 0.06)) * sounding
    aperture = np.minimum(aperture, closures(phonemes, len(aperture)))
    return sampled(aperture, smoothed(width, BLEND_SECONDS * 1.3) * sounding, fps, frames)


def heard(loud: Floats) -> Floats:
    """Return 1 near sound and 0 in silence: timings stretch a sentence's last vowel over its fading."""
    reach = round(NEAR_SECONDS * TRACK_HZ)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(loud, reach), 2 * reach + 1).max(axis=1)
    return smoothed(np.clip(around / AUDIBLE, 0.0, 1.0), BLEND_SECONDS)


def sampled(aperture: Floats, width: Floats, fps: int, frames: int) -> MouthTrack:
    """Read the tracks in the middle of every frame."""
    at = (np.arange(frames) + 0.5) / fps * TRACK_HZ
    grid = np.arange(len(aperture))
    return MouthTrack(
        aperture=np.clip(np.interp(at, grid, aperture, right=0.0), 0.0, 1.0),
        width=np.clip(np.interp(at, grid, width, right=0.0), -1.0, 1.0),
    )
