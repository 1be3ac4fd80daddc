"""What an entry asks for, in one shape, whoever wrote it: V2 and V3 fields, decorators, SillyTavern's extensions."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from chattr.domain.lorebook.book import Entry, Lorebook
from chattr.domain.lorebook.decorators import Orders, orders_of, without_decorators

DEFAULT_SCAN_DEPTH: Final = 4
MOST_SCAN_DEPTH: Final = 1_000
AT_DEPTH: Final = 4
DEFAULT_DEPTH: Final = 4

BACKWARD: Final = re.compile(
    r"@@@?(?:activate_only_after|activate_only_every|keep_activate_after_match|dont_activate_after_match|reverse_depth)\b"
)

Position = Literal["before_char", "after_char", "before_desc", "after_desc", "personality", "scenario", "depth"]
Role = Literal["system", "user", "assistant"]
Logic = Literal["any", "not_all", "none", "all"]

# SillyTavern's numbers; those of its author's note and of example messages, which are not here, count as `after_char`.
ST_POSITIONS: Final[Mapping[Any, Position]] = {0: "before_char", 1: "after_char", AT_DEPTH: "depth"}
ST_ROLES: Final[Mapping[Any, Role]] = {0: "system", 1: "user", 2: "assistant"}
ST_LOGICS: Final[Mapping[Any, Logic]] = {0: "any", 1: "not_all", 2: "none", 3: "all"}
# By these a card that SillyTavern wrote is known: it says `use_regex` of every entry and means `/…/flags` alone.
ST_MARKS: Final = ("selectiveLogic", "display_index")


@dataclass(frozen=True, slots=True)
class Shelf:
    """A book with where it comes from. `source`: "character", or the id of a shared one."""

    source: str
    book: Lorebook


@dataclass(frozen=True, slots=True)
class Rule:
    """When an entry is told, where, and what goes first when there is no room."""

    shelf: int
    index: int
    label: str
    entry: Entry
    orders: Orders
    content: str
    """Without decorators; macros stand in it."""
    scan_depth: int
    regex: bool
    """Whether all keys are regular expressions; else those written `/…/flags` are, as SillyTavern has it."""
    constant: bool
    secondary: tuple[str, ...]
    logic: Logic
    whole_words: bool
    case_sensitive: bool
    position: Position
    depth: int | None
    """Messages from the newest one, where `position` is "depth"; None where `reverse` counts."""
    reverse: int | None
    """Messages from the oldest one."""
    role: Role
    probability: float
    sees_told: bool
    """Whether what is told may call it up."""
    waits_for_told: bool
    """Whether nothing else may."""
    is_seen: bool
    """Whether it may call up others."""

    @property
    def order(self) -> float:
        """Where it stands among the others."""
        return self.entry.insertion_order

    @property
    def rank(self) -> tuple[bool, bool, float, float]:
        """What is dropped first is lowest: what gives way, then shared books' entries, then by priority and order."""
        priority = self.entry.priority
        return (
            not self.orders.ignore_on_max_context,
            self.shelf == 0,
            self.order if priority is None else priority,
            -self.order,
        )

    @property
    def settled(self) -> bool:
        """Whether it is told in every prompt at the same place, so that it can be read beforehand."""
        orders = self.orders
        forced = orders.activate or (self.constant and not orders.dont_activate)
        bound = (orders.activate_only_after, orders.activate_only_every, orders.is_greeting)
        free = orders.activate or (
            all(each is None for each in bound)
            and not (orders.additional_keys or orders.exclude_keys or orders.dont_activate_after_match)
        )
        always = self.probability >= 100 and not self.waits_for_told and not orders.ignore_on_max_context
        return forced and free and always and self.position != "depth"


@dataclass(frozen=True, slots=True)
class Extensions:
    """SillyTavern's part of an entry; what is not of the kind that it writes counts as absent."""

    found: Mapping[str, Any] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """Return a number."""
        value = self.found.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def flag(self, name: str) -> bool | None:
        """Return whether something is so; a number above zero says yes."""
        value = self.found.get(name)
        return bool(value) if isinstance(value, bool | int | float) else None


def rules_of(shelves: list[Shelf]) -> list[Rule]:
    """Return the rules of all entries that are enabled and have something to tell."""
    made = (
        rule_of(entry, shelf, number, index)
        for number, shelf in enumerate(shelves)
        for index, entry in enumerate(shelf.book.entries)
        if entry.enabled and entry.content
    )
    return [rule for rule in made if rule.content.strip()]


def looks_back(shelves: Iterable[Shelf]) -> bool:
    """Whether an entry asks for all that was said, not the last messages alone."""
    return any(
        BACKWARD.search(entry.content) for shelf in shelves for entry in shelf.book.entries if "@@" in entry.content
    )


def rule_of(entry: Entry, shelf: Shelf, number: int, index: int) -> Rule:
    """Read one entry."""
    orders, beside = orders_of(entry.content), Extensions(entry.extensions)
    foreign = any(mark in entry.extensions for mark in ST_MARKS)
    regex = entry.use_regex and not foreign
    position, depth, reverse = placed(entry, orders, beside)
    role = orders.role or ST_ROLES.get(beside.number("role"), "system")
    sensitive = entry.case_sensitive if entry.case_sensitive is not None else beside.flag("case_sensitive")
    limited = beside.flag("useProbability") is not False
    return Rule(
        shelf=number,
        index=index,
        label=entry.name or entry.comment or f"entry {index + 1}",
        entry=entry,
        orders=orders,
        content=without_decorators(entry.content),
        scan_depth=scan_depth(entry, shelf.book, orders, beside),
        regex=regex,
        constant=bool(entry.constant) and not regex,
        secondary=(entry.secondary_keys or ()) if entry.selective and not regex else (),
        logic=ST_LOGICS.get(beside.number("selectiveLogic"), "any"),
        whole_words=bool(beside.flag("match_whole_words")),
        case_sensitive=bool(sensitive),
        position=position,
        depth=depth,
        reverse=reverse,
        role=role,  # type: ignore[arg-type]  # one of `decorators.ROLES`
        probability=chance if limited and (chance := beside.number("probability")) is not None else 100.0,
        sees_told=bool(shelf.book.recursive_scanning) and not beside.flag("exclude_recursion"),
        waits_for_told=bool(shelf.book.recursive_scanning) and bool(beside.flag("delay_until_recursion")),
        is_seen=not beside.flag("prevent_recursion"),
    )


def placed(entry: Entry, orders: Orders, beside: Extensions) -> tuple[Position, int | None, int | None]:
    """Say where an entry stands: by decorator, by SillyTavern's number, by its field."""
    if orders.position is not None:
        return orders.position, None, None  # type: ignore[return-value]  # one of `decorators.POSITIONS`
    if orders.depth is not None:
        return "depth", orders.depth, None
    if orders.reverse_depth is not None:
        return "depth", None, orders.reverse_depth
    number = beside.number("position")
    position = ST_POSITIONS.get(number, "after_char") if number is not None else entry.position or "after_char"
    if position != "depth":
        return position, None, None
    depth = beside.number("depth")
    return "depth", DEFAULT_DEPTH if depth is None else bounded(depth, MOST_SCAN_DEPTH), None


def scan_depth(entry: Entry, book: Lorebook, orders: Orders, beside: Extensions) -> int:
    """Say how many messages are looked through: the decorator's, SillyTavern's, the book's, ours."""
    wanted = (orders.scan_depth, beside.number("scan_depth"), book.scan_depth, DEFAULT_SCAN_DEPTH)
    return bounded(next(each for each in wanted if each is not None), MOST_SCAN_DEPTH)


def bounded(value: float, most: int) -> int:
    """Return a number as a whole one within limits."""
    return int(max(0, min(most, value)))
