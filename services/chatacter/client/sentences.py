"""Text that is still being written, cut into what can be spoken already."""

import re
from typing import Final

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
# Characters of a first piece that is worth saying by itself.
SHORTEST_CLAUSE: Final = 16
SHORTEST_PART: Final = 24
# A later sentence is cut at a clause after so many: whoever listens should not have heard all before more is made.
LONG_CLAUSE: Final = 80


def speakable(text: str) -> str:
    """Take out markup that would be read aloud, and fold spaces."""
    return " ".join(MARKUP.sub(" ", text).split())


class Sentences:
    """Cuts a stream of text into sentences.

    The first piece may be a part of a sentence: a voice that begins early is worth more than a whole first sentence.
    """

    def __init__(self) -> None:
        self._text = ""
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
        rest, self._text = speakable(self._text), ""
        return [rest] if has_words(rest) else []

    def _cut(self) -> str | None:
        """Take the first complete piece off the front; empty where there is nothing to say in it, None if none is."""
        ends = [found.end() for found in END.finditer(self._text) if self._ends(found.end())][:1]
        shortest = LONG_CLAUSE if self._begun else SHORTEST_CLAUSE
        ends += [at.end() for at in CLAUSE_END.finditer(self._text) if at.end() >= shortest][:1]
        if not self._begun:
            ends += [at.end() for at in CONJUNCTION.finditer(self._text) if at.end() >= SHORTEST_PART][:1]
        if not ends:
            return None
        end = min(ends)
        piece, self._text = speakable(self._text[:end]), self._text[end:]
        return piece if has_words(piece) else ""

    def _ends(self, end: int) -> bool:
        return NOT_AN_END.search(self._text[:end]) is None


def has_words(text: str) -> bool:
    """Whether there is anything to pronounce."""
    return any(character.isalnum() for character in text)
