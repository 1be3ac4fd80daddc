"""V1, V2 and V3: which is which, what is refused, what one becomes in the other. Sources: their specifications."""

import json
from typing import Any

import pytest

from chatacter.chassis.errors import InvalidInput, Unsupported
from chattr.domain.card import versions
from chattr.domain.card.assets import ICON, assets_of, main_icon
from chattr.domain.card.files import read
from chattr.domain.card.versions import BACKFILLED, V2_DEFAULTS, as_v2, as_v3, version_of
from chattr.domain.lorebook.decorators import without_decorators
from tests.card_material import in_json, v1, v2, v3

pytestmark = pytest.mark.unit


def with_data(card: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**card, "data": {**card["data"], **fields}}


@pytest.mark.parametrize(
    ("card", "version"),
    [
        (v1(), "v1"),
        (v2(), "v2"),
        (v3(), "v3"),
        ({**v3(), "spec_version": "3.1"}, "v3"),
        ({**v2(), "spec_version": "2.1"}, "v2"),
        ({key: value for key, value in v2().items() if not key.startswith("spec")}, "v2"),
        ({"name": ""}, "v1"),
    ],
)
def test_each_version_is_known(card: dict[str, Any], version: str) -> None:
    assert version_of(card) == version
    assert version_of(read(in_json(card)).card.document) == version


@pytest.mark.parametrize(
    ("card", "error", "reason"),
    [
        ([], InvalidInput, versions.NO_OBJECT),
        ({}, InvalidInput, versions.NO_CARD),
        ({"name": 1}, InvalidInput, versions.NO_CARD),
        ({"spec": "chara_card_v2"}, InvalidInput, versions.NO_DATA),
        ({"spec": "chara_card_v3", "data": []}, InvalidInput, versions.NO_DATA),
        ({"spec": "chara_card_v9", "data": {}}, Unsupported, versions.UNKNOWN_SPEC),
        ({"spec": ["chara_card_v2"], "data": {}}, Unsupported, versions.UNKNOWN_SPEC),
        ({"spec": "lorebook_v3", "data": {}}, Unsupported, versions.LOREBOOK),
        (v1(description=5), InvalidInput, versions.NOT_TEXT.format(field="description")),
        (v2(name=["x"]), InvalidInput, versions.NOT_TEXT.format(field="name")),
        (v3(nickname={}), InvalidInput, versions.NOT_TEXT.format(field="nickname")),
        (v2(tags="a,b"), InvalidInput, versions.NOT_TEXTS.format(field="tags")),
        (v2(alternate_greetings=[1]), InvalidInput, versions.NOT_TEXTS.format(field="alternate_greetings")),
        (v2(extensions=[]), InvalidInput, versions.NOT_AN_OBJECT.format(field="extensions")),
        (v2(character_book=[]), InvalidInput, versions.NOT_AN_OBJECT.format(field="character_book")),
        (v2(character_book={"entries": [1]}), InvalidInput, versions.NOT_ENTRIES),
        (v2(character_book={"entries": [{"extensions": [1]}]}), InvalidInput, versions.NOT_ENTRIES),
        (v3(assets=[{"type": "icon"}]), InvalidInput, versions.NOT_ASSETS),
        (v3(assets={"0": 1}), InvalidInput, versions.NOT_ASSETS),
        (v2(character_book={"entries": {"0": 1}}), InvalidInput, versions.NOT_ENTRIES),
        (v2(extensions={"chatacter": {"v3": {"assets": [1]}}}), InvalidInput, versions.NOT_ASSETS),
        (
            v2(extensions={"chatacter": {"v3": {"nickname": 1}}}),
            InvalidInput,
            versions.NOT_TEXT.format(field="nickname"),
        ),
    ],
)
def test_what_keeps_to_no_version_is_refused(card: Any, error: type[InvalidInput], reason: str) -> None:
    with pytest.raises(error) as refused:
        read(in_json(card))
    assert refused.value.message == reason


@pytest.mark.parametrize("version", ["3.1", "10", "4.0"])
def test_a_newer_version_is_read_and_told(version: str) -> None:
    card = {**v3(new_field={"a": 1}), "spec_version": version}
    reading = read(in_json(card))
    assert reading.warnings == [versions.NEWER]
    assert json.loads(in_json(as_v3(card))) == card


@pytest.mark.parametrize("version", ["3.0", "2.9", "soon", None, 3, "1e999x"])
def test_no_other_version_is_told(version: Any) -> None:
    assert read(in_json({**v3(), "spec_version": version})).warnings == []


def test_null_counts_as_absent() -> None:
    card = v2(creator_notes=None, tags=None, extensions=None, character_book=None, alternate_greetings=None)
    assert read(in_json(card)).card.document == read(in_json(card)).card.document
    assert as_v2(card) == card
    assert as_v3(card)["data"]["character_book"] is None


def test_v1_becomes_v2_with_its_defaults_and_keeps_what_it_had() -> None:
    made = as_v2(v1(chat="2023", avatar="none"))
    assert (made["spec"], made["spec_version"]) == ("chara_card_v2", "2.0")
    assert made["data"] == {
        **v1(),
        **V2_DEFAULTS,
        "extensions": {"chatacter": {"v1": {"chat": "2023", "avatar": "none"}}},
    }
    assert as_v2(v1())["data"]["extensions"] == {}
    assert as_v2({"name": "A"})["data"]["first_mes"] == ""


def test_v2_becomes_v3_with_what_v3_must_have() -> None:
    made = as_v3(v2())
    assert (made["spec"], made["spec_version"]) == ("chara_card_v3", "3.0")
    assert made["data"]["group_only_greetings"] == []
    assert [entry["use_regex"] for entry in made["data"]["character_book"]["entries"]] == [False]
    rest = {key: value for key, value in made["data"].items() if key not in {"group_only_greetings", "character_book"}}
    assert rest == {key: value for key, value in v2()["data"].items() if key != "character_book"}


def test_a_version_is_left_as_it_is() -> None:
    assert as_v3(v3()) == v3()
    assert as_v2(v2()) == v2()


@pytest.mark.parametrize(
    "card",
    [
        v3(),
        v3(assets=[ICON], extensions={"chatacter": {"voice": "x"}, "other": 1}),
        {**v3(), "spec_version": "3.2", "top": [1]},
        v3(
            character_book={
                "entries": [{"content": "@@depth 1\n@@@depth 2\n\nText", "extensions": {}, "use_regex": True}]
            }
        ),
        v3(creator_notes=""),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_v3_to_v2_and_back_loses_nothing(card: dict[str, Any], beside: bool) -> None:
    older = as_v2(card, beside_v3=beside)
    assert version_of(older) == "v2"
    assert not set(versions.V3_ONLY) & set(older["data"])
    assert older["data"]["creator_notes"].startswith(BACKFILLED) is beside
    assert as_v3(older) == card


def test_an_entry_that_was_changed_as_v2_keeps_the_change() -> None:
    book = {"entries": [{"content": "@@depth 1\nText", "extensions": {}, "use_regex": False}]}
    older = as_v2(v3(character_book=book))
    older["data"]["character_book"]["entries"][0]["content"] = "New"
    assert as_v3(older)["data"]["character_book"]["entries"][0]["content"] == "New"


@pytest.mark.parametrize(
    ("content", "bare"),
    [
        ("Text", "Text"),
        ("@@depth 4\nText", "Text"),
        ("\n@@depth 4\n@@@role user\n\nText\n@@not one", "Text\n@@not one"),
        ("@@activate", ""),
        ("Text\n@@depth 4", "Text\n@@depth 4"),
        ("", ""),
        ("a@@b", "a@@b"),
    ],
)
def test_decorators_stand_at_the_top(content: str, bare: str) -> None:
    assert without_decorators(content) == bare


def test_a_card_without_assets_has_the_default_icon() -> None:
    """Source: Character Card V3, `assets`."""
    assert assets_of(v3()) == [{"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}]
    icons = [{**ICON, "name": "side"}, {**ICON, "uri": "embeded://a.png"}]
    assert main_icon(v3(assets=icons)) == icons[1]
    assert main_icon(v3(assets=icons[:1])) == icons[0]
    assert main_icon(v3(assets=[])) is None
    assert main_icon(v1(assets=[1])) == ICON
