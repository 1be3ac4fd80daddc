"""A character that came from a card is changed through the public door; its card changes there, and nowhere else."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.card_material import ENTRY, v1, v3
from tests.card_shelf.as_json import AS_JSON
from tests.card_shelf.door import CHARACTERS, exported, imported, opened
from tests.card_shelf.in_archives import IN_ARCHIVES
from tests.card_shelf.in_pictures import IN_PICTURES
from tests.card_shelf.row import Row, Spelt, in_json, n

pytestmark = pytest.mark.integration

NAMES = (
    "V3 that repeats itself beside its data",
    "V3 among text of every kind",
    "V3 with a file in each folder",
    "V3 behind a JPEG with a face of its own",
)
EDITED = [row for row in (*AS_JSON, *IN_PICTURES, *IN_ARCHIVES) if row.name in NAMES]
LATER = {"x": n("1.50"), "y": n("2.0")}
ODD_LORE = in_json(
    "V3 with odd lore",
    v3(
        character_book={
            "scan_depth": n("4.0"),
            "token_budget": n("1e3"),
            "later": n("2.50"),
            "entries": [
                {**ENTRY, "insertion_order": n("1.0"), "priority": n("1e1"), "position": n("4"), "name": None},
                {**ENTRY, "secondary_keys": "a,b", "extensions": {"n": n("3.0")}, "later": LATER},
                {"content": "A content alone."},
            ],
        }
    ),
)


def edited(keeper: httpx.Client, row: Row, change: Any) -> dict[str, Any]:
    """Where a card differs after a PATCH of its character, and what is there then; the date of the change is of now.

    `change` is the patch, or makes one of the character.
    """
    name = imported(keeper, row.data, row.kind)
    before = opened(exported(keeper, name, row.form))
    patch = change(keeper.get(f"{CHARACTERS}/{name}").json()) if callable(change) else change
    now = int(time.time())
    assert keeper.patch(f"{CHARACTERS}/{name}", json=patch).status_code == 200
    after = opened(exported(keeper, name, row.form))
    assert keeper.delete(f"{CHARACTERS}/{name}").status_code == 204
    assert (after.picture, after.files, after.cover) == (before.picture, before.files, before.cover)
    found = dict(differing(before.document, after.document))
    assert now <= int(found.pop("data.modification_date").text) <= time.time()
    return found


def differing(before: Any, after: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Where two values of JSON differ, and what is there now."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from differing(before.get(name, ...), after.get(name, ...), f"{place}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differing(old, new, f"{place}.{number}")
    elif before != after:
        yield place.removeprefix("."), after


@pytest.mark.parametrize("row", EDITED, ids=lambda row: row.name.replace(" ", "_"))
@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"name": "Ash"}, {"name": "Ash"}),
        ({"nickname": "Ro"}, {"nickname": "Ro"}),
        ({"scenario": "A wood."}, {"scenario": "A wood."}),
        ({"greetings": [v1()["first_mes"], "You?", "Bring the rake."]}, {"alternate_greetings.0": "You?"}),
        ({"group_greetings": ["All of us."]}, {"group_only_greetings.0": "All of us."}),
        ({"tags": ["garden", "still"]}, {"tags.1": "still"}),
    ],
    ids="_".join,
)
def test_an_edit_changes_one_field(keeper: httpx.Client, row: Row, change: Any, found: dict[str, Any]) -> None:
    repeated = {name: value for name, value in found.items() if name in v1() and name in row.document}
    assert edited(keeper, row, change) == {f"data.{place}": value for place, value in found.items()} | repeated


def in_entry(number: int, **fields: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Change fields of an entry, and write the whole book as a program would that knows no 1.0 beside 1."""

    def patch(character: dict[str, Any]) -> dict[str, Any]:
        book = json.loads(json.dumps(character["lorebook"]), parse_float=as_javascript)
        book["entries"][number] |= fields
        return {"lorebook": book}

    return patch


def as_javascript(number: str) -> float:
    """A number as JavaScript writes it back."""
    return int(value) if (value := float(number)).is_integer() else value


@pytest.mark.parametrize(
    ("number", "fields", "found"),
    [
        (0, {"content": "It is called Eva."}, {"entries.0.content": "It is called Eva."}),
        (0, {"keys": ["pear"]}, {"entries.0.keys.0": "pear"}),
        (0, {"insertion_order": 7}, {"entries.0.insertion_order": Spelt("7")}),
        (1, {"comment": "new"}, {"entries.1.comment": "new"}),
        (1, {"later": {"x": [1, 2], "y": 2}}, {"entries.1.later.x": [Spelt("1"), Spelt("2")]}),
    ],
)
def test_an_edit_of_lore_changes_one_field(
    keeper: httpx.Client, number: int, fields: dict[str, Any], found: dict[str, Any]
) -> None:
    changed = edited(keeper, ODD_LORE, in_entry(number, **fields))
    assert changed == {f"data.character_book.{place}": value for place, value in found.items()}


def test_lore_that_goes_and_comes_leaves_the_rest(keeper: httpx.Client) -> None:
    def patch(character: dict[str, Any]) -> dict[str, Any]:
        _, *kept = character["lorebook"]["entries"]
        come = [{"keys": [name], "content": f"A {name}."} for name in ("fox", "owl")]
        return {"lorebook": {**character["lorebook"], "entries": [*kept, *come]}}

    [(place, entries)] = edited(keeper, ODD_LORE, patch).items()
    assert place == "data.character_book.entries"
    assert entries[:-2] == ODD_LORE.document["data"]["character_book"]["entries"][1:]
    assert [entry["keys"] for entry in entries[-2:]] == [["fox"], ["owl"]]
