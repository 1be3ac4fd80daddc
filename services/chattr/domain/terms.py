"""Words as weighted terms: what of a text an index of words holds, and what of a question it is asked. Pure."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

# BM25's parameters (Robertson and Zaragoza 2009), for a turn together with the turns around it, each by its weight.
K1: Final = 1.2
B: Final = 0.3
USUAL_LENGTH: Final = 32.0

Stem = Callable[[str], str]
WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# The same of a text in lower case without other signs, in half the time: most are, and 200 are read for a question.
ASCII_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
STOP_WORDS_TEXT: Final = """
a about after again all also am an and any are as at be because been before being but by can could did do does
doing don't for from get got had has have having he her here hers him his how i i'd i'll i'm i've if in into
is it it's its just know let like may me might mine more most much my no not now of off oh ok okay on once one
only or our ours out over own please really she should so some such tell than that that's the their theirs
them then there these they this those through to too up us very was we well were what what's when where which
while who whom whose why will with would yes you you're your yours
"""
STOP_WORDS: Final = frozenset(STOP_WORDS_TEXT.split())


def plain_words(text: str) -> list[str]:
    """Return all words, in lower case, with straight apostrophes."""
    if text.isascii():
        return ASCII_WORD.findall(text.lower())
    return [word.lower().replace("’", "'") for word in WORD.findall(text)]


def telling(plain: list[str]) -> list[str]:
    """Return those of the plain words that carry meaning; all of them where none does."""
    return [word for word in plain if word not in STOP_WORDS] or plain


def words(text: str, stem: Stem) -> list[str]:
    """Return the stems of the words that carry meaning; all of them where none does."""
    return [stem(word.removesuffix("'s")) for word in telling(plain_words(text))]


def term_id(word: str) -> int:
    """Number a word: the same 32 bits on every machine."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")


def weighted_terms(texts: Iterable[tuple[str, float]], stem: Stem) -> dict[int, float]:
    """Weigh the terms of a turn and of what was said around it: BM25 without the IDF, which the engine applies.

    `texts`: each with how much its words count; 1 for the turn itself.
    """
    counts: Counter[str] = Counter()
    for text, weight in texts:
        for word in words(text, stem):
            counts[word] += weight  # type: ignore[assignment]  # a Counter adds any numbers
    norm = K1 * (1 - B + B * sum(counts.values()) / USUAL_LENGTH)
    return summed((term_id(word), count * (K1 + 1) / (count + norm)) for word, count in counts.items())


def query_terms(stems: Sequence[str]) -> dict[int, float]:
    """Weigh the terms of a question: each counts once."""
    return dict.fromkeys((term_id(word) for word in stems), 1.0)


def summed(weights: Iterable[tuple[int, float]]) -> dict[int, float]:
    """Add up the weights of equal terms: two words may share an id."""
    total: dict[int, float] = {}
    for term, weight in weights:
        total[term] = total.get(term, 0.0) + weight
    return total
