"""When a stage direction is due: where it stands in the text, found again in the sound."""

from collections.abc import Sequence
from typing import Final

from chatacter.contracts.directions import Direction
from chatacter.contracts.speech import Phoneme
from visualizr.backends.portrait.visemes import SILENT

# A direction at the very end still needs this long to be seen.
LEAST_SECONDS: Final = 0.9


def moments(
    directions: Sequence[Direction], spoken: str, phonemes: Sequence[Phoneme], seconds: float
) -> list[tuple[float, Direction]]:
    """Return each direction with its second. Exact where the sound has as many words as the text, else by its share."""
    begins = word_starts(phonemes)
    words = len(spoken.split())
    latest = max(0.0, seconds - LEAST_SECONDS)
    return [(min(latest, moment(each.position, spoken, words, begins, seconds)), each) for each in directions]


def moment(position: int, spoken: str, words: int, begins: Sequence[float], seconds: float) -> float:
    """Return when the word after `position` begins."""
    before = len(spoken[:position].split())
    if before == 0:
        return 0.0
    if not begins:
        return seconds * position / max(len(spoken), 1)
    if len(begins) == words:
        return begins[before] if before < words else seconds
    # Numbers are one word in writing and several in speech: take the share, and the word that begins next to it.
    start, end = begins[0], max(seconds, begins[-1])
    guess = start + (end - start) * position / max(len(spoken), 1)
    return float(min(begins, key=lambda begin: abs(begin - guess)))


def word_starts(phonemes: Sequence[Phoneme]) -> list[float]:
    """Return when each spoken word begins: the first sound after a pause, a space or punctuation."""
    starts: list[float] = []
    silent = True
    for phoneme in phonemes:
        if phoneme.symbol in SILENT:
            silent = True
        elif silent:
            starts.append(phoneme.start)
            silent = False
    return starts
