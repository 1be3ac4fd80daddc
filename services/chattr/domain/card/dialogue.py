"""Example dialogue: a card's text with `<START>` marks, and a character's pairs of what is said and answered."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

START: Final = re.compile(r"^[ \t]*+<START>[ \t]*+$", re.IGNORECASE | re.MULTILINE)
# Possessive, so that a line of nothing but spaces is read once.
SPEAKER: Final = re.compile(r"^[ \t]*+([^:\s][^:\n]{0,119}):[ \t]?", re.MULTILINE)
ENOUGH: Final = 16_000
"""Of one side's words: what goes on longer is cut anyway, and joining it all would take its length squared."""
USER: Final = frozenset({"{{user}}", "<user>"})
CHARACTER: Final = frozenset({"{{char}}", "<bot>", "<char>"})


def pairs(text: str, *names: str) -> Iterator[tuple[str, str]]:
    """Yield each exchange that begins with the person and ends with the character. The rest is left to the card."""
    own = CHARACTER | {name.casefold() for name in names if name}
    for part in START.split(text):
        asked = ""
        for by_user, said in turns(part, own):
            if by_user:
                asked = f"{asked}\n{said}".strip() if len(asked) < ENOUGH else asked
            elif asked:
                if said:
                    yield asked, said
                asked = ""


def turns(text: str, own: frozenset[str]) -> Iterator[tuple[bool, str]]:
    """Yield who speaks, and what; a line that names nobody goes on with the last one."""
    marks = [(found, found[1].strip().casefold()) for found in SPEAKER.finditer(text)]
    marks = [(found, name) for found, name in marks if name in USER or name in own]
    ends = [*(found.start() for found, _ in marks[1:]), len(text)]
    for (found, name), end in zip(marks, ends, strict=False):
        yield name in USER, text[found.end() : end].strip()


def write(examples: Iterable[tuple[str, str]]) -> str:
    """Write pairs as a card has them."""
    return "\n".join(f"<START>\n{{{{user}}}}: {user}\n{{{{char}}}}: {answer}" for user, answer in examples)
