"""Pieces of speech, cut so that they can be played one after the other: short pauses, no clicks, exact timings."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from chatacter.contracts.speech import Phoneme
from vocalizr.backend import Samples, SpeechChunk
from vocalizr.backends.kokoro.model import SAMPLE_RATE, Spoken

# Seconds of silence kept before a piece, and after it by its last mark. Kokoro's own are half a second and vary.
BEFORE: Final = 0.03
AFTER: Final = {".": 0.32, "!": 0.32, "?": 0.32, "…": 0.4, ",": 0.16, ";": 0.22, ":": 0.22, "—": 0.22}
AFTER_WORD: Final = 0.06
AT_END: Final = 0.25
FADE: Final = 0.005
# The network's sound comes so much before the durations that it tells: measured at the speeds 0.7, 1 and 1.4 with three
# voices, by when sibilants hiss and vowels are loud (best match at 0.060, 0.050, 0.045 s).
LEAD: Final = 0.05
# Kokoro's silence is under 0.001, its faintest sounds over this.
QUIET: Final = 0.002


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a piece: samples from `begin` to `end`, then `pad` samples of silence."""

    begin: int
    end: int
    pad: int


def joined(spoken: Spoken, symbols: str, clock: float, *, last: bool) -> SpeechChunk:
    """Trim a piece's edges to the pauses above, fade the cuts, and time its symbols from `clock` seconds on.

    The timings cover the chunk's samples without a gap: the edges' silence belongs to a symbol " ".
    """
    cut = edges(spoken, symbols, last=last)
    kept = faded(spoken.samples[cut.begin : cut.end])
    samples = np.concatenate([kept, np.zeros(cut.pad, dtype=np.float32)])
    ends = np.cumsum(spoken.durations) - round(LEAD * SAMPLE_RATE)
    begins = ends - spoken.durations
    begins = np.clip(begins, cut.begin, cut.end) - cut.begin
    ends = np.clip(ends, cut.begin, cut.end) - cut.begin
    ends[-1] = cut.end - cut.begin + cut.pad
    phonemes = tuple(
        Phoneme(symbol=symbol, start=clock + begin / SAMPLE_RATE, end=clock + end / SAMPLE_RATE)
        for symbol, begin, end in zip(f" {symbols} ", begins.tolist(), ends.tolist(), strict=True)
        if end > begin
    )
    return SpeechChunk(samples, phonemes)


def edges(spoken: Spoken, symbols: str, *, last: bool) -> Cut:
    """Choose what to keep: only silence is cut away."""
    loud = np.flatnonzero(np.abs(spoken.samples) > QUIET)
    total = spoken.samples.size
    if not loud.size:
        return Cut(0, total, 0)
    first_sound, last_sound = int(loud[0]), int(loud[-1]) + 1
    mark = symbols.rstrip('")”')[-1:] if symbols else ""
    pause = round((AT_END if last else AFTER.get(mark, AFTER_WORD)) * SAMPLE_RATE)
    begin = max(0, first_sound - round(BEFORE * SAMPLE_RATE))
    end = min(total, last_sound + pause)
    return Cut(begin, end, max(0, last_sound + pause - total))


def faded(samples: Samples) -> Samples:
    """Return a copy that begins and ends at zero."""
    length = min(round(FADE * SAMPLE_RATE), samples.size // 2)
    ramp = np.linspace(0.0, 1.0, length, dtype=np.float32)
    result = samples.copy()
    if length:
        result[:length] *= ramp
        result[-length:] *= ramp[::-1]
    return result
