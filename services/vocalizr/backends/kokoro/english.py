"""English text to Kokoro's symbols: words from the lexicon by what they are in the sentence, guesses for the rest."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vocalizr.backends.kokoro.grammar import part_of_speech
from vocalizr.backends.kokoro.lexicon import VOWELS, Lexicon, read
from vocalizr.backends.kokoro.spelling import spelled_out
from vocalizr.backends.kokoro.unknown import UnknownWords, british

TOKEN: Final = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*'?|[;:,.!?—…\"()]|\s+")
PUNCTUATION: Final = frozenset(';:,.!?—…"()')
STRESSES: Final = "ˈˌ"
VOWEL_LETTER: Final = re.compile("[aeiouyAEIOUY]")


class English:
    """Reads English aloud, with one accent."""

    def __init__(self, lexicon: Lexicon, unknown: UnknownWords, symbols: frozenset[str], *, british: bool) -> None:
        self._lexicon = lexicon
        self._unknown = unknown
        self._symbols = symbols
        self._british = british

    @classmethod
    def load(
        cls, lexicons: Sequence[Path], unknown: UnknownWords, symbols: frozenset[str], *, british: bool
    ) -> "English":
        """Load an accent from its lexicons, the preferred one last."""
        return cls(Lexicon(read(lexicons), british=british), unknown, symbols, british=british)

    def words(self, text: str) -> str:
        """Spell a text out: numbers, abbreviations and signs become words."""
        return spelled_out(text, british=self._british)

    def phonemes(self, text: str) -> str:
        """Return how spelled-out text sounds, in the model's symbols; what cannot be said is left out."""
        tokens = [match.group() for match in TOKEN.finditer(text)]
        spoken = [number for number, token in enumerate(tokens) if token[0].isalpha()]
        sounds = list(tokens)
        following, following_word = "", ""
        for place in range(len(spoken) - 1, -1, -1):
            number = spoken[place]
            before = tokens[spoken[place - 1]].lower() if place else ""
            ends = any(mark in PUNCTUATION for mark in "".join(tokens[number + 1 : number + 3]).strip()[:1])
            phrase_end = place == len(spoken) - 1 or ends
            sound = self._word(tokens[number], before, "" if ends else following_word, phrase_end=phrase_end)
            sounds[number] = self._in_context(tokens[number], sound, following, phrase_end=phrase_end)
            following, following_word = sounds[number], tokens[number].lower()
        joined = "".join(" " if sound.isspace() else sound for sound in sounds)
        known = "".join(symbol for symbol in joined if symbol in self._symbols)
        return re.sub(r"\s+(?=[;:,.!?…)])", "", re.sub(r" {2,}", " ", known)).strip()

    def sayable(self, phonemes: str) -> bool:
        """Whether there is any sound in them, not just pauses."""
        return any(symbol.isalpha() for symbol in phonemes)

    def _word(self, word: str, before: str, after: str, *, phrase_end: bool) -> str:
        bare = word.rstrip("'")
        part = part_of_speech(bare.lower(), before, after, phrase_end=phrase_end)
        sound = self._lexicon.sound(word if word in {"o'", "s'"} else bare, part)
        if sound is None and "-" in bare:
            parts = [self._word(piece, "", "", phrase_end=False) for piece in bare.split("-") if piece]
            sound = " ".join(parts)
        if sound is None:
            sound = self._guess(bare)
        return sound.replace("ɾ", "T").replace("ʔ", "t")

    def _guess(self, word: str) -> str:
        plain = plain_letters(word)
        known = self._lexicon.sound(plain) if plain and plain != word else None
        if known is not None:
            return known
        letters = plain.replace("'", "").replace("-", "")
        if not letters:
            return ""
        if letters.isupper() and (len(letters) <= 4 or not VOWEL_LETTER.search(letters)):
            return self._spelled(letters)
        if not VOWEL_LETTER.search(letters) and len(letters) <= 4:
            return self._spelled(letters.upper())
        sound = self._unknown.sound(letters)
        return british(sound) if self._british else sound

    def _spelled(self, letters: str) -> str:
        """Say an abbreviation letter by letter; the stress is on the last."""
        names = [self._lexicon.exact(letter, "NOUN") or "" for letter in letters.upper()]
        return "".join(name.replace("ˈ", "ˌ") for name in names[:-1]) + names[-1]

    def _in_context(self, word: str, sound: str, following: str, *, phrase_end: bool) -> str:
        """Weaken the little words as they are in a sentence."""
        vowel_follows = following.lstrip(STRESSES)[:1] in VOWELS and bool(following)
        word = word if word == "A" else word.lower()
        if word == "the":
            return "ði" if vowel_follows else "ðə"
        if phrase_end:
            return sound
        if word == "to":
            return "tʊ" if vowel_follows else "tə"
        if word in {"a", "an"}:  # not "A", which is a letter's name; at a sentence's begin both are fine
            return "ɐ" if word == "a" else "ɐn"
        if word == "i":
            return "ˌI"
        return sound


def plain_letters(word: str) -> str:
    """Drop accents and what is not Latin."""
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(letter for letter in decomposed if letter.isascii() and (letter.isalpha() or letter in "'-"))
