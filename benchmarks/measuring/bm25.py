"""BM25 over turns, as others would do it: what a better way of recalling has to beat."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from chattr.domain.terms import Stem, words
from measuring.talks import Turn

# Of the usual parameters (Robertson and Zaragoza 2009) those that did best on LoCoMo: turns are short.
K1: Final = 1.2
B: Final = 0.25


class Bm25:
    """An index of texts."""

    def __init__(self, texts: Iterable[str], stem: Stem) -> None:
        self._stem = stem
        self._counts = [Counter(self._words(text)) for text in texts]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._mean = sum(self._lengths) / max(1, len(self._lengths))
        self._having = Counter(word for counts in self._counts for word in counts)

    def ranked(self, question: str) -> list[int]:
        """Return the numbers of all texts, the best first."""
        asked = set(self._words(question))
        scores = [self._score(asked, number) for number in range(len(self._counts))]
        return sorted(range(len(scores)), key=lambda number: (-scores[number], number))

    def _score(self, asked: set[str], number: int) -> float:
        counts, norm = self._counts[number], K1 * (1 - B + B * self._lengths[number] / self._mean)
        return sum(
            self._rarity(word) * counts[word] * (K1 + 1) / (counts[word] + norm) for word in asked & counts.keys()
        )

    def _rarity(self, word: str) -> float:
        having = self._having[word]
        return math.log((len(self._counts) - having + 0.5) / (having + 0.5) + 1)

    def _words(self, text: str) -> list[str]:
        return words(text, self._stem)


def neighbours(turns: Sequence[Turn], number: int) -> list[int]:
    """Return a turn and those next to it in its session."""
    near = [number, number - 1, number + 1]
    return [one for one in near if 0 <= one < len(turns) and turns[one].session == turns[number].session]


def with_neighbours(turns: Sequence[Turn], order: Iterable[int]) -> list[int]:
    """Return each hit followed by the turns next to it, each once."""
    return list(dict.fromkeys(near for hit in order for near in neighbours(turns, hit)))


def joined(turns: Sequence[Turn]) -> list[str]:
    """Return each turn's text together with those next to it."""
    return ["\n".join(turns[near].text for near in sorted(neighbours(turns, number))) for number in range(len(turns))]
