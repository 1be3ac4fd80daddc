"""Regular expressions that strangers wrote: each within a time, all of them within another.

`regex` stops a search that takes too long, which the standard library's `re` cannot. It does not stop a compilation,
where each counted repetition is written out: `((a{1000}){1000}){1000}` would take hours. What would be written out too
long is refused before. A pattern that is refused, not valid or too slow is not found, and that is told.
"""

import importlib
import re
import time
from collections.abc import Callable
from typing import Any, Final

MOST_PATTERN: Final = 500
MOST_GROUPS: Final = 50
MOST_WRITTEN_OUT: Final = 20_000
"""Characters of a pattern, repetitions written out: 40 ms."""
MOST_SEARCHED: Final = 20_000
"""The last characters of what was said."""
SEARCH_SECONDS: Final = 0.02
"""Of one search; it is noticed within 0.05 s more."""
ALL_SECONDS: Final = 0.2
"""Of all compilations and searches for one prompt."""

FLAGGED: Final = re.compile(r"/((?:[^/\\]|\\.)+)/([a-z]*)", re.DOTALL)
REPETITION: Final = re.compile(r"\{([0-9]*)(?:,([0-9]*))?\}")
KNOWN_FLAGS: Final = {"i": "I", "m": "M", "s": "S", "g": None, "u": None, "y": None}

NOT_VALID: Final = "pattern {number} is not valid"
TOO_LARGE: Final = "pattern {number} is too long, or repeats too much"
TOO_SLOW: Final = "pattern {number} takes too long"
NO_TIME: Final = "the patterns before it took all the time that there is"
NO_ENGINE: Final = "patterns need the package `regex`: pip install 'chatacter[chattr]'"

Clock = Callable[[], float]


def flagged(key: str) -> tuple[str, str] | None:
    """Return pattern and flags of a key that is written `/…/flags`; None for any other."""
    found = FLAGGED.fullmatch(key)
    return (found[1].replace("\\/", "/"), found[2]) if found and set(found[2]) <= set(KNOWN_FLAGS) else None


class Patterns:
    """Searches for one prompt, until the time is used up."""

    def __init__(self, clock: Clock = time.perf_counter, seconds: float = ALL_SECONDS) -> None:
        self._clock = clock
        self._left = seconds
        self._engine: Any = None
        self._compiled: dict[tuple[str, bool], Any] = {}

    def found(self, key: str, text: str, number: int, *, case_sensitive: bool) -> bool | str:
        """Say whether a pattern is found; or why that cannot be said. Flags of its own go before `case_sensitive`."""
        if self._left <= 0:
            return NO_TIME
        self._engine = self._engine or engine()
        began = self._clock()
        try:
            return self._searched(key, text[-MOST_SEARCHED:], number, case_sensitive=case_sensitive)
        finally:
            self._left -= self._clock() - began

    def _searched(self, key: str, text: str, number: int, *, case_sensitive: bool) -> bool | str:
        place = (key, case_sensitive)
        if place not in self._compiled:
            self._compiled[place] = compiled(self._engine, key, number, case_sensitive=case_sensitive)
        pattern = self._compiled[place]
        if isinstance(pattern, str):
            return pattern
        try:
            return pattern.search(text, timeout=SEARCH_SECONDS, concurrent=True) is not None
        except TimeoutError:
            reason = self._compiled[place] = TOO_SLOW.format(number=number)
        except MemoryError:
            reason = self._compiled[place] = TOO_LARGE.format(number=number)
        return str(reason)


def engine() -> Any:
    """Load `regex`. Few books have patterns, and it takes longer to load than a prompt to assemble."""
    try:
        return importlib.import_module("regex")
    except ModuleNotFoundError:
        return None


def compiled(engine: Any, key: str, number: int, *, case_sensitive: bool) -> Any:
    """Compile a pattern; a sentence where it cannot be."""
    found = flagged(key)
    pattern, flags = found or (key, "" if case_sensitive else "i")
    if engine is None:
        return NO_ENGINE
    if too_large(pattern):
        return TOO_LARGE.format(number=number)
    chosen = [getattr(engine, name) for each in flags if (name := KNOWN_FLAGS[each])]
    try:
        return engine.compile(pattern, sum(set(chosen)))
    except (engine.error, ValueError, OverflowError, RecursionError, IndexError, KeyError, TypeError):
        return NOT_VALID.format(number=number)


def too_large(pattern: str) -> bool:
    """Whether a pattern is too much to compile, were all its repetitions within each other."""
    if not 0 < len(pattern) <= MOST_PATTERN or pattern.count("(") > MOST_GROUPS:
        return True
    size = len(pattern)
    for repetition in REPETITION.finditer(pattern):
        size *= max([1, *(int(count[:9]) for count in repetition.groups() if count)])
    return size > MOST_WRITTEN_OUT
