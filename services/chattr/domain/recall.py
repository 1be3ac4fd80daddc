"""Which remembered turns answer a question: what bears on it as one sum, and what of that a prompt gets. Pure.

The weights of the sum were learnt from questions with known answers; how, and what it is worth, is told in ADR 0018.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, Protocol

from chattr.domain.memory import Memory, Recalled
from chattr.domain.moments import MONTHS, WEEKDAYS
from chattr.domain.question import Question
from chattr.domain.terms import Stem, plain_words, telling, words

MAX_RECALLED: Final = 5
# Facts stand in a section of their own and are short; its tokens are limited besides (`Budget.facts`).
MAX_FACTS: Final = 6
# A recalled turn in the prompt: a small model reads about 60 tokens a second, so what is long is cut.
MAX_WRITTEN: Final = 280

NEAR: Final = 0.188
NEAR_WITH_TALK: Final = 0.736
SHARED_WORDS: Final = 0.122
ABOUT_THE_SPEAKER: Final = 0.277
NAMES_A_TIME: Final = 0.061
NAMES_THE_TIME: Final = 0.167
AT_THE_TIME: Final = 0.448
LENGTH: Final = 0.05
ASKS: Final = -0.087
# Below this, and without shared words, a memory has little more in common with the question than the language.
UNRELATED: Final = 0.15
# What bears on a question less than this share of what bears on it most is noise beside it.
SHARE_OF_BEST: Final = 0.3

OF_TIME: Final = """
yesterday today tomorrow tonight ago last next recently
day days week weeks weekend weekends month months year years
"""
# "May" alone is a verb, or a name.
TIME_WORDS: Final = {*OF_TIME.split(), *WEEKDAYS, *MONTHS, *map(str, range(1900, 2100))} - {"may"}
TELLING_OF_TIME: Final = frozenset(TIME_WORDS | {f"{word}'s" for word in TIME_WORDS})
IN_MAY: Final = re.compile(r"\bin may\b", re.IGNORECASE)


class Found(Protocol):
    """What the index says of a memory; None where a way of searching missed it."""

    @property
    def memory(self) -> Memory:
        """The memory itself."""
        ...

    @property
    def near(self) -> float | None:
        """The cosine of the turn to the question."""
        ...

    @property
    def near_with_talk(self) -> float | None:
        """The cosine of the turn together with the talk around it."""
        ...

    @property
    def sharing(self) -> float | None:
        """The weights of the terms that turn and talk share with the question, summed."""
        ...


def ranked(found: Iterable[Found], question: Question) -> list[Recalled]:
    """Weigh what was found and return the best first, newer ones before older."""
    candidates = list(found)
    # What a way of searching missed is at most as near as the last that it found.
    far = min((one.near for one in candidates if one.near is not None), default=0.0)
    far_with_talk = min((one.near_with_talk for one in candidates if one.near_with_talk is not None), default=0.0)
    per_word = SHARED_WORDS / math.sqrt(max(1, len(question.stems)))
    recalled = [
        Recalled(
            one.memory,
            meaning=NEAR * positive(one.near, far) + NEAR_WITH_TALK * positive(one.near_with_talk, far_with_talk),
            words=per_word * (one.sharing or 0.0),
            speaker=ABOUT_THE_SPEAKER * question.about(one.memory),
            time=timely(one.memory, plain, question),
            form=formed(one.memory, plain),
        )
        for one in candidates
        for plain in (plain_words(one.memory.text),)
    ]
    return sorted(recalled, key=lambda one: (-one.score, -one.memory.created_at, one.memory.id))


def positive(cosine: float | None, far: float) -> float:
    """Return a cosine that is not below 0."""
    return max(0.0, far if cosine is None else cosine)


def timely(memory: Memory, plain: list[str], question: Question) -> float:
    """Weigh when a turn was said, and whether its `plain` words tell of times."""
    names_one = not TELLING_OF_TIME.isdisjoint(plain) or ("may" in plain and IN_MAY.search(memory.text))
    telling_of_time = NAMES_A_TIME + NAMES_THE_TIME * question.when if names_one else 0.0
    return telling_of_time + AT_THE_TIME * question.timely(memory)


def formed(memory: Memory, plain: list[str]) -> float:
    """Weigh how a turn is made: one of many `plain` words tells more, one that asks tells less."""
    return LENGTH * math.log1p(len(telling(plain))) + ASKS * memory.text.rstrip().endswith("?")


def chosen(recalled: Sequence[Recalled], question: str, stem: Stem, *, limit: int = MAX_RECALLED) -> list[Recalled]:
    """Choose what the prompt gets, of `recalled` and in its order, the best first.

    Left out: what says the same as a better one or only repeats the question, and what is noise beside the best. One
    place is kept for the best by meaning alone.
    """
    telling_ones = relevant(recalled)
    said = {key_of(question, stem)}
    kept = list(islice(distinct(telling_ones, said, stem), limit - 1))
    rest = sorted((one for one in telling_ones if one not in kept), key=lambda one: -one.meaning)
    return kept + list(islice(distinct(rest, said, stem), 1))


def relevant(recalled: Sequence[Recalled]) -> list[Recalled]:
    """Return what bears on the question, and is no noise beside what bears on it most."""
    floor = SHARE_OF_BEST * max((one.bearing for one in recalled), default=0.0)
    return [one for one in recalled if (one.meaning >= UNRELATED or one.words > 0) and one.bearing >= floor]


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
    """Write a memory as the prompt takes it, with its day; to the character, who reads it, it was "you"."""
    day = datetime.fromtimestamp(memory.created_at, UTC).date().isoformat()
    if memory.kind == "fact":
        return f"since {day}: {shortened(memory.text)}"
    speaker = "user" if memory.role == "user" else "you"
    return f'{day}, {speaker}: "{shortened(memory.text)}"'


def shortened(text: str) -> str:
    """Cut a long turn at a word's end, on one line."""
    flat = " ".join(text.split())
    if len(flat) <= MAX_WRITTEN:
        return flat
    return flat[:MAX_WRITTEN].rsplit(" ", 1)[0] + " …"
