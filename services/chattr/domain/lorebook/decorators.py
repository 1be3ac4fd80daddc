"""The `@@` lines above an entry's text. Source: Character Card V3, "Decorators".

One that is not known, has no valid value or has no meaning in a chat is passed over for its fallback, the `@@@` line
below it, and that one for the next. `instruct_depth`, `reverse_instruct_depth` and `instruct_scan_depth` are for
prompts that are no chat; of `reverse_depth` the specification says the same and also that it counts messages, which a
chat has: it is obeyed. There are no icons of users here (`is_user_icon`) and no prompts of a user's own to switch off
(`disable_ui_prompt`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MARK: Final = "@@"
FALLBACK: Final = "@@@"
REPEATED: Final = "additional_keys"
POSITIONS: Final = ("before_desc", "after_desc", "personality", "scenario")
ROLES: Final = ("system", "user", "assistant")
MOST_NUMBER: Final = 1_000_000
MOST_LINES: Final = 64
"""That are read as decorators; a longer list is cut."""

PASSED_OVER: Final = "decorator {name!r} is not known here, or its value is not valid"


@dataclass(frozen=True, slots=True)
class Decorator:
    """One line: `@@name value`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Orders:
    """What the decorators of an entry ask for, as far as it can be done in a chat."""

    activate_only_after: int | None = None
    activate_only_every: int | None = None
    keep_activate_after_match: bool = False
    dont_activate_after_match: bool = False
    depth: int | None = None
    reverse_depth: int | None = None
    role: str | None = None
    scan_depth: int | None = None
    is_greeting: int | None = None
    position: str | None = None
    ignore_on_max_context: bool = False
    additional_keys: tuple[tuple[str, ...], ...] = ()
    exclude_keys: tuple[str, ...] = ()
    activate: bool = False
    dont_activate: bool = False
    told: tuple[str, ...] = ()
    """What was passed over, a sentence each."""


def split(content: str) -> tuple[list[str], str]:
    """Return the decorators' lines at the top, and the text without them and the empty lines around them."""
    lines = content.split("\n")
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if not lines[first].startswith(MARK):
        return [], content
    rest = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith(MARK)), len(lines))
    return [line for line in lines[first:rest] if line.strip()], "\n".join(lines[rest:])


def without_decorators(content: str) -> str:
    """Return an entry's text alone."""
    return split(content)[1]


def orders_of(content: str) -> Orders:
    """Read what the decorators ask for. Of several with one name the first counts, but for `additional_keys`."""
    found: dict[str, Any] = {}
    told: list[str] = []
    for chain in chains(split(content)[0][:MOST_LINES]):
        for decorator in chain:
            value = valued(decorator)
            if value is None:
                told.append(PASSED_OVER.format(name=decorator.name[:40]))
                continue
            if decorator.name == REPEATED:
                found[REPEATED] = (*found.get(REPEATED, ()), value)
            else:
                found.setdefault(decorator.name, value)
            break
    return Orders(**found, told=tuple(told))


def chains(lines: list[str]) -> Iterator[list[Decorator]]:
    """Yield each decorator with its fallbacks; a fallback of nothing is nothing."""
    chain: list[Decorator] = []
    for line in lines:
        if line.startswith(FALLBACK):
            if chain:
                chain.append(decorator_of(line.removeprefix(FALLBACK)))
            continue
        if chain:
            yield chain
        chain = [decorator_of(line.removeprefix(MARK))]
    if chain:
        yield chain


def decorator_of(line: str) -> Decorator:
    """Read a line without its marks."""
    name, _, value = line.strip().partition(" ")
    return Decorator(name, value.strip())


def valued(decorator: Decorator) -> Any:
    """Return what a decorator says; None where it is not known, or says nothing that is valid."""
    read = KNOWN.get(decorator.name)
    return read(decorator.value) if read else None


def number(value: str) -> int | None:
    """Read a whole number; a depth below zero counts as zero."""
    try:
        found = float(value)
    except ValueError:
        return None
    return max(0, int(found)) if abs(found) <= MOST_NUMBER else None  # NaN is not


def counted(value: str) -> int | None:
    """Read a number that one can divide by."""
    return number(value) or None


def strings(value: str) -> tuple[str, ...] | None:
    """Read values that commas separate; empty ones are none."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) or None


def flag(_: str) -> bool:
    """Read a decorator that says all by being there."""
    return True


def one_of(known: tuple[str, ...]) -> Callable[[str], str | None]:
    """Read one of some words."""
    return lambda value: value if value in known else None


KNOWN: Final[Mapping[str, Callable[[str], Any]]] = {
    "activate_only_after": number,
    "activate_only_every": counted,
    "keep_activate_after_match": flag,
    "dont_activate_after_match": flag,
    "depth": number,
    "reverse_depth": number,
    "role": one_of(ROLES),
    "scan_depth": number,
    "is_greeting": number,
    "position": one_of(POSITIONS),
    "ignore_on_max_context": flag,
    "additional_keys": strings,
    "exclude_keys": strings,
    "activate": flag,
    "dont_activate": flag,
}
