"""Word stems by Snowball (Porter 2001), in pure Python."""

import snowballstemmer


def english_stemmer() -> "SnowballStemmer":
    """Make a stemmer for English, which leaves most words of other languages as they are."""
    return SnowballStemmer("english")


class SnowballStemmer:
    """Stems words of one language. Not for use by two threads at once."""

    def __init__(self, language: str) -> None:
        self._stemmer = snowballstemmer.stemmer(language)

    def __call__(self, word: str) -> str:
        """Return the stem of a lower-case word."""
        stem: str = self._stemmer.stemWord(word)
        return stem
