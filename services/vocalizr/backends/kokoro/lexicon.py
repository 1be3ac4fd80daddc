"""English words and how they sound: the lexicons of misaki (Apache-2.0), and endings put on words that they have.

An entry is a string of Kokoro's symbols, or, for words that sound differently by what they are, a string for each
part of speech: DEFAULT, NOUN, VERB, ADJ, ADV, VBD, VBN, VBP, DT, and "None" for the end of a phrase.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

Entry = str | Mapping[str, str | None]

SIBILANTS: Final = frozenset("szʃʒʧʤ")
VOICELESS: Final = frozenset("ptkfθ")
VOWELS: Final = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻɐ")
DOUBLED: Final = frozenset("bdfgklmnprstvz")


def read(paths: Sequence[Path]) -> dict[str, Entry]:
    """Read lexicons; a later one is asked first."""
    entries: dict[str, Entry] = {}
    for path in paths:
        entries.update(json.loads(path.read_bytes()))
    return entries


class Lexicon:
    """One accent's words."""

    def __init__(self, entries: Mapping[str, Entry], *, british: bool) -> None:
        self._entries = entries
        self._unstressed = "ɪ" if british else "ᵻ"

    def exact(self, word: str, part: str) -> str | None:
        """Return how a word sounds as this part of speech, or None when the lexicon does not have it.

        Tried as it is written, in small letters, and with a capital.
        """
        for form in (word, word.lower(), word.capitalize()):
            entry = self._entries.get(form)
            if isinstance(entry, str):
                return entry
            if entry is not None:
                sound = entry.get(part)
                if part == "NOUN" and word.isupper() and "NOUN" in entry and not sound:
                    return None  # an abbreviation that is spelled out as a noun, e.g. IT
                return sound or entry.get("DEFAULT")
        return None

    def sound(self, word: str, part: str = "DEFAULT") -> str | None:
        """Return how a word sounds, built from a known one and an ending if need be; None when that fails."""
        found = self.exact(word, part)
        if found is not None or len(word) < 3:
            return found
        return self._inflected(word.lower(), part) or self._derived(word.lower())

    def _inflected(self, word: str, part: str) -> str | None:
        if word.endswith("'s"):
            stem = self.sound(word[:-2], part)
            return self.plural(stem) if stem else None
        if word.endswith("s'"):
            return self.sound(word[:-1], part)
        for ending, add in (("s", self.plural), ("ed", self.past), ("ing", self.ongoing)):
            if word.endswith(ending):
                for stem in stems(word, ending):
                    if sound := self.exact(stem, part):
                        return add(sound)
        return None

    def _derived(self, word: str) -> str | None:
        for ending, sound in SUFFIXES.items():
            if word.endswith(ending) and len(word) > len(ending) + 2:
                for stem in stems(word, ending):
                    if base := self.exact(stem, "DEFAULT"):
                        return base + sound
        for beginning, sound in PREFIXES.items():
            rest = word.removeprefix(beginning)
            if rest != word and len(rest) > 3 and (base := self.exact(rest, "DEFAULT")):
                return sound + base
        return None

    def plural(self, stem: str) -> str:
        """Put the sound of -s on a word."""
        if stem[-1] in SIBILANTS:
            return f"{stem}{self._unstressed}z"
        return f"{stem}s" if stem[-1] in VOICELESS else f"{stem}z"

    def past(self, stem: str) -> str:
        """Put the sound of -ed on a word."""
        if stem[-1] in "td":
            return f"{stem}{self._unstressed}d"
        return f"{stem}t" if stem[-1] in VOICELESS or stem[-1] in "sʃʧ" else f"{stem}d"

    def ongoing(self, stem: str) -> str:
        """Put the sound of -ing on a word; a silent British r is heard again."""
        linking = "ɹ" if stem[-1] in "ɔəːɜɑ" and self._unstressed == "ɪ" else ""
        return f"{stem}{linking}ɪŋ"


SUFFIXES: Final[Mapping[str, str]] = {
    "ly": "li",
    "ness": "nəs",
    "less": "ləs",
    "ful": "fəl",
    "ment": "mənt",
    "ship": "ʃˌɪp",
    "hood": "hˌʊd",
    "like": "lˌIk",
    "wise": "wˌIz",
    "able": "əbəl",
    "ish": "ɪʃ",
}

PREFIXES: Final[Mapping[str, str]] = {
    "un": "ˌʌn",
    "re": "ɹˌi",
    "non": "nˌɑn",
    "anti": "ˌænti",
    "pre": "pɹˌi",
    "mis": "mˌɪs",
    "super": "sˌupəɹ",
    "over": "ˌOvəɹ",
    "under": "ˌʌndəɹ",
    "out": "ˌWt",
    "inter": "ˌɪntəɹ",
    "micro": "mˌIkɹO",
    "multi": "mˌʌlti",
}


def stems(word: str, ending: str) -> Iterator[str]:
    """Yield what a word may be without its ending, likeliest first: as it is, with y or e restored, undoubled."""
    base = word[: -len(ending)]
    if len(base) < 2:
        return
    if base.endswith("i"):
        yield f"{base[:-1]}y"
    if ending == "s" and base.endswith("ie"):
        yield f"{base[:-2]}y"
    yield base
    if ending == "s" and base.endswith("e"):
        yield base[:-1]
    if ending != "s":
        yield f"{base}e"
        if len(base) > 2 and base[-1] == base[-2] and base[-1] in DOUBLED:
            yield base[:-1]
