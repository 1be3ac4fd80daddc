"""Text that is still being written, cut into what can be spoken already."""

import re
from typing import Final

from chatacter.contracts.directions import bracketed, script

# An end of a sentence: marks, closing quotes or brackets, then a space. Ideographic marks need no space.
END: Final = re.compile(r"""([.!?…]+["'”’)\]*_]*)(?=\s)|([。！？]+)|(\n+)""")
NOT_AN_END: Final = re.compile(
    r"(?:^|[\s(\"'“])(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|No|vs|etc|e\.g|i\.e|cf|approx|Capt|Lt|Gen|Col|[A-Z])\.$"
    r"|(?:^|\n)\s*\d+\.$"
)
MARKUP: Final = re.compile(r"[*_`#>]+")
# Where a sentence may be cut once more: after a clause's mark, or before a conjunction.
CLAUSE_END: Final = re.compile(r"[,;:—–](?=\s)")
CONJUNCTION: Final = re.compile(r"\s(?=(?:and|but|because|which|while|when|where|who|so|or|then|if|that)\s)")
# What may be a stage direction, to its end or to where it is written yet.
BRACKET: Final = re.compile(
    r"(?=((?<!\w)\[[^\[\]\n]{1,160}(?:\]|\Z)"
    r"|(?<![*\w])\*(?=[^\s*])[^*\n]{1,160}(?:\*|\Z)"
    r"|\((?=\S)[^()\n]{1,160}(?:\)|\Z)))"
)
CLOSED_BY: Final = {"[": "]", "*": "*", "(": ")"}
LONGEST_BRACKET: Final = 162
# Characters of a first piece that is worth saying by itself.
SHORTEST_CLAUSE: Final = 16
SHORTEST_PART: Final = 24
# A later sentence is cut at a clause after so many: whoever listens should not have heard all before more is made.
LONG_CLAUSE: Final = 80


def speakable(text: str, after: str = "") -> str:
    """Take out stage directions and markup that would be read aloud, and fold spaces. `after`: what was said before."""
    return plain(script(text, after).spoken)


def filmable(text: str, most: int) -> str:
    """Write what is said and acted as a film is ordered, of `most` characters; empty where nothing is said in it."""
    text = plain(bracketed(text))
    cut = text[:most]
    opened = cut.rfind("[", max(0, most - LONGEST_BRACKET))
    if len(text) > most and opened > cut.rfind("]"):
        cut = cut[:opened]
    return cut.rstrip() if has_words(script(cut).spoken) else ""


def plain(text: str) -> str:
    """Take out markup, and fold spaces."""
    return " ".join(MARKUP.sub(" ", text).split())


class Sentences:
    """Cuts a stream of text into sentences.

    The first piece may be a part of a sentence: a voice that begins early is worth more than a whole first sentence.
    """

    def __init__(self) -> None:
        self._text = ""
        self._said = ""
        self._begun = False

    def feed(self, text: str) -> list[str]:
        """Add text; return the pieces that are complete by now."""
        self._text += text
        found = []
        while (piece := self._cut()) is not None:
            if piece:
                found.append(piece)
                self._begun = True
        return found

    def finish(self) -> list[str]:
        """Return what is left."""
        rest, self._text = speakable(self._text, self._said), ""
        return [rest] if has_words(rest) else []

    def _cut(self) -> str | None:
        """Take the first complete piece off the front; empty where there is nothing to say in it, None if none is."""
        closed = self._brackets()
        shortest = LONG_CLAUSE if self._begun else SHORTEST_CLAUSE
        marks = [(END, self._ends), (CLAUSE_END, shortest.__le__)]
        if not self._begun:
            marks.append((CONJUNCTION, SHORTEST_PART.__le__))
        ends = []
        for mark, wanted in marks:
            places = (found.end() for found in mark.finditer(self._text))
            whole = (at for at in places if not any(start < at < end for start, end in closed))
            ends += [at for at in whole if wanted(at)][:1]
        if not ends:
            return None
        end = min(ends)
        taken, self._text = self._text[:end], self._text[end:]
        piece, self._said = speakable(taken, self._said), taken
        return piece if has_words(piece) else ""

    def _brackets(self) -> list[tuple[int, int]]:
        """Find from where to where nothing may be cut; beyond the end of the text where a bracket is not closed yet."""
        found = [hit.span(1) for hit in BRACKET.finditer(self._text)]
        text = self._text
        return [(at, end if text[end - 1] == CLOSED_BY[text[at]] else len(text) + 1) for at, end in found]

    def _ends(self, end: int) -> bool:
        return NOT_AN_END.search(self._text[:end]) is None


def has_words(text: str) -> bool:
    """Whether there is anything to pronounce."""
    return any(character.isalnum() for character in text)
