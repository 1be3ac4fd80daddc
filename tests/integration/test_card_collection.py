"""The cards of `tests/card_shelf` through the public door: in, and out again in every form, with nothing lost.

What comes out is read by others: JSON and ZIP by the standard library, pixels by Pillow and FFmpeg, and a picture's
chunks by a reader of the collection's own. A row is a card of ours; these public examples and programs were read, and
rows (named by `like`) have the structure that was found there:

- malfoyslastname/character-card-spec-v2: spec_v1.md, spec_v2.md
- kwaroran/character-card-spec-v3: SPEC_V3.md, concepts.md
- SillyTavern/SillyTavern: default/content/default_Seraphina.png, src/character-card-parser.js
- kwaroran/RisuAI: src/ts/characterCards.ts (its V1, its V2 and V3 in pictures, its CHARX, its JPEG)
- agnaistic/agnai: common/characters.ts
- jasl/tavern_kit: docs/fixtures/ccv2_min.json, docs/fixtures/ccv3_st_export_like.json,
  docs/spec/fixtures/ccv3_min.json, test/fixtures/full_v2_card.json, test/fixtures/full_v3_card.json
- bradennapier/character-cards-v2: examples.md
- cards of characterhub and CharacterTavern, as others quote them; none was at hand as a file

Where a version asks for a field that a card has not, its default is added; nothing else may differ. In another form
than its own, a card's assets have other addresses, and lead to the same bytes.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from chattr.domain.card import png
from chattr.domain.card.files import PLAIN_COLOUR, PLAIN_SIZE
from tests.card_shelf import pictures
from tests.card_shelf.as_json import AS_JSON
from tests.card_shelf.door import CHARACTERS, Found, exported, imported, opened
from tests.card_shelf.in_archives import IN_ARCHIVES
from tests.card_shelf.in_pictures import IN_PICTURES
from tests.card_shelf.row import Row, read_json

pytestmark = pytest.mark.integration

COLLECTION = [*AS_JSON, *IN_PICTURES, *IN_ARCHIVES]
PLAIN = png.plain(*PLAIN_SIZE, PLAIN_COLOUR)
V1_FIELDS = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
V2_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(
        ("creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version"), ""
    ),
    "alternate_greetings": [],
    "tags": [],
}
V3_ONLY = {"assets", "nickname", "creator_notes_multilingual", "source", "group_only_greetings"}
V3_ONLY |= {"creation_date", "modification_date"}


@pytest.fixture(scope="module", params=COLLECTION, ids=lambda row: row.name.replace(" ", "_"))
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture(scope="module")
def made(keeper: httpx.Client, row: Row) -> Iterator[str]:
    """The id of a row's character."""
    name = imported(keeper, row.data, row.kind)
    yield name
    assert keeper.delete(f"{CHARACTERS}/{name}").status_code == 204


def as_v2(document: Any) -> Any:
    """A V1 or V2 card as V2 has it."""
    if "spec" in document:
        return document
    rest = {name: value for name, value in document.items() if name not in V1_FIELDS}
    data = {**{name: document.get(name) or "" for name in V1_FIELDS}, **V2_DEFAULTS}
    own = {"chatacter": {"v1": rest}} if rest else {}
    return {"spec": "chara_card_v2", "spec_version": "2.0", "data": {**data, "extensions": own}}


def as_v3(document: Any) -> Any:
    """Any card as V3 has it; to one that is V3 nothing is added."""
    if document.get("spec") == "chara_card_v3":
        return document
    document = as_v2(document)
    return {**filled(document), "spec": "chara_card_v3", "spec_version": "3.0"}


def filled(document: Any) -> Any:
    """A card with V3's mandatory fields."""
    data = {"group_only_greetings": [], **document["data"]}
    data["extensions"] = data.get("extensions") or {}
    book = data.get("character_book")
    if book and "entries" in book:
        entries = [{"use_regex": False, **entry} for entry in book["entries"]]
        data["character_book"] = {**book, "entries": entries}
    return {**document, "data": data}


def led(found: Found) -> tuple[Any, list[Any]]:
    """A card without its assets, and those with what their addresses lead to in the file.

    Without assets there is the usual icon; the picture that carried a card is no asset of it; `ext` says nothing
    where the address says that it is the picture. Source: Character Card V3, `assets`.
    """
    data = dict(found.document["data"])
    usual = {"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}
    assets = data.pop("assets", None)
    leading = []
    for each in [usual] if assets is None else assets:
        uri = each["uri"]
        content = found.picture if uri == "ccdefault:" else found.files.get(uri.replace("embedded://", "embeded://"))
        is_picture = content is not None and content.startswith(pictures.SIGNATURE)
        if each["type"] != "x_chatacter_picture" and (content is not None or assets is not None):
            leading.append({**each, "uri": content or uri, "ext": "png" if is_picture else each["ext"]})
    return {**found.document, "data": data}, leading


def original(row: Row) -> Found:
    return Found(as_v3(row.document), row.picture, dict(row.files), row.cover)


def contents(card: Row | Found) -> list[bytes]:
    """Every file of a card, the picture that carried it included."""
    return [*card.files.values(), *([card.picture] if card.picture else [])]


def test_the_collection_has_all_versions_in_all_forms() -> None:
    assert len(COLLECTION) >= 30
    assert len({row.name for row in COLLECTION}) == len({row.data for row in COLLECTION}) == len(COLLECTION)
    kinds = {(row.version, "jpeg" if row.cover else row.form) for row in COLLECTION}
    assert kinds >= {(version, form) for version in (1, 2, 3) for form in ("json", "png")}
    assert kinds >= {(3, "charx"), (3, "jpeg")}
    moving = [row for row in COLLECTION if row.picture and b"acTL" in row.picture]
    assert {row.version for row in moving} == {2, 3}


def test_in_its_own_form_it_is_the_same(keeper: httpx.Client, row: Row, made: str) -> None:
    version = 3 if row.form == "charx" else max(row.version, 2)
    found = opened(exported(keeper, made, row.form, version))
    assert found.document == (as_v2(row.document) if version == 2 else as_v3(row.document))
    assert (found.picture, found.files, found.cover) == (row.picture, row.files, row.cover)
    if row.picture:
        assert found.picture
        assert pictures.seen(found.picture) == pictures.seen(row.picture)


def test_json_says_all(keeper: httpx.Client, row: Row, made: str) -> None:
    assert read_json(exported(keeper, made)) == as_v3(row.document)
    older = read_json(exported(keeper, made, version=2))
    if row.version < 3:
        assert older == as_v2(row.document)
    else:
        assert_hides_v3(older, row.document)
    # By way of V2 and back.
    other = imported(keeper, exported(keeper, made, version=2))
    assert filled(read_json(exported(keeper, other))) == filled(as_v3(row.document))
    assert keeper.delete(f"{CHARACTERS}/{other}").status_code == 204


def assert_hides_v3(older: Any, document: Any) -> None:
    """A V3 card as V2 has the fields of V2, and no decorator that a program for V2 would tell the model."""
    assert (older["spec"], older["spec_version"]) == ("chara_card_v2", "2.0")
    hidden = {*V3_ONLY, "character_book", "extensions", "creator_notes"}
    assert not V3_ONLY & set(older["data"])
    rest = {name: value for name, value in document["data"].items() if name not in hidden}
    assert {name: older["data"][name] for name in rest} == rest
    extensions = document["data"].get("extensions") or {}
    assert {name: older["data"]["extensions"][name] for name in extensions if name != "chatacter"} == {
        name: value for name, value in extensions.items() if name != "chatacter"
    }
    entries = (document["data"].get("character_book") or {}).get("entries", [])
    for entry, written in zip((older["data"].get("character_book") or {}).get("entries", []), entries, strict=True):
        same = {name: value for name, value in written.items() if name not in {"content", "extensions"}}
        assert {name: entry[name] for name in same} == same
        assert written.get("content", "").endswith(entry.get("content", ""))
        assert not entry.get("content", "").startswith("@@")


@pytest.mark.parametrize("form", ["png", "charx"])
def test_every_form_leads_to_the_same(keeper: httpx.Client, row: Row, made: str, form: str) -> None:
    found = opened(exported(keeper, made, form))
    given, before = led(original(row))
    document, assets = led(found)
    # A card that came without a picture is in one all the same, which the default icon then is.
    drawn = form == "png" and row.picture is None
    assert document == given
    assert list(among(assets, drawn=drawn)) == list(among(before, drawn=drawn))
    assert not Counter(contents(row)) - Counter(contents(found)), "every file is there, byte by byte"
    if found.older is not None:
        assert_hides_v3(found.older, as_v3(row.document))
        assert found.older["data"]["creator_notes"].startswith("This character card is Character Card V3")
    # And from there into its own form again.
    other = imported(keeper, exported(keeper, made, form))
    again = opened(exported(keeper, other, row.form))
    document, assets = led(again)
    assert document == given
    if row.form != "json":
        assert list(among(assets, drawn=drawn)) == list(among(before, drawn=drawn))
        assert again.picture == row.picture
    assert keeper.delete(f"{CHARACTERS}/{other}").status_code == 204


def among(assets: list[Any], *, drawn: bool) -> Iterator[Any]:
    """Assets, but for the default icon where a picture was drawn for the card, and that picture."""
    return (each for each in assets if not (drawn and each["uri"] in {"ccdefault:", PLAIN}))


def test_the_face_has_the_same_pixels(keeper: httpx.Client, row: Row, made: str) -> None:
    _, assets = led(original(row))
    icons = [each["uri"] for each in assets if each["type"] == "icon" and isinstance(each["uri"], bytes)]
    face = icons[0] if icons else row.picture or row.cover
    portrait = keeper.get(f"{CHARACTERS}/{made}/portrait")
    if not face:
        assert portrait.status_code == 404
        return
    assert portrait.status_code == 200
    assert pictures.seen(portrait.content) == pictures.seen(face)
