"""Looks for an entry's keys in what was said, at this moment and at earlier ones."""

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from chattr.domain.lorebook.patterns import Clock, Patterns, flagged
from chattr.domain.lorebook.rules import Rule
from chattr.domain.macros import Names, expanded

MOST_LOOKED_BACK: Final = 200
"""Earlier replies for which it is asked whether an entry was told."""
MOST_SEARCHED: Final = 40_000
"""The last characters of what was said and is told."""
UNSEEN: Final = re.compile(r"\{\{\s*(?://|comment\s*:|hidden_key\s*:)[^{}]*\}\}", re.IGNORECASE)
"""What a person or a greeting says in comments; of what is told, they are gone already."""
WORD: Final = re.compile(r"\w")

Place = tuple[int, int, bool, bool]
"""How many messages up to which, whether folded, whether with what is told."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message as lorebooks see it."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a conversation is: what was said, the new message last, and what else decides."""

    said: Sequence[Said]
    names: Names
    greeting: int | None = None
    """Which of the character's greetings began it; None: none, or nobody knows."""
    full: bool = False
    """Whether more was said than the model takes."""


@dataclass(slots=True)
class Looking:
    """One look at a moment. Remembers texts that were prepared, and why keys could not be looked for."""

    moment: Moment
    patterns: Patterns
    clock: Clock = time.perf_counter
    ends: float = math.inf
    """By the clock; looking back ends then."""
    told: list[str] = field(default_factory=list)
    """What can be recalled to the entries that see it, in the order of telling."""
    failed: dict[tuple[int, int], str] = field(default_factory=dict)
    _texts: dict[Place, str] = field(default_factory=dict)
    _earlier: tuple[Place, str] | None = None
    _replies: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Count replies once."""
        self._replies = [index for index, one in enumerate(self.moment.said) if one.role == "assistant"]

    def reason(self, rule: Rule) -> str | None:
        """Say why an entry is told now; None where it is not. Source: V3, "Decorators"."""
        orders = rule.orders
        if orders.activate:
            return "@@activate"
        if rule.settled:
            return "constant"
        if orders.dont_activate:
            return None
        if orders.keep_activate_after_match and self._matched_before(rule):
            return "@@keep_activate_after_match"
        if orders.dont_activate_after_match and self._matched_before(rule):
            return None
        return self._matched(rule, len(self.moment.said), len(self._replies), again=bool(self.told))

    def _matched_before(self, rule: Rule) -> bool:
        """Whether an entry matched at one of the replies of this branch."""
        earlier = self._replies[-MOST_LOOKED_BACK:]
        before = len(self._replies) - len(earlier)
        return any(
            self._matched(rule, end, before + count, again=False) is not None
            for count, end in enumerate(earlier)
            if end > 0 and self.clock() <= self.ends
        )

    def _matched(self, rule: Rule, end: int, replies: int, *, again: bool) -> str | None:
        orders = rule.orders
        if orders.activate_only_after is not None and replies < orders.activate_only_after:
            return None
        if orders.activate_only_every is not None and replies % orders.activate_only_every:
            return None
        greeting = self.moment.greeting
        if orders.is_greeting is not None and greeting is not None and greeting != orders.is_greeting:
            return None
        if rule.waits_for_told and not again:
            return None
        return self._keyed(rule, end)

    def _keyed(self, rule: Rule, end: int) -> str | None:
        found = "constant" if rule.constant else self._any(rule, rule.entry.keys, end)
        if found is None:
            return None
        for others in rule.orders.additional_keys:
            if self._any(rule, others, end) is None:
                return None
        if not rule.regex and self._any(rule, rule.orders.exclude_keys, end) is not None:
            return None
        return found if rule.constant or self._selected(rule, end) else None

    def _selected(self, rule: Rule, end: int) -> bool:
        """Whether the secondary keys allow it. Source of the logics: SillyTavern's world info."""
        if not rule.secondary:
            return True
        hits = (self._any(rule, (key,), end) is not None for key in rule.secondary)
        if rule.logic == "any":
            return any(hits)
        if rule.logic == "all":
            return all(hits)
        return not any(hits) if rule.logic == "none" else not all(hits)

    def _any(self, rule: Rule, keys: Sequence[str], end: int) -> str | None:
        """Return the first key that is found."""
        for number, key in enumerate(keys, 1):
            if self._has(rule, key, number, end):
                return key
        return None

    def _has(self, rule: Rule, key: str, number: int, end: int) -> bool:
        bare = expanded(key, self.moment.names, "key", purpose="keys").strip()
        if not bare:
            return False
        if rule.regex or flagged(bare):
            text = self._text(rule, end, folded=False)
            found = self.patterns.found(bare, text, number, case_sensitive=rule.case_sensitive)
            if isinstance(found, str):
                self.failed.setdefault((rule.shelf, rule.index), found)
                return False
            return found
        folded = not rule.case_sensitive
        text, key = self._text(rule, end, folded=folded), bare.casefold() if folded else bare
        return has_words(text, key) if rule.whole_words else key in text

    def _text(self, rule: Rule, end: int, *, folded: bool) -> str:
        """Return what is looked through: the last messages, and what is told where that counts."""
        now = end == len(self.moment.said)
        place = (rule.scan_depth, end, folded, now and rule.sees_told)
        if now:
            if place not in self._texts:
                self._texts[place] = self._prepared(place)
            return self._texts[place]
        if self._earlier is None or self._earlier[0] != place:  # All of them would take a lot of memory.
            self._earlier = (place, self._prepared(place))
        return self._earlier[1]

    def _prepared(self, place: Place) -> str:
        depth, end, folded, with_told = place
        said = self.moment.said[max(0, end - depth) : end]
        texts = [*(one.text for one in said), *(self.told if with_told else ())]
        text = UNSEEN.sub("", "\n".join(reversed(list(last(texts)))))
        return text.casefold() if folded else text

    def tell(self, contents: Sequence[str]) -> None:
        """Let entries see what others tell."""
        self.told += contents
        self._texts = {place: text for place, text in self._texts.items() if not place[3]}


def last(texts: Sequence[str]) -> Iterator[str]:
    """Yield texts from the last one on, as far as they are looked through."""
    left = MOST_SEARCHED
    for text in reversed(texts):
        if left <= 0:
            return
        yield text[-left:]
        left -= len(text)


def has_words(text: str, key: str) -> bool:
    """Whether a key stands in a text as words of their own: letters that go on before or behind it make it another."""
    before = r"(?<!\w)" if WORD.match(key[0]) else ""
    behind = r"(?!\w)" if WORD.match(key[-1]) else ""
    return re.search(f"{before}{re.escape(key)}{behind}", text) is not None
