"""Cutting a text where a speaker would breathe: a short first piece, so that it sounds early, then sentences."""

import re
from collections.abc import Iterator
from typing import Final

# The end of a sentence: its mark, what closes after it, and a space, which Chinese and Japanese do without; or a line's
# end. A run of marks is looked at once.
SENTENCE_END: Final = re.compile(
    r"(?:(?<![.!?…])[.!?…]+[\"')\]”’]*(?=\s)|(?<![。！？])[。！？]+[\"')\]”’」』）]*|\n)\s*"
)
CLAUSE_END: Final = re.compile(r"(?:[,;:—]+[\"')\]”’]*(?=\s)|[、，；：]+[」』）]*)\s*")
BEFORE_CONJUNCTION: Final = re.compile(r"\s+(?=(?:and|but|because|which|while|when|where|who|so|or|then|if|that)\s)")

WHOLE: Final = 40
FIRST: Final = 60
MOST: Final = 180
LEAST: Final = 12
# About two minutes of speech: so much of a text is looked at in one go, however long it is.
STRETCH: Final = 2000


def stretches(text: str, most: int = STRETCH) -> Iterator[str]:
    """Cut a long text into parts of at most `most` characters: at a line's end, else a sentence's, else a space.

    What is done to a part takes as long whatever follows it, so that a chapter is heard as soon as a sentence.
    """
    begin = 0
    while begin < len(text):
        window = text[begin : begin + most]
        cut = len(window) if begin + most >= len(text) else place_to_cut(window)
        begin += cut
        if part := window[:cut].strip():
            yield part


def place_to_cut(window: str) -> int:
    """Return how much of a part to keep, whatever follows it."""
    line = window.rfind("\n") + 1
    if line > len(window) // 2:
        return line
    ends = [match.end() for match in SENTENCE_END.finditer(window)]
    return ends[-1] if ends else window.rfind(" ") + 1 or len(window)


def clauses(text: str, *, first: int = FIRST, most: int = MOST, least: int = LEAST) -> Iterator[str]:
    """Cut a text into pieces of at most `most` characters at the ends of sentences, else of clauses, else of words.

    They are cut as they are wanted.

    A first sentence of more than `WHOLE` characters is cut once more, at a place within its `first` characters where
    it has one. Very short sentences, under `least` characters, are joined with the next. No letter is lost: only white
    space around a cut is.
    """
    for number, sentence in enumerate(each for stretch in stretches(text) for each in sentences(stretch, least)):
        head, rest = "", sentence
        if number == 0 and len(sentence) > WHOLE:
            head, rest = early_cut(sentence, first, least)
        if head:
            yield head
        yield from shortened(rest, most)


def sentences(text: str, least: int) -> Iterator[str]:
    """Yield the sentences of a text; short ones together with what follows them."""
    held = ""
    for sentence in cut_after(SENTENCE_END, text):
        held = f"{held} {sentence}" if held else sentence
        if len(held) >= least:
            yield held
            held = ""
    if held:
        yield held


def cut_after(end: re.Pattern[str], text: str) -> Iterator[str]:
    """Yield the non-empty parts of a text, cut after each match of `end`."""
    begin = 0
    for match in end.finditer(text):
        if part := text[begin : match.end()].strip():
            yield part
        begin = match.end()
    if part := text[begin:].strip():
        yield part


def early_cut(sentence: str, first: int, least: int) -> tuple[str, str]:
    """Cut a short first piece off a long sentence; it is empty when there is no good place."""
    for end in (CLAUSE_END, BEFORE_CONJUNCTION):
        places = [match.end() for match in end.finditer(sentence) if least <= match.start() <= first]
        if places and sentence[places[0] :].strip():
            return sentence[: places[0]].strip(), sentence[places[0] :].strip()
    return "", sentence


def shortened(sentence: str, most: int) -> Iterator[str]:
    """Yield a sentence in parts of at most `most` characters: cut at clauses, else at spaces, else in a word."""
    rest = sentence.strip()
    while len(rest) > most:
        window = rest[: most + 1]
        ends = [match.end() for match in CLAUSE_END.finditer(window) if match.end() <= most]
        cut = ends[-1] if ends and ends[-1] > most // 4 else window.rfind(" ")
        if cut <= 0:
            cut = most
        if part := rest[:cut].strip():
            yield part
        rest = rest[cut:].strip()
    if rest:
        yield rest
