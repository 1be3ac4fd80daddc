"""Lorebooks and moments of conversations, for tests."""

from collections.abc import Sequence
from typing import Any

from chattr.domain.lorebook.activation import Lore, Room, activated
from chattr.domain.lorebook.book import Lorebook
from chattr.domain.lorebook.matching import Moment, Said
from chattr.domain.lorebook.reading import book_of
from chattr.domain.lorebook.rules import Shelf
from chattr.domain.macros import Chance, Names

NAMES = Names("Rowan", "Ada", Chance("conversation", "prompt"))


def tokens(text: str) -> int:
    """One a word: budgets in tests can be counted by hand."""
    return len(text.split())


def entry(content: str = "It is told.", *keys: str, **fields: Any) -> dict[str, Any]:
    """A V3 entry."""
    blank = {"extensions": {}, "enabled": True, "insertion_order": 0, "use_regex": False}
    return {**blank, "keys": list(keys), "content": content, **fields}


def book(*entries: dict[str, Any], **fields: Any) -> Lorebook:
    """A book of entries, which must be as its specification says."""
    made, warnings = book_of({"extensions": {}, "entries": list(entries), **fields})
    assert warnings == []
    return made


def said(*texts: str) -> list[Said]:
    """A conversation in which a person speaks first and last."""
    return [Said("user" if index % 2 == 0 else "assistant", text) for index, text in enumerate(texts)]


def looked(
    books: Lorebook | Sequence[Lorebook], *texts: str, settled: int = 1000, called: int = 1000, **moment: Any
) -> Lore:
    """What books tell after some texts; the first book is the character's own."""
    shelves = [books] if isinstance(books, Lorebook) else list(books)
    named = [Shelf("character" if not number else f"shared{number}", each) for number, each in enumerate(shelves)]
    moment = {"names": NAMES, **moment}
    return activated(named, Moment(said(*texts), **moment), Room(settled, called, 10_000, tokens))


def contents(lore: Lore) -> list[str]:
    """What is told."""
    return [one.content for one in lore.active]


def told(one: dict[str, Any], *texts: str, **moment: Any) -> bool:
    """Whether an entry alone is told after some texts."""
    return bool(looked(book(one), *texts, **moment).active)
