"""Cards in JSON, PNG, APNG and CHARX: what comes in goes out again, and from one form into the other."""

import base64
import io
import json
import zipfile
from typing import Any

import pytest

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from chattr.domain.card import files, png
from chattr.domain.card.files import BEHIND, NO_CARD, NO_CHUNK, RISU_SEALED, SECOND, UNKNOWN, read, write
from chattr.domain.card.limits import LIMITS
from chattr.domain.card.stored import pack, unpack
from chattr.domain.card.versions import BACKFILLED
from tests.card_material import DOT, Member, apng, charx, chunk_of, in_json, in_png, itxt, v1, v2, v3, ztxt

pytestmark = pytest.mark.unit

ICON = {"type": "icon", "uri": "embeded://assets/icon/images/main.png", "name": "main", "ext": "png"}
SMILE = {"type": "emotion", "uri": "embeded://assets/emotion/images/smile.webp", "name": "smile", "ext": "webp"}
WEBP = b"RIFF\x04\0\0\0WEBPxx"
JPEG = b"\xff\xd8\xff\xe0 not really \xff\xd9"


def texts_of(picture: bytes) -> dict[str, bytes]:
    """The text chunks of a picture by keyword, base64 undone."""
    chunks, _ = png.read(picture, LIMITS)
    found = [(word, png.text(c, LIMITS.json_bytes)) for c in chunks if files.is_card(word := png.keyword(c) or "")]
    return {word: base64.b64decode(text) for word, text in found}


def others_of(picture: bytes) -> list[png.Chunk]:
    """The chunks of a picture that are no card."""
    chunks, _ = png.read(picture, LIMITS)
    return [chunk for chunk in chunks if not files.is_card(png.keyword(chunk) or "")]


@pytest.mark.parametrize("card", [v1(), v2(), v3(), v1(unknown=[1, {"a": None}])])
def test_json_comes_back_as_it_was(card: dict[str, Any]) -> None:
    version = card.get("spec")
    written = json.loads(write(read(in_json(card)).card, "json", v3=version == "chara_card_v3"))
    if version:
        assert written == card
    else:
        assert {name: written["data"][name] for name in v1()} == v1()
    assert json.loads(write(unpack(pack(read(in_json(card)).card)), "json"))["spec"] == "chara_card_v3"


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b" \r\n\t", b""])
def test_json_is_known_by_its_first_bytes(mark: bytes) -> None:
    assert read(mark + in_json(v2())).card.document["data"]["name"] == "Rowan"


@pytest.mark.parametrize("picture", [DOT, apng()], ids=["png", "apng"])
@pytest.mark.parametrize("make", [v1, v2, v3])
def test_a_picture_and_all_its_other_chunks_survive(picture: bytes, make: Any) -> None:
    word = "ccv3" if make is v3 else "chara"
    given = in_png(chunk_of(word, make()), picture=picture)
    reading = read(given)
    assert (reading.card.picture, reading.warnings) == (picture, [])
    out = write(unpack(pack(reading.card)), "png")
    assert others_of(out) == others_of(picture)
    assert json.loads(texts_of(out)["ccv3"])["data"]["name"] == "Rowan"
    if make is v3:
        assert json.loads(texts_of(out)["ccv3"]) == make()
    if make is v2:
        assert json.loads(texts_of(write(reading.card, "png", v3=False))["chara"]) == make()


def test_v3_stands_beside_a_copy_for_older_programs() -> None:
    """Source: Character Card V3, "PNG/APNG": a warning in the notes, no decorators, `ccv3` read first."""
    book = {"extensions": {}, "entries": [{**v2()["data"]["character_book"]["entries"][0], "use_regex": False}]}
    book["entries"][0]["content"] = "@@depth 4\n@@@role system\n\nThe plum tree is called Ada."
    card = v3(character_book=book)
    out = write(read(in_json(card)).card, "png")
    found = texts_of(out)
    assert json.loads(found["ccv3"]) == card
    older = json.loads(found["chara"])
    assert (older["spec"], older["spec_version"]) == ("chara_card_v2", "2.0")
    assert older["data"]["creator_notes"] == f"{BACKFILLED}\n\nFor quiet evenings."
    assert older["data"]["character_book"]["entries"][0]["content"] == "The plum tree is called Ada."
    assert "nickname" not in older["data"]
    again = read(in_png(chunk_of("chara", v2(name="Other")), chunk_of("ccv3", card)))
    assert (again.card.document["data"]["name"], again.warnings) == ("Rowan", [])
    alone = texts_of(write(read(in_json(card)).card, "png", v3=False))
    assert set(alone) == {"chara"}
    assert BACKFILLED not in alone["chara"].decode()


def test_v3_comes_back_whole_from_its_v2_form() -> None:
    book = {"entries": [{"keys": [], "content": "@@depth 4\nHi.", "extensions": {"x": 1}, "use_regex": True}]}
    card = v3(character_book=book, assets=[{**ICON, "uri": "ccdefault:"}])
    for older in (
        write(read(in_json(card)).card, "json", v3=False),
        texts_of(write(read(in_json(card)).card, "png"))["chara"],
    ):
        assert json.loads(older)["spec"] == "chara_card_v2"
        assert json.loads(write(read(older).card, "json")) == card


@pytest.mark.parametrize("word", ["chara", "ccv3", "CHARA"])
@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iTXt packed", "plain"])
def test_every_kind_of_text_chunk_is_read(word: str, kind: str) -> None:
    packed = base64.b64encode(in_json(v2()))
    chunk = {
        "tEXt": png.text_chunk(word, packed.rstrip(b"=")),
        "zTXt": ztxt(word, packed),
        "iTXt": itxt(word, packed, packed=False),
        "iTXt packed": itxt(word, packed, packed=True),
        "plain": itxt(word, in_json(v2()), packed=False),
    }[kind]
    assert read(in_png(chunk)).card.document == read(in_json(v2())).card.document


def test_assets_in_a_picture_go_to_their_places_in_an_archive_and_back() -> None:
    assets = [{**ICON, "uri": "ccdefault:"}, {**SMILE, "uri": "__asset:0"}]
    asset = png.text_chunk("chara-ext-asset_:0", base64.b64encode(WEBP))
    card = read(in_png(asset, chunk_of("ccv3", v3(assets=assets)))).card
    out = texts_of(write(card, "png"))
    assert out["chara-ext-asset_:0"] == WEBP
    assert json.loads(out["ccv3"])["data"]["assets"] == assets
    archive = zipfile.ZipFile(io.BytesIO(write(card, "charx")))
    moved = json.loads(archive.read("card.json"))["data"]["assets"]
    assert [each["uri"] for each in moved] == [
        "embeded://assets/icon/images/main.png",
        "embeded://assets/emotion/images/0.webp",
    ]
    assert archive.read("assets/icon/images/main.png") == DOT
    assert archive.read("assets/emotion/images/0.webp") == WEBP
    again = read(write(read(write(card, "charx")).card, "png")).card
    assert again.picture == DOT
    assert again.document["data"]["assets"][0]["uri"] == "ccdefault:"
    assert again.files["__asset:assets/emotion/images/0.webp"] == WEBP


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("before", [b"", JPEG], ids=["zip", "jpeg"])
def test_a_charx_comes_back_with_every_file(before: bytes, relative: bool) -> None:
    others = [
        Member(b"assets/icon/images/main.png", DOT, method=0),
        Member(b"assets/emotion/images/smile.webp", WEBP),
        Member(b"assets/", mode=0o040755, method=0),
        Member(b"x_meta/0.json", b"{}"),
        Member(b"module.risum", b"\x00\x01"),
    ]
    given = charx(v3(assets=[ICON, SMILE]), *others, before=before, relative=relative)
    card = unpack(pack(read(given).card))
    out = write(card, "charx")
    assert out.startswith(before)
    archive = zipfile.ZipFile(io.BytesIO(out))
    assert archive.testzip() is None
    assert json.loads(archive.read("card.json")) == v3(assets=[ICON, SMILE])
    assert {name: archive.read(name) for name in archive.namelist() if name != "card.json"} == {
        member.path.decode(): member.content for member in others if not member.path.endswith(b"/")
    }
    again = read(out).card
    assert (again.cover, dict(again.files)) == (before, dict(card.files))
    picture = read(write(card, "png")).card
    assert picture.picture == DOT
    back = read(write(picture, "charx")).card
    assert back.files["embeded://assets/emotion/images/smile.webp"] == WEBP


def test_a_picture_beside_another_icon_is_kept() -> None:
    far = [{**ICON, "uri": "https://cards.test/icon.png"}]
    card = read(in_png(chunk_of("ccv3", v3(assets=far)))).card
    archived = read(write(card, "charx")).card
    assert archived.document["data"]["assets"][0] == far[0]
    again = read(write(archived, "png")).card
    assert again.picture == DOT
    assert again.document["data"]["assets"] == far


def test_an_archive_of_a_card_without_files_adds_none() -> None:
    archive = zipfile.ZipFile(io.BytesIO(write(read(in_json(v3())).card, "charx")))
    assert archive.namelist() == ["card.json"]
    assert json.loads(archive.read("card.json")) == v3()


def test_a_card_without_a_picture_gets_a_plain_one() -> None:
    out = write(read(in_json(v2())).card, "png")
    assert others_of(out)[0].kind == b"IHDR"
    assert read(out).card.document["data"]["name"] == "Rowan"


def test_what_was_left_out_is_told() -> None:
    reading = read(in_png(chunk_of("chara", v2()), chunk_of("chara", v2(name="Other"))) + b"more")
    assert reading.warnings == [SECOND.format(chunk="chara"), BEHIND.format(size=4)]
    assert reading.card.document["data"]["name"] == "Rowan"
    assert read(in_png(chunk_of("chara", v2()), chunk_of("chara", v2()))).warnings == []


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b"", InvalidInput, files.EMPTY),
        (b"GIF89a", Unsupported, UNKNOWN),
        (DOT, InvalidInput, NO_CHUNK),
        (JPEG, InvalidInput, files.JPEG_ALONE),
        (b"x" * (LIMITS.file_bytes + 1), TooLarge, files.TOO_LARGE.format(most=LIMITS.file_bytes)),
        (charx(v3()).replace(b"card.json", b"carb.json"), InvalidInput, NO_CARD),
        (in_png(png.text_chunk("ccv3", b"rcc||abc")), Unsupported, RISU_SEALED),
        (in_png(png.text_chunk("ccv3", b"!!!!")), InvalidInput, files.BAD_BASE64.format(chunk="ccv3")),
        (in_png(png.text_chunk("ccv3", b"abcde")), InvalidInput, files.BAD_BASE64.format(chunk="ccv3")),
        (
            in_png(chunk_of("chara", v2()), *[png.text_chunk("chara-ext-asset_:1", b"AAAA")] * 2),
            InvalidInput,
            files.ASSET_TWICE,
        ),
        (
            in_png(chunk_of("chara", v2()), png.text_chunk("chara-ext-asset_:1", b"?")),
            InvalidInput,
            files.BAD_BASE64.format(chunk="chara-ext-asset_"),
        ),
    ],
)
def test_what_is_no_card_is_refused(data: bytes, error: type[InvalidInput], reason: str) -> None:
    with pytest.raises(error) as refused:
        read(data)
    assert refused.value.message == reason
