"""A long text as passages that can be said one after the other: whole paragraphs where they fit, else sentences."""

import re
from collections.abc import Iterator
from typing import Final

LONGEST: Final = 2000
# Where a text may be parted, the best first: paragraphs, sentences, clauses, words.
SEAMS: Final = (
    re.compile(r"\n\s*\n\s*"),
    re.compile(r"(?<=[.!?…])[\"'”’»)]*\s+|(?<=[。！？])"),
    re.compile(r"(?<=[,;:、，；])\s*"),
    re.compile(r"\s+"),
)


def passages(text: str, longest: int = LONGEST) -> Iterator[str]:
    """Part a text into passages of that many characters at most; nothing but the space between them is left out."""
    rest = text.strip()
    while len(rest) > longest:
        end, begin = seam(rest, longest)
        yield rest[:end].rstrip()
        rest = rest[begin:].lstrip()
    if rest:
        yield rest


def seam(text: str, longest: int) -> tuple[int, int]:
    """Say where a passage ends and the next begins: at the last of the best seams, in the middle of a word at worst."""
    for pattern in SEAMS:
        best = (0, 0)
        for found in pattern.finditer(text, 0, longest + 1):
            end = found.start() + len(found[0].rstrip())  # closing quotation marks belong to what they close
            best = (end, found.end()) if end <= longest else best
        if best[0] > longest // 4:
            return best
    return longest, longest
