"""Which remembered turns reach a prompt: words as weighted terms, two scores as one, and the choice. Pure."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, Protocol

from chattr.domain.memory import Memory, Recalled

MAX_RECALLED: Final = 5
# A recalled turn in the prompt: a small model reads about 60 tokens a second, so what is long is cut.
MAX_WRITTEN: Final = 280
# BM25's parameters (Robertson and Zaragoza 2009); a spoken turn has about a dozen words that count.
K1: Final = 1.2
B: Final = 0.5
USUAL_LENGTH: Final = 12.0
# Shared words against meaning. Of the sums tried on LoCoMo's dialogues, which repeat words, and on our own questions,
# which avoid them, this one did well on both; so did the place kept for the best by meaning alone.
WORDS_WEIGHT: Final = 1.3
# Below this score a memory has little more in common with the question than the language.
UNRELATED: Final = 0.15
# A turn that reaches less than this share of the best one's score is noise beside it.
SHARE_OF_BEST: Final = 0.3

Stem = Callable[[str], str]
WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
STOP_WORDS_TEXT: Final = """
a about after again all also am an and any are as at be because been before being but by can could did do does
doing don't for from get got had has have having he her here hers him his how i i'd i'll i'm i've if in into
is it it's its just know let like may me might mine more most much my no not now of off oh ok okay on once one
only or our ours out over own please really she should so some such tell than that that's the their theirs
them then there these they this those through to too up us very was we well were what what's when where which
while who whom whose why will with would yes you you're your yours
"""
STOP_WORDS: Final = frozenset(STOP_WORDS_TEXT.split())


class Found(Protocol):
    """What the index says of a memory: the cosine and the sum of term weights; None where a way missed it."""

    @property
    def memory(self) -> Memory:
        """The memory itself."""
        ...

    @property
    def dense(self) -> float | None:
        """The cosine to the question."""
        ...

    @property
    def sparse(self) -> float | None:
        """The weights of the shared terms, summed."""
        ...


def words(text: str, stem: Stem) -> list[str]:
    """Return the stems of the words that carry meaning; all of them where none does."""
    plain = [match.group().lower().replace("’", "'") for match in WORD.finditer(text)]
    telling = [word for word in plain if word not in STOP_WORDS] or plain
    return [stem(word.removesuffix("'s")) for word in telling]


def term_id(word: str) -> int:
    """Number a word: the same 32 bits on every machine."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")


def turn_terms(text: str, stem: Stem) -> dict[int, float]:
    """Weigh the terms of a turn: BM25 without the IDF, which the engine applies."""
    stems = words(text, stem)
    norm = K1 * (1 - B + B * len(stems) / USUAL_LENGTH)
    return summed((term_id(word), count * (K1 + 1) / (count + norm)) for word, count in Counter(stems).items())


def query_terms(text: str, stem: Stem) -> dict[int, float]:
    """Weigh the terms of a question: each counts once."""
    return dict.fromkeys((term_id(word) for word in words(text, stem)), 1.0)


def summed(weights: Iterable[tuple[int, float]]) -> dict[int, float]:
    """Add up the weights of equal terms: two words may share an id."""
    total: dict[int, float] = {}
    for term, weight in weights:
        total[term] = total.get(term, 0.0) + weight
    return total


def ranked(found: Iterable[Found], question: str, stem: Stem) -> list[Recalled]:
    """Add both scores and return the best first, newer ones before older.

    Meaning counts by its cosine. Words count as a share of the best by words, and the more of the question's words that
    one has, the more: an engine's sums of rarities mean little from one question to the next.
    """
    candidates = list(found)
    best = max(candidates, key=lambda one: one.sparse or 0.0, default=None)
    per_weight = WORDS_WEIGHT * shared(question, best.memory.text, stem) / best.sparse if best and best.sparse else 0.0
    recalled = [
        Recalled(one.memory, dense=max(0.0, one.dense or 0.0), sparse=per_weight * (one.sparse or 0.0))
        for one in candidates
    ]
    return sorted(recalled, key=lambda one: (-one.score, -one.memory.created_at, one.memory.id))


def shared(question: str, text: str, stem: Stem) -> float:
    """Return the part of the question's words that a text has, 0 to 1."""
    asked = set(words(question, stem))
    return len(asked & set(words(text, stem))) / len(asked) if asked else 0.0


def chosen(recalled: Sequence[Recalled], question: str, stem: Stem, *, limit: int = MAX_RECALLED) -> list[Recalled]:
    """Choose what the prompt gets, of `recalled` and in its order, the best first.

    Left out: what says the same as a better one or only repeats the question, and what is noise beside the best. One
    place is kept for the best by meaning alone.
    """
    floor = max(UNRELATED, SHARE_OF_BEST * recalled[0].score) if recalled else 0.0
    telling = [one for one in recalled if one.score >= floor]
    said = {key_of(question, stem)}
    kept = list(islice(distinct(telling, said, stem), limit - 1))
    rest = sorted((one for one in telling if one not in kept), key=lambda one: -one.dense)
    return kept + list(islice(distinct(rest, said, stem), 1))


def distinct(recalled: Iterable[Recalled], said: set[frozenset[str]], stem: Stem) -> Iterator[Recalled]:
    """Yield what is not in `said` already, and add it there."""
    for one in recalled:
        key = key_of(one.memory.text, stem)
        if key not in said:
            said.add(key)
            yield one


def key_of(text: str, stem: Stem) -> frozenset[str]:
    """Return what two turns share when they say the same in other words' order."""
    return frozenset(words(text, stem))


def line(memory: Memory) -> str:
    """Write a recalled turn as the prompt takes it, with its day; to the character, who reads it, it was "you"."""
    day = datetime.fromtimestamp(memory.created_at, UTC).date().isoformat()
    speaker = "user" if memory.role == "user" else "you"
    return f'{day}, {speaker}: "{shortened(memory.text)}"'


def shortened(text: str) -> str:
    """Cut a long turn at a word's end, on one line."""
    flat = " ".join(text.split())
    if len(flat) <= MAX_WRITTEN:
        return flat
    return flat[:MAX_WRITTEN].rsplit(" ", 1)[0] + " …"
