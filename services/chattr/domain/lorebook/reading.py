"""Takes lorebooks from what others wrote, and gives them back: cards, `lorebook_v3` files, SillyTavern's world info.

What does not have the kind that its field says is left out, and that is told; what is not known is kept.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from chatacter.chassis.errors import InvalidInput
from chattr.domain.lorebook.book import MOST_CONTENT, MOST_ENTRIES, MOST_KEY, MOST_KEYS, MOST_TEXT, Entry, Lorebook

SPEC: Final = "lorebook_v3"
MOST_TOLD: Final = 20
FILE: Final = "file"

NO_LOREBOOK: Final = (
    "This JSON is no lorebook: it has neither `spec: lorebook_v3` with `data`, nor `entries` as V3 or SillyTavern have."
)
LEFT_OUT: Final = "`{field}` of {what} is not of the kind that its specification says, and was left out."
CUT: Final = "The text of {what} is longer than {most} characters and was cut."
FEWER: Final = "Of {what} only the first {most} are used."
TOO_MUCH: Final = "The lorebook's texts are longer than {most} characters together; the last entries were left out."

# SillyTavern's field → ours, and → what its own cards call it within `extensions`.
ST_FIELDS: Final[Mapping[str, str]] = {
    "key": "keys",
    "keysecondary": "secondary_keys",
    "order": "insertion_order",
    "uid": "id",
    **{name: name for name in ("comment", "content", "constant", "selective")},
}
ST_EXTENSIONS: Final[Mapping[str, str]] = {
    "position": "position",
    "excludeRecursion": "exclude_recursion",
    "preventRecursion": "prevent_recursion",
    "delayUntilRecursion": "delay_until_recursion",
    "displayIndex": "display_index",
    "probability": "probability",
    "useProbability": "useProbability",
    "depth": "depth",
    "selectiveLogic": "selectiveLogic",
    "group": "group",
    "groupOverride": "group_override",
    "groupWeight": "group_weight",
    "scanDepth": "scan_depth",
    "caseSensitive": "case_sensitive",
    "matchWholeWords": "match_whole_words",
    "useGroupScoring": "use_group_scoring",
    "automationId": "automation_id",
    "role": "role",
    "vectorized": "vectorized",
    "sticky": "sticky",
    "cooldown": "cooldown",
    "delay": "delay",
}

M = TypeVar("M", bound=BaseModel)


class Warnings:
    """What the sender should know, once each and not without end."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def say(self, sentence: str) -> None:
        """Remember a sentence."""
        if sentence not in self.found and len(self.found) < MOST_TOLD:
            self.found.append(sentence)


def opened(document: Any) -> tuple[Lorebook, list[str]]:
    """Read a file's JSON: `lorebook_v3`, a bare V2 or V3 book, world info. Raises `InvalidInput`."""
    data = document.get("data") if isinstance(document, dict) and document.get("spec") == SPEC else document
    if not isinstance(data, dict):
        raise InvalidInput(NO_LOREBOOK, param=FILE)
    entries = data.get("entries")
    if isinstance(entries, dict):
        return book_of(book_of_world(data))
    if not isinstance(entries, list):
        raise InvalidInput(NO_LOREBOOK, param=FILE)
    return book_of(data)


def book_of(data: Mapping[str, Any]) -> tuple[Lorebook, list[str]]:
    """Read a V2 or V3 book as far as it keeps to its shape; say what was left out."""
    warnings = Warnings()
    found = data.get("entries")
    listed = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    if len(listed) > MOST_ENTRIES:
        warnings.say(FEWER.format(what="the lorebook's entries", most=MOST_ENTRIES))
    entries = [entry_of(each, f"entry {number}", warnings) for number, each in enumerate(listed[:MOST_ENTRIES], 1)]
    kept = within(entries, warnings)
    rest = {name: value for name, value in data.items() if name != "entries" and value is not None}
    book = valid(Lorebook, rest, "the lorebook", warnings)
    return book.model_copy(update={"entries": tuple(kept)}), warnings.found


def entry_of(written: Mapping[str, Any], what: str, warnings: Warnings) -> Entry:
    """Read one entry."""
    fields = {name: value for name, value in written.items() if value is not None}
    content = fields.get("content")
    if isinstance(content, str) and len(content) > MOST_CONTENT:
        warnings.say(CUT.format(what=what, most=MOST_CONTENT))
        fields["content"] = content[:MOST_CONTENT]
    for name in ("keys", "secondary_keys"):
        if name in fields:
            fields[name] = keys_of(fields[name], f"the keys of {what}", warnings)
    return valid(Entry, fields, what, warnings)


def keys_of(value: Any, what: str, warnings: Warnings) -> list[str]:
    """Read keys; V3 says of secondary ones that commas separate them, other programs write a list."""
    found = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    keys = [each for each in found if isinstance(each, str) and len(each) <= MOST_KEY]
    if len(keys) > MOST_KEYS or len(keys) < len(found):
        warnings.say(FEWER.format(what=what, most=MOST_KEYS))
    return keys[:MOST_KEYS]


def within(entries: Iterable[Entry], warnings: Warnings) -> list[Entry]:
    """Return the first entries whose texts a book may have together."""
    kept: list[Entry] = []
    left = MOST_TEXT
    for entry in entries:
        left -= len(entry.content) + sum(map(len, entry.keys))
        if left < 0:
            warnings.say(TOO_MUCH.format(most=MOST_TEXT))
            break
        kept.append(entry)
    return kept


def valid(model: type[M], fields: dict[str, Any], what: str, warnings: Warnings) -> M:
    """Make a model of what is valid; every field that is not is left out."""
    while True:
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            places = {each["loc"][0] if each["loc"] else None for each in error.errors(include_url=False)}
        if None in places:  # What stands beside the known fields is too much, or cannot be kept.
            places |= set(fields) - set(model.model_fields)
        for name in sorted(map(str, places & set(fields))):
            warnings.say(LEFT_OUT.format(field=name[:40], what=what))
        fields = {name: value for name, value in fields.items() if name not in places}


def book_of_world(world: Mapping[str, Any]) -> dict[str, Any]:
    """Write world info as a card of SillyTavern's would have it. Source: its `convertWorldInfoToCharacterBook`."""
    entries = [st_entry(each) for each in world["entries"].values() if isinstance(each, dict)]
    rest = {name: value for name, value in world.items() if name not in {"entries", "originalData"}}
    return {**rest, "entries": sorted(entries, key=shown_at)}


def shown_at(entry: Mapping[str, Any]) -> float:
    """Return where SillyTavern shows an entry."""
    place = entry["extensions"].get("display_index")
    return place if isinstance(place, int | float) else 0


def st_entry(written: Mapping[str, Any]) -> dict[str, Any]:
    """Write one entry of world info as V3."""
    known = {*ST_FIELDS, *ST_EXTENSIONS, "disable", "extensions"}
    found = written.get("extensions")
    extensions = dict(found) if isinstance(found, dict) else {}
    extensions |= {ours: written[theirs] for theirs, ours in ST_EXTENSIONS.items() if theirs in written}
    extensions.setdefault("selectiveLogic", 0)
    return {
        **{name: value for name, value in written.items() if name not in known},
        **{ours: written[theirs] for theirs, ours in ST_FIELDS.items() if theirs in written},
        "enabled": not written.get("disable"),
        "position": "before_char" if written.get("position") == 0 else "after_char",
        "use_regex": True,  # As SillyTavern writes it.
        "extensions": extensions,
    }


def document_of(book: Lorebook) -> dict[str, Any]:
    """Write a book as a file of its own. Source: V3, "Lorebook Fields"."""
    return {"spec": SPEC, "data": book.written()}


def laid_over(written: Mapping[str, Any] | None, book: Lorebook, plain: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a card's book with what was changed in ours; what was not stays as the card wrote it.

    `plain` turns what the card's JSON holds into what `book_of` reads.
    """
    before = written or {}
    originals = [each for each in before.get("entries") or [] if isinstance(each, dict)]
    old, _ = book_of(plain({name: value for name, value in before.items() if name != "entries"}))
    was, now = (each.model_copy(update={"entries": ()}).written() for each in (old, book))
    entries = list(entries_over(originals, book.entries, plain))
    mandatory: dict[str, Any] = {} if written else {"extensions": {}}
    return {**mandatory, **overlaid(before, was, now), "entries": entries}


def entries_over(
    originals: Sequence[dict[str, Any]], entries: Sequence[Entry], plain: Callable[[Any], Any]
) -> Iterator[dict[str, Any]]:
    """Yield entries as the card wrote them; one that changed in its place has there what changed in it."""
    read = [entry_of(plain(each), "", Warnings()) for each in originals]
    left: dict[str, list[int]] = {}
    for place in reversed(range(len(read))):
        left.setdefault(read[place].model_dump_json(), []).append(place)
    same = [places.pop() if (places := left.get(each.model_dump_json())) else None for each in entries]
    free = {place for places in left.values() for place in places}
    for place, (entry, found) in enumerate(zip(entries, same, strict=True)):
        if found is not None:
            yield originals[found]
        elif place in free:
            yield overlaid(originals[place], read[place].written(), entry.written())
        else:
            yield entry.written()


def overlaid(written: Mapping[str, Any], was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was written, with what differs between `was`, as which it was read, and `now`; the rest as spelt."""
    kept = {name: value for name, value in written.items() if name in now or name not in was}
    for name, value in now.items():
        former, original = was.get(name), kept.get(name)
        if name in was and alike(former, value):
            continue
        if isinstance(former, dict) and isinstance(value, dict) and isinstance(original, dict):
            kept[name] = overlaid(original, former, value)
        else:
            kept[name] = value
    return kept


def alike(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same; 1 and 1.0 are, as many programs write either, true is another."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
