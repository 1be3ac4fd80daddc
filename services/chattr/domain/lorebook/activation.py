"""Decides which entries are told, and which of them there is no room for. Pure, but for the clock that bounds it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chattr.domain.lorebook.matching import Looking, Moment
from chattr.domain.lorebook.patterns import Clock, Patterns
from chattr.domain.lorebook.rules import Position, Role, Rule, Shelf, rules_of
from chattr.domain.macros import Names, expanded, varies

MOST_ROUNDS: Final = 8
"""In which what is told may call up more."""
SECONDS: Final = 0.5
"""Of all looking for one prompt."""

OVER_BOOK: Final = "over the lorebook's budget of {most:g} tokens"
OVER_MODEL: Final = "over the {most} tokens that this model has for lore"
FULL: Final = "gives way, since the context is full"
NO_LUCK: Final = "its chance of {percent:g} % did not fall"
NO_TIME: Final = "looking for keys took too long"


@dataclass(frozen=True, slots=True)
class Active:
    """An entry that is told."""

    source: str
    """"character", or the id of a shared lorebook."""
    entry: str
    """Its name, its comment, or its number."""
    content: str
    """What is told, macros replaced."""
    by: str
    """The key that was found, or what else decided."""
    position: Position
    depth: int
    """Messages from the newest one, where `position` is "depth"."""
    role: Role
    tokens: int
    settled: bool
    """Whether it is told in every prompt of the conversation."""
    alike: bool
    """Whether its text is the same in every conversation."""


@dataclass(frozen=True, slots=True)
class Left:
    """An entry that is not told, though somebody may expect it."""

    source: str
    entry: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lore:
    """What is told, in the order of telling, and what is not."""

    active: tuple[Active, ...] = ()
    left: tuple[Left, ...] = ()
    told: tuple[str, ...] = ()
    """What else is to be known of the books."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many tokens there are for what is always told, and for what was said of."""

    settled: int
    called: int
    together: int
    count: Callable[[str], int]


@dataclass(slots=True)
class Choice:
    """Entries that would be told, while it is decided which of them there is room for."""

    shelves: Sequence[Shelf]
    left: list[Left]

    def drop(self, rule: Rule, reason: str) -> None:
        """Leave one out."""
        self.left.append(Left(self.shelves[rule.shelf].source, rule.label, reason))

    def fitting(
        self, found: list[tuple[Rule, Active]], most: float, reason: str, spent: float = 0
    ) -> list[tuple[Rule, Active]]:
        """Return what fits, the lowest dropped first."""
        total = spent + sum(one.tokens for _, one in found)
        dropped: set[tuple[int, int]] = set()
        for rule, one in sorted(found, key=lambda each: each[0].rank):
            if total <= most:
                break
            total -= one.tokens
            dropped.add((rule.shelf, rule.index))
            self.drop(rule, reason.format(most=most))
        return [each for each in found if (each[0].shelf, each[0].index) not in dropped]


def activated(shelves: Sequence[Shelf], moment: Moment, room: Room, *, clock: Clock = time.perf_counter) -> Lore:
    """Say what the books tell at this moment. The first shelf is the character's own and takes precedence.

    What is always told is chosen first and by itself, so that what was said never changes it.
    """
    rules = rules_of(list(shelves))
    if not rules:
        return Lore()
    looking = Looking(moment, Patterns(clock), clock, clock() + SECONDS)
    choice = Choice(shelves, [])
    found = look(rules, looking, choice)
    made = [(rule, active_of(rule, by, shelves, moment, room)) for rule, by in found]
    made = [each for each in made if each[1].content.strip()]
    always = [each for each in made if each[1].settled]
    called = [each for each in made if not each[1].settled]
    kept = choice.fitting(in_books(choice, always), room.settled, OVER_MODEL)
    left = max(0, room.together - sum(one.tokens for _, one in kept))
    kept += choice.fitting(in_books(choice, called, kept), min(room.called, left), OVER_MODEL)
    kept.sort(key=lambda each: (each[0].order, each[0].shelf, each[0].index))
    for rule in rules:
        if reason := looking.failed.get((rule.shelf, rule.index)):
            choice.drop(rule, reason)
    told = tuple(f"{rule.label}: {sentence}" for rule in rules for sentence in rule.orders.told)
    return Lore(tuple(one for _, one in kept), tuple(choice.left), told)


def look(rules: Sequence[Rule], looking: Looking, choice: Choice) -> list[tuple[Rule, str]]:
    """Return what is called up by what was said, and round by round by what is told."""
    found: list[tuple[Rule, str]] = []
    waiting = list(rules)
    for _ in range(MOST_ROUNDS):
        fresh: list[tuple[Rule, str]] = []
        rest: list[Rule] = []
        for rule in waiting:
            if looking.clock() > looking.ends:
                choice.drop(rule, NO_TIME)
            elif (by := looking.reason(rule)) is None:
                rest.append(rule)
            elif (reason := refused(rule, looking.moment)) is not None:
                choice.drop(rule, reason)
            else:
                fresh.append((rule, by))
        found += fresh
        seen = [each for each, _ in fresh if each.is_seen]
        waiting = [rule for rule in rest if rule.sees_told]
        if not waiting or not seen:
            break
        looking.tell([seen_text(rule, looking.moment.names) for rule in seen])
    return found


def refused(rule: Rule, moment: Moment) -> str | None:
    """Say why an entry that was called up is not told all the same."""
    if rule.orders.ignore_on_max_context and moment.full:
        return FULL
    if rule.probability < 100:
        chance = moment.names.chance
        drawn = expanded("{{roll:100}}", Names("", "", chance), f"chance:{rule.shelf}:{rule.index}")
        if int(drawn) > rule.probability:
            return NO_LUCK.format(percent=rule.probability)
    return None


def seen_text(rule: Rule, names: Names) -> str:
    """Return what other entries see of one."""
    return expanded(rule.content, names, f"lore:{rule.shelf}:{rule.index}", purpose="keys")


def active_of(rule: Rule, by: str, shelves: Sequence[Shelf], moment: Moment, room: Room) -> Active:
    """Make what is told of an entry."""
    names = moment.names
    if rule.settled:
        names = replace(names, chance=names.chance.still())
    content = expanded(rule.content, names, f"lore:{rule.shelf}:{rule.index}")
    depth = rule.depth or 0
    if rule.reverse is not None:
        depth = max(0, len(moment.said) - rule.reverse)
    return Active(
        source=shelves[rule.shelf].source,
        entry=rule.label,
        content=content,
        by=by,
        position=rule.position,
        depth=depth,
        role=rule.role,
        tokens=room.count(content),
        settled=rule.settled,
        alike=not varies(rule.content),
    )


def in_books(
    choice: Choice, found: list[tuple[Rule, Active]], before: Sequence[tuple[Rule, Active]] = ()
) -> list[tuple[Rule, Active]]:
    """Return what fits into the budgets of the books, beside what was chosen `before`."""
    kept: list[tuple[Rule, Active]] = []
    for number, shelf in enumerate(choice.shelves):
        own = [each for each in found if each[0].shelf == number]
        most = shelf.book.token_budget
        spent = sum(one.tokens for rule, one in before if rule.shelf == number)
        kept += own if most is None else choice.fitting(own, most, OVER_BOOK, spent)
    return kept
