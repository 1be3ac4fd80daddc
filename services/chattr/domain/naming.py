"""Which names stand on one line and can be seen."""

from typing import Final

# Not seen themselves: Persian and Indic words are spelt with them, and emoji of several parts are joined by them.
JOINERS: Final = "\u200c\u200d"


def visible(name: str) -> bool:
    """Whether a name breaks no line, and whether, unless it is empty, something of it can be seen."""
    bare = "".join(each for each in name if each not in JOINERS)
    return bare.isprintable() and (not name or bool(bare.strip()))


def printable(text: str) -> str:
    """Replace what cannot stand in a name by spaces; empty where nothing of it can be seen."""
    made = "".join(each if each.isprintable() or each in JOINERS else " " for each in text)
    return made if visible(made) else ""
