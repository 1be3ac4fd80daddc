"""Word stems by Snowball (Porter 2001), in pure Python."""

from typing import Final

import snowballstemmer

# A stem takes 20 µs, and people use few words; enough for all of them, 2 MB at most.
REMEMBERED: Final = 20_000


def english_stemmer() -> "SnowballStemmer":
    """Make a stemmer for English, which leaves most words of other languages as they are."""
    return SnowballStemmer("english")


class SnowballStemmer:
    """Stems words of one language, and remembers stems. Not for use by two threads at once."""

    def __init__(self, language: str) -> None:
        self._stemmer = snowballstemmer.stemmer(language)
        self._stems: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        """Return the stem of a lower-case word."""
        known = self._stems.get(word)
        if known is not None:
            return known
        if len(self._stems) >= REMEMBERED:
            self._stems.clear()
        stem: str = self._stemmer.stemWord(word)
        self._stems[word] = stem
        return stem
