"""A row for what the Card specifications V1 to V3 say of cards and their files MUST or SHOULD be so, in our words.

Lorebooks, decorators and macros have a table of their own. Without a row: what editors and people must write; what
screens must show (notes in somebody's language, a page of a source, backgrounds, emotions, user icons: they are kept,
not shown); fetching addresses, which is never done. That a character speaks first, that greetings are swipes, and
greetings of groups are the conversations' (`test_conversation_doors`).
"""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from chatacter.chassis.errors import InvalidInput, Unsupported
from chattr.domain.card import assets, json_text, versions
from chattr.domain.card.files import read, write
from chattr.domain.card.persona import laid_over, taken, written
from chattr.domain.card.versions import BACKFILLED, as_v2, as_v3, version_of
from chattr.domain.character import Character, CharacterCreate
from chattr.domain.prompt import Budget, Turn, assemble
from tests.card_material import DOT, Member, charx, chunk_of, in_json, in_png, v1, v2, v3

pytestmark = pytest.mark.unit


class Row(NamedTuple):
    """A sentence of a specification, and whether it holds."""

    where: str
    says: str
    holds: Callable[[], Any]


ICON = {"type": "icon", "uri": "embeded://a.png", "name": "main", "ext": "png"}
NOW = 1_800_000_000


def document(card: Any) -> dict[str, Any]:
    """A card as it is read."""
    return read(in_json(card)).card.document


def character(card: Any, **changes: Any) -> Character:
    """The character that a card becomes."""
    fields, _ = taken(document(card))
    return Character.made(CharacterCreate.model_validate({"id": "rowan", **fields, **changes}))


def prompt(card: Any, history: int = 0, **changes: Any) -> str:
    """All that a prompt says."""
    turns = [turn for n in range(history) for turn in (Turn("user", "word " * 60), Turn("assistant", "word " * 60))]
    made = assemble(character(card, **changes), turns, "Hello!", budget=Budget(context_tokens=1200))
    return "\n".join(f"{message['role']}: {message['content']}" for message in made.messages)


def exported(card: Any, **changes: Any) -> dict[str, Any]:
    """A card's data after edits."""
    made = laid_over(document(card), character(card, **changes), NOW)
    data: dict[str, Any] = json.loads(json_text.write(made))["data"]
    return data


def texts(data: bytes) -> dict[str, bytes]:
    """The text chunks of a picture, by keyword, decoded."""
    found: dict[str, bytes] = {}
    place = 8
    while place < len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind == b"tEXt":
            word, _, content = data[place + 8 : place + 8 + size].partition(b"\0")
            found[word.decode()] = base64.b64decode(content)
        place += size + 12
    return found


def png(card: Any, **options: Any) -> dict[str, bytes]:
    """The text chunks of a card as a picture."""
    return texts(write(read(in_json(card)).card, "png", **options))


def names(card: bytes) -> list[str]:
    """The files of a CHARX."""
    return zipfile.ZipFile(io.BytesIO(write(read(card).card, "charx"))).namelist()


def filed(kind: str, ext: str) -> bool:
    """Whether an asset that a picture carried goes to its place in an archive."""
    folder = {"png": "images", "avif": "images", "mp3": "audio", "mp4": "video", "webm": "video", "mmd": "3d"} | {
        "obj": "3d", "safetensors": "ai", "ckpt": "ai", "onnx": "ai", "otf": "fonts", "ttf": "fonts", "lua": "code",
        "js": "code", "xyz": "other",
    }  # fmt: skip
    asset = {"type": kind, "uri": "__asset:7", "name": "n", "ext": ext}
    return assets.archive_path("__asset:7", asset) == f"assets/{kind}/{folder[ext]}/7.{ext}"


def refused(card: Any, error: type[Exception] = InvalidInput) -> bool:
    """Whether a card is refused."""
    try:
        read(in_json(card) if isinstance(card, dict) else card)
    except error:
        return True
    return False


def held(card: Any, **fields: Any) -> bool:
    """Whether fields come back unchanged, after an edit of another one."""
    data = exported(card, name="Ash")
    return all(data[name] == value for name, value in fields.items())


V1, V2, V3 = "V1", "V2", "V3"
BOTH = in_png(chunk_of("chara", v2(name="Old")), chunk_of("ccv3", v3(name="New")))

ROWS = [
    Row(V1, "fields default to the empty string", lambda: as_v2({"name": "A"})["data"]["mes_example"] == ""),
    Row(V1, "names are replaced in each field, in any case", lambda: not {"{{char}}", "<BOT>", "{{User}}"} & set(prompt(
        v1(description="{{char}}", personality="<BOT>", scenario="{{User}}")).replace("\n", " ").split())),
    Row(V1, "also in the first message", lambda: "Mind the seedlings, User." in "\n".join(
        message["content"] for message in assemble(character(v1()), [Turn("assistant", v1()["first_mes"])], "Hm?",
        budget=Budget()).messages)),
    Row(V1, "a name for the user exists", lambda: "Dear User" in prompt(v1(description="Dear {{user}}"))),
    Row(V1, "the description is in every prompt", lambda: "A gardener who names" in prompt(v1(), history=9)),
    Row(V1, "the personality is in every prompt", lambda: "Patient, dry." in prompt(v1(), history=9)),
    Row(V1, "the scenario is in every prompt", lambda: "A walled garden" in prompt(v1(), history=9)),
    Row(V1, "the first message is `first_mes`", lambda: character(v1()).greetings[0] == v1()["first_mes"]),
    Row(V1, "examples are read as botmakers write them", lambda: (
        "user: Is it late?\nassistant: For plums" in prompt(v1()))),
    Row(V1, "examples are there until the talk fills the context", lambda: "For plums" in prompt(v1(), history=2)),
    Row(V1, "and then make room for it", lambda: "For plums" not in prompt(v1(), history=9)),
    Row(V2, "`spec`", lambda: as_v2(v3())["spec"] == "chara_card_v2"),
    Row(V2, "`spec_version`", lambda: as_v2(v3())["spec_version"] == "2.0"),
    Row(V2, "creator_notes are in no prompt", lambda: "For quiet evenings" not in prompt(v2())),
    Row(V2, "they are shown to people", lambda: character(v2()).description == "For quiet evenings."),
    Row(V2, "system_prompt replaces ours", lambda: "You play" not in prompt(v2(system_prompt="Theirs."))),
    Row(V2, "an empty one falls back to ours", lambda: "You play Rowan" in prompt(v2(system_prompt=""))),
    Row(V2, "{{original}} is ours", lambda: "You play Rowan. Stay in" in prompt(v2(system_prompt="Be. {{original}}"))),
    Row(V2, "a client replaces it only where it is allowed", lambda: character(v2()).client_instructions == "add"),
    Row(V2, "post_history_instructions come behind the history", lambda: prompt(v2()).endswith(
        "Stay in the garden.\nHello!")),
    Row(V2, "without them there are none", lambda: prompt(v2(post_history_instructions="")).endswith("user: Hello!")),
    Row(V2, "{{original}} in them is nothing, as ours are", lambda: prompt(
        v2(post_history_instructions="{{original}}Now.")).endswith("user: Now.\nHello!")),
    Row(V2, "each alternate greeting may be chosen", lambda: character(v2()).greetings[1:] == (
        "You again.", "Bring the rake.")),
    Row(V2, "the lorebook is used by default", lambda: "called Ada" in "\n".join(
        message["content"] for message in assemble(character(v2()), [], "A plum?", budget=Budget()).messages)),
    Row(V2, "tags are in no prompt", lambda: "calm" not in prompt(v2())),
    Row(V2, "creator is in no prompt", lambda: "CREATOR" not in prompt(v2(creator="CREATOR"))),
    Row(V2, "character_version is in no prompt", lambda: "VERSION" not in prompt(v2(character_version="VERSION"))),
    Row(V2, "extensions default to {}", lambda: as_v2(v1())["data"]["extensions"] == {}),
    Row(V2, "unknown extensions are never destroyed", lambda: held(v2(), creator="us") and exported(
        v2(), name="Ash")["extensions"] == v2()["data"]["extensions"]),
    Row(V2, "our keys have a place of their own", lambda: exported(
        v2(), temperature=0.5)["extensions"]["chatacter"] == {"temperature": 0.5}),
    Row("V3 PNG", "a text chunk `ccv3`, base64 of UTF-8 JSON", lambda: json.loads(
        png(v3(name="Ü"))["ccv3"]) == v3(name="Ü")),
    Row("V3 PNG", "a copy for V2 says so in creator_notes", lambda: json.loads(
        png(v3())["chara"])["data"]["creator_notes"].startswith(BACKFILLED)),
    Row("V3 PNG", "unless it is for V2 alone", lambda: BACKFILLED not in png(v3(), v3=False)["chara"].decode()),
    Row("V3 PNG", "the copy is trimmed on import", lambda: "chara" not in texts(read(BOTH).card.picture or b"")),
    Row("V3 PNG", "of both chunks `ccv3` is used", lambda: read(BOTH).card.document["data"]["name"] == "New"),
    Row("V3 PNG", "`chara-ext-asset_:path` is `__asset:path`", lambda: dict(read(in_png(
        chunk_of("ccv3", v3()), chunk_of("chara-ext-asset_:a", {}))).card.files) == {"__asset:a": b"{}"}),
    Row("V3 JSON", "the file is the card", lambda: json.loads(write(read(in_json(v3())).card, "json")) == v3()),
    Row("V3 CHARX", "`card.json` at the root", lambda: names(in_json(v3())) == ["card.json"]),
    Row("V3 CHARX", "one without it is refused", lambda: refused(
        charx(v3()).replace(b"card.json", b"cord.json"))),
    *(Row("V3 CHARX", f"where a .{ext} is saved", lambda ext=ext: filed("x_any", ext)) for ext in (
        "png", "avif", "mp3", "mp4", "webm", "mmd", "obj", "safetensors", "ckpt", "onnx", "otf", "ttf", "lua",
        "js", "xyz")),
    *(Row("V3 CHARX", f"by its type: {kind}", lambda kind=kind: filed(kind, "png")) for kind in (
        "icon", "background", "emotion", "user_icon", "other")),
    Row("V3 CHARX", "encrypted ones are refused with a reason", lambda: refused(
        charx(v3(), Member(b"x", b"y", flags=1)), Unsupported)),
    Row(V3, "fields of later versions are ignored, not refused", lambda: character(v3(later={"x": 1})).name == "Rowan"),
    Row(V3, "and kept", lambda: held(v3(later={"x": 1}), later={"x": 1})),
    Row(V3, "we add none beside `extensions`", lambda: set(exported(v3(), temperature=1.0)) - set(v3()["data"]) == {
        "modification_date"}),
    Row(V3, "`spec`", lambda: as_v3(v2())["spec"] == "chara_card_v3"),
    Row(V3, "another `spec` is no V3 card", lambda: version_of(v2()) == "v2" and refused(
        {**v3(), "spec": "chara_card_v4"}, Unsupported)),
    Row(V3, "`spec_version`", lambda: as_v3(v2())["spec_version"] == "3.0"),
    Row(V3, "another version is not refused", lambda: version_of(document({**v3(), "spec_version": "3.7"})) == "v3"),
    Row(V3, "above 3.0 it is newer, and told", lambda: read(in_json({**v3(), "spec_version": "3.1"})).warnings == [
        versions.NEWER]),
    Row(V3, "below it is not", lambda: read(in_json({**v3(), "spec_version": "2.5"})).warnings == []),
    Row(V3, "character_book is a lorebook or absent", lambda: refused(v3(character_book=1)) and character(
        v3(character_book=None)).lorebook is None),
    Row(V3, "creator_notes are the notes", lambda: character(v3()).description == "For quiet evenings."),
    Row(V3, "nickname is a string or absent", lambda: refused(v3(nickname=1))),
    Row(V3, "creator_notes_multilingual is kept", lambda: held(
        v3(), creator_notes_multilingual={"de": "Für ruhige Abende."})),
    Row(V3, "source is never changed", lambda: held(v3(), source=["https://cards.test/rowan"])),
    Row(V3, "without assets there is the default icon", lambda: assets.assets_of(v3()) == [assets.ICON]),
    Row(V3, "assets are objects with four strings", lambda: refused(v3(assets=[{"type": "icon"}]))),
    Row(V3, "`embeded://` is supported", lambda: assets.face_of(read(
        charx(v3(assets=[ICON]), Member(b"a.png", DOT))).card) == DOT),
    Row(V3, "`ccdefault:` is the picture itself", lambda: assets.face_of(read(
        in_png(chunk_of("ccv3", v3(assets=[assets.ICON])))).card) is not None),
    Row(V3, "data URLs are supported", lambda: assets.face_of(read(in_json(v3(assets=[{
        **ICON, "uri": "data:image/png;base64," + base64.b64encode(DOT).decode()}]))).card) == DOT),
    Row(V3, "the icon `main` is the main icon", lambda: assets.main_icon(
        v3(assets=[{**ICON, "name": "b"}, ICON])) == ICON),
    Row(V3, "names of assets are in no prompt", lambda: "ASSET" not in prompt(v3(assets=[{**ICON, "name": "ASSET"}]))),
    *(Row(V3, f"{kind} is supported", lambda kind=kind, head=head: assets.media_type(head) == kind) for kind, head in (
        ("image/png", b"\x89PNG\r\n\x1a\n"), ("image/jpeg", b"\xff\xd8\xff"), ("image/webp", b"RIFF0000WEBP"))),
    Row(V3, "`ext` is ignored with `ccdefault:`", lambda: assets.face_of(read(in_png(chunk_of(
        "ccv3", v3(assets=[{**assets.ICON, "ext": "unknown"}])))).card) is not None),
    Row(V3, "assets that have no effect are kept", lambda: held(
        v3(assets=[ICON, {**ICON, "type": "x_live2d"}]), assets=[ICON, {**ICON, "type": "x_live2d"}])),
    Row(V3, "group_only_greetings is there", lambda: as_v3(v2())["data"]["group_only_greetings"] == []),
    Row(V3, "it is a list of strings", lambda: refused(v3(group_only_greetings=[1]))),
    Row(V3, "creation_date is set when a card is made", lambda: written(
        character(v1()), NOW)["data"]["creation_date"] == NOW),
    Row(V3, "and not changed", lambda: held(v3(), creation_date=1700000000)),
    Row(V3, "modification_date is set when a changed card is exported", lambda: exported(
        v3(), name="Ash")["modification_date"] == NOW),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.where}: {row.says}" for row in ROWS])
def test_what_the_specifications_say_of_cards_holds(row: Row) -> None:
    assert row.holds()
