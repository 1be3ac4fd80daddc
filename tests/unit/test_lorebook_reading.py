"""Lorebooks of others: read as far as they keep to their shape, kept whole, given back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatacter.chassis.errors import InvalidInput
from chattr.domain.card.files import read
from chattr.domain.card.json_text import parse, plain, write
from chattr.domain.card.limits import LIMITS
from chattr.domain.card.persona import laid_over, taken
from chattr.domain.character import Character, CharacterCreate
from chattr.domain.lorebook import book as books
from chattr.domain.lorebook import reading
from chattr.domain.lorebook.book import Entry, Lorebook
from chattr.domain.lorebook.reading import book_of, document_of, opened
from tests.card_material import JSON, UNKNOWN, cards, in_json, v1, v2, v3
from tests.lore_material import contents, entry, looked

pytestmark = pytest.mark.unit

# As SillyTavern saves a world, with fields that only it knows.
WORLD: dict[str, Any] = {
    "entries": {
        "0": {
            "uid": 0,
            "key": ["dragon"],
            "keysecondary": ["fire"],
            "comment": "Dragons",
            "content": "They sleep.",
            "constant": False,
            "selective": True,
            "selectiveLogic": 2,
            "order": 90,
            "position": 4,
            "depth": 2,
            "disable": False,
            "probability": 100,
            "useProbability": True,
            "role": 1,
            "displayIndex": 1,
            "caseSensitive": True,
            "matchWholeWords": None,
            "scanDepth": 3,
            "characterFilter": {"names": []},
        },
        "7": {
            "uid": 7,
            "key": [],
            "content": "Always.",
            "constant": True,
            "order": 10,
            "position": 0,
            "displayIndex": 0,
        },
        "9": {"uid": 9, "key": ["x"], "content": "Off.", "disable": True, "order": 1, "displayIndex": 2},
    },
    "name": "World",
    "originalData": {"entries": []},
}


def test_world_info_becomes_v3_and_means_the_same() -> None:
    made, warnings = opened(WORLD)
    assert warnings == []
    assert made.name == "World"
    assert [each.id for each in made.entries] == [7, 0, 9]
    first, second, third = made.entries
    assert (first.constant, first.position, first.insertion_order) == (True, "before_char", 10)
    assert (second.keys, second.secondary_keys, second.comment) == (("dragon",), ("fire",), "Dragons")
    assert second.extensions["scan_depth"] == 3
    assert second.model_extra == {"characterFilter": {"names": []}}
    assert not third.enabled
    (active,) = looked(made, "dragon x").active[1:]
    assert (active.content, active.position, active.depth, active.role) == ("They sleep.", "depth", 2, "user")
    assert contents(looked(made, "dragon of fire")) == ["Always."]
    assert contents(looked(made, "DRAGON")) == ["Always."]


def test_a_file_comes_back_as_it_went_in() -> None:
    data = {"name": "N", "later": 1, "extensions": {"a": [1, 2.5]}, "entries": [entry("x", "k", later={"b": None})]}
    for document in ({"spec": "lorebook_v3", "data": data}, data):
        made, warnings = opened(document)
        assert warnings == []
        assert document_of(made) == {"spec": "lorebook_v3", "data": data}


@pytest.mark.parametrize(
    "document", [None, 1, [], {}, {"entries": 1}, {"spec": "lorebook_v3"}, {"spec": "lorebook_v3", "data": []}]
)
def test_what_is_no_lorebook_is_refused(document: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        opened(document)
    assert refused.value.message == reading.NO_LOREBOOK


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ({"insertion_order": "soon"}, "insertion_order"),
        ({"content": 1}, "content"),
        ({"position": "nowhere"}, "position"),
        ({"enabled": []}, "enabled"),
        ({"extensions": 1}, "extensions"),
        ({"priority": 1e300}, "priority"),
        ({"later": "x" * 20_000}, "later"),
        ({"extensions": {"x": "x" * 20_000}}, "extensions"),
    ],
)
def test_a_field_of_another_kind_is_left_out_and_told(fields: dict[str, Any], left_out: str) -> None:
    made, warnings = book_of({"entries": [{**entry("x", "k"), **fields}]})
    assert warnings == [reading.LEFT_OUT.format(field=left_out, what="entry 1")]
    assert len(made.entries) == 1


def test_null_counts_as_absent_and_keys_may_be_words_between_commas() -> None:
    made, warnings = book_of({"name": None, "entries": [{"keys": "a, b", "priority": None, "content": "x"}, 5, None]})
    assert warnings == []
    assert [each.keys for each in made.entries] == [("a", " b")]


def test_too_much_is_cut_and_told() -> None:
    long = "x" * (books.MOST_CONTENT + 1)
    made, warnings = book_of({"entries": [{"content": long}] * 80})
    assert len(made.entries) == books.MOST_TEXT // books.MOST_CONTENT
    assert warnings[0] == reading.CUT.format(what="entry 1", most=books.MOST_CONTENT)
    assert len(warnings) == reading.MOST_TOLD
    made, warnings = book_of({"entries": [{}] * (books.MOST_ENTRIES + 1)})
    assert len(made.entries) == books.MOST_ENTRIES
    assert warnings == [reading.FEWER.format(what="the lorebook's entries", most=books.MOST_ENTRIES)]
    made, _ = book_of({"entries": [{"keys": ["k"] * 999 + ["x" * 1001]}]})
    assert len(made.entries[0].keys) == books.MOST_KEYS


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_json_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot be kept|utf-8|surrogate|unicode"):
        Entry(later=value)  # type: ignore[call-arg]
    assert Entry.model_validate_json(Entry(later=[1.5, "é"]).model_dump_json()) == Entry(later=[1.5, "é"])  # type: ignore[call-arg]


@given(st.dictionaries(st.sampled_from([*Entry.model_fields, "later"]), JSON, max_size=6), JSON, UNKNOWN)
def test_whatever_is_there_is_read_or_told(fields: dict[str, Any], name: Any, unknown: dict[str, Any]) -> None:
    made, warnings = book_of({"name": name, "entries": [fields, name], **unknown})
    assert Lorebook.model_validate_json(made.model_dump_json()) == made
    assert all(isinstance(sentence, str) for sentence in warnings)


def character_of(card: Any, **changes: Any) -> Character:
    fields, _ = taken(read(in_json(card)).card.document)
    return Character.made(CharacterCreate.model_validate({"id": "rowan", **fields, **changes}))


def exported(card: Any, character: Character) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(write(laid_over(read(in_json(card)).card.document, character, 1_800_000_000)))
    return made


def test_a_character_takes_its_cards_lorebook() -> None:
    for card in (v2(), v3()):
        lorebook = character_of(card).lorebook
        assert lorebook is not None
        assert [each.keys for each in lorebook.entries] == [("plum",)]
    assert character_of(v1()).lorebook is None
    assert character_of(v3(character_book=None)).lorebook is None


def test_decorators_that_v2_hides_are_taken() -> None:
    hidden = {**entry("Text", "k"), "extensions": {"chatacter": {"content": "@@depth 3\n\nText"}}}
    lorebook = character_of(v2(character_book={"entries": [hidden], "extensions": {}})).lorebook
    assert lorebook is not None
    assert looked(lorebook, "k").active[0].depth == 3


def test_a_changed_entry_changes_alone_in_the_card() -> None:
    raw = b'{"keys": ["a"], "content": "A", "extensions": {"n": 1.0}, "insertion_order": 1e1, "odd": 2.50}'
    other = entry("B", "b", use_regex=False)
    document = parse(
        in_json(v3(character_book={"extensions": {}, "entries": ["RAW", other], "top": 3})).replace(b'"RAW"', raw),
        LIMITS,
    )
    fields, _ = taken(document)
    book = fields["lorebook"]
    changed = book.model_copy(update={"entries": (book.entries[0], Entry(keys=("c",), content="C"))})
    made = write(laid_over(document, CharacterCreate(id="r", **{**fields, "lorebook": changed}), 1)).decode()
    assert '"n":1.0' in made
    assert '"insertion_order":1e1' in made
    assert '"odd":2.50' in made
    entries = json.loads(made)["data"]["character_book"]["entries"]
    assert entries[1] == {**entry("C", "c"), "keys": ["c"]}
    assert json.loads(made)["data"]["character_book"]["top"] == 3


def test_a_removed_and_a_renamed_book() -> None:
    card = v3(character_book={"name": "Old", "extensions": {"x": 1}, "entries": [entry("A", "a")]})
    removed = exported(card, character_of(card, lorebook=None))
    assert "character_book" not in removed["data"]
    old = character_of(card, lorebook=None).model_copy(update={"schema_version": 2})
    assert exported(card, old) == card, "a record from before lorebooks says nothing of them"
    emptied = exported(card, character_of(card, lorebook={"name": "New", "extensions": {"x": 1}}))
    assert emptied["data"]["character_book"] == {"name": "New", "extensions": {"x": 1}, "entries": []}
    written = exported(v1(), character_of(v1(), lorebook={"entries": [entry("A", "a")]}))
    assert written["data"]["character_book"] == {"extensions": {}, "entries": [entry("A", "a")]}


@given(cards())
def test_any_cards_book_is_read_and_stored(card: dict[str, Any]) -> None:
    fields, _ = taken(plain_document(card))
    book = fields["lorebook"]
    assert book is None or Lorebook.model_validate_json(book.model_dump_json()) == book


def plain_document(card: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = parse(in_json(card), LIMITS)
    assert isinstance(plain(document), dict)
    return document
