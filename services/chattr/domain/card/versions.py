"""Character Card V1, V2 and V3: which one it is, whether it keeps to its shape, and one made of another.

What V2 has no place for goes to `extensions.chatacter` and comes back from there, so that V3 → V2 → V3 loses nothing.
"""

from collections.abc import Callable
from typing import Any, Final

from chatacter.chassis.errors import InvalidInput, Unsupported
from chattr.domain.card.json_text import FILE, Number
from chattr.domain.card.model import Version, own_part, with_own_part
from chattr.domain.lorebook.decorators import without_decorators

V2: Final = "chara_card_v2"
V3: Final = "chara_card_v3"
V1_FIELDS: Final = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
V2_DEFAULTS: Final[dict[str, Any]] = {
    "creator_notes": "",
    "system_prompt": "",
    "post_history_instructions": "",
    "alternate_greetings": [],
    "tags": [],
    "creator": "",
    "character_version": "",
    "extensions": {},
}
V3_ONLY: Final = (
    "assets",
    "nickname",
    "creator_notes_multilingual",
    "source",
    "group_only_greetings",
    "creation_date",
    "modification_date",
)
TEXTS: Final = (*V1_FIELDS, "creator_notes", "system_prompt", "post_history_instructions", "nickname")
TEXT_LISTS: Final = ("alternate_greetings", "tags", "group_only_greetings")
OBJECTS: Final = ("extensions", "character_book")
ASSET_FIELDS: Final = ("type", "uri", "name", "ext")
# What V3 asks of a V2 card that stands beside a V3 card; see its "PNG/APNG".
BACKFILLED: Final = (
    "This character card is Character Card V3, but it is loaded as a Character Card V2. Please use a Character Card V3"
    " compatible application to use this character card properly."
)

NO_OBJECT: Final = "A character card is a JSON object."
NO_CARD: Final = "This JSON is no character card: it has neither `spec` and `data` (V2, V3) nor a `name` (V1)."
NO_DATA: Final = "The card has no `data`, which V2 and V3 ask for."
UNKNOWN_SPEC: Final = f"The card's `spec` is not known; `{V2}` and `{V3}` are, and V1, which has none."
LOREBOOK: Final = "This is a lorebook, not a character card."
NOT_TEXT: Final = "The card's `{field}` must be a string."
NOT_TEXTS: Final = "The card's `{field}` must be a list of strings."
NOT_AN_OBJECT: Final = "The card's `{field}` must be an object."
NOT_ASSETS: Final = (
    "The card's `assets` must be a list of objects, each with `type`, `uri`, `name` and `ext` as strings."
)
NOT_ENTRIES: Final = "The card's `character_book.entries` must be a list of objects, and their `extensions` objects."
NEWER: Final = "The card is of a newer version of Character Card V3; what is new in it is kept and has no effect."


def version_of(document: Any) -> Version:
    """Say which version a card is of. Raises `InvalidInput`, `Unsupported`."""
    if not isinstance(document, dict):
        raise InvalidInput(NO_OBJECT, param=FILE)
    spec = document.get("spec")
    if spec is None and not isinstance(document.get("data"), dict):
        if not isinstance(document.get("name"), str):
            raise InvalidInput(NO_CARD, param=FILE)
        return "v1"
    if spec == "lorebook_v3":
        raise Unsupported(LOREBOOK, param=FILE)
    if spec not in (V2, V3, None):  # whatever kind of value it is
        raise Unsupported(UNKNOWN_SPEC, param=FILE)
    if not isinstance(document.get("data"), dict):
        raise InvalidInput(NO_DATA, param=FILE)
    return "v3" if spec == V3 else "v2"


def data_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a card of any version."""
    data: dict[str, Any] = document if version_of(document) == "v1" else document["data"]
    return data


def checked(document: Any) -> list[str]:
    """Refuse a card whose fields are not of the kinds that its version says; return what its sender should know.

    A field that is null counts as absent, as most programs read and some write it.
    """
    version = version_of(document)
    data = data_of(document)
    require(data, TEXTS, is_text, NOT_TEXT)
    if version == "v1":
        return []
    check_lists(data)
    kept = own_part(data).get("v3")
    if version == "v2" and isinstance(kept, dict):
        require(kept, TEXTS, is_text, NOT_TEXT)
        check_lists(kept)
    return [NEWER] if version == "v3" and newer(document.get("spec_version")) else []


def check_lists(data: dict[str, Any]) -> None:
    """Refuse lists and objects that are not of the kinds that V2 and V3 say."""
    require(data, TEXT_LISTS, is_texts, NOT_TEXTS)
    require(data, OBJECTS, is_object, NOT_AN_OBJECT)
    entries = (data.get("character_book") or {}).get("entries") or []
    if not is_objects(entries) or not all(is_object(each.get("extensions") or {}) for each in entries):
        raise InvalidInput(NOT_ENTRIES, param=FILE)
    assets = data.get("assets") or []
    if not is_objects(assets) or not all(is_text(each.get(name)) for each in assets for name in ASSET_FIELDS):
        raise InvalidInput(NOT_ASSETS, param=FILE)


def require(data: dict[str, Any], names: tuple[str, ...], holds: Callable[[Any], bool], sentence: str) -> None:
    """Refuse a field that is there and does not hold."""
    for name in names:
        if data.get(name) is not None and not holds(data[name]):
            raise InvalidInput(sentence.format(field=name), param=FILE)


def is_text(value: Any) -> bool:
    """Whether it is a string."""
    return isinstance(value, str)


def is_texts(value: Any) -> bool:
    """Whether it is a list of strings."""
    return isinstance(value, list) and all(map(is_text, value))


def is_object(value: Any) -> bool:
    """Whether it is an object."""
    return isinstance(value, dict)


def is_objects(value: Any) -> bool:
    """Whether it is a list of objects."""
    return isinstance(value, list) and all(map(is_object, value))


def newer(version: Any) -> bool:
    """Whether a `spec_version`, read as a float as V3 says, is above 3.0."""
    written = version.text if isinstance(version, Number) else version
    try:
        return float(written) > 3.0
    except (TypeError, ValueError):
        return False


def as_v3(document: dict[str, Any]) -> dict[str, Any]:
    """Return it as V3; a V3 card is returned as it is."""
    version = version_of(document)
    if version == "v3":
        return document
    if version == "v1":
        document = v2_of_v1(document)
    data = document["data"]
    own = own_part(data)
    found = own.get("v3")
    kept = found if isinstance(found, dict) else {}
    data = with_own_part(data, {key: value for key, value in own.items() if key != "v3"})
    notes = data.get("creator_notes")
    if isinstance(notes, str) and notes.startswith(BACKFILLED):
        data["creator_notes"] = notes.removeprefix(BACKFILLED).lstrip("\n")
    if isinstance(data.get("character_book"), dict):
        data["character_book"] = book_with(data["character_book"], v3_entry)
    data = {"group_only_greetings": [], **data, **{key: kept[key] for key in V3_ONLY if key in kept}}
    return {**document, "spec": V3, "spec_version": kept.get("spec_version", "3.0"), "data": data}


def as_v2(document: dict[str, Any], *, beside_v3: bool = False) -> dict[str, Any]:
    """Return it as V2; `beside_v3` says so in the creator's notes. A V2 card is returned as it is."""
    version = version_of(document)
    if version == "v1":
        return v2_of_v1(document)
    if version == "v2":
        return document
    data = document["data"]
    kept = {key: data[key] for key in V3_ONLY if key in data}
    if document.get("spec_version") != "3.0":
        kept["spec_version"] = document.get("spec_version")
    own = {**own_part(data), **({"v3": kept} if kept else {})}
    data = with_own_part({key: value for key, value in data.items() if key not in V3_ONLY}, own)
    if beside_v3:
        notes = data.get("creator_notes")
        data["creator_notes"] = f"{BACKFILLED}\n\n{notes}" if notes else BACKFILLED
    if isinstance(data.get("character_book"), dict):
        data["character_book"] = book_with(data["character_book"], v2_entry)
    return {**document, "spec": V2, "spec_version": "2.0", "data": data}


def v2_of_v1(document: dict[str, Any]) -> dict[str, Any]:
    """Put V1's fields where V2 has them, and what V1 does not know in our place."""
    fields = {name: document.get(name) or "" for name in V1_FIELDS}
    rest = {name: value for name, value in document.items() if name not in V1_FIELDS}
    data = with_own_part({**fields, **V2_DEFAULTS}, {"v1": rest} if rest else {})
    return {"spec": V2, "spec_version": "2.0", "data": data}


def book_with(book: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return a lorebook with each entry changed."""
    entries = book.get("entries")
    return {**book, "entries": [change(each) for each in entries]} if isinstance(entries, list) else book


def v2_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Take V3's decorators away, which V2 would show to the model; they are kept aside."""
    content = entry.get("content")
    if not isinstance(content, str) or (bare := without_decorators(content)) == content:
        return entry
    return with_own_part({**entry, "content": bare}, {**own_part(entry), "content": content})


def v3_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Give decorators back to an entry that was not changed meanwhile."""
    entry = {"use_regex": False, **entry}
    own = own_part(entry)
    kept = own.get("content")
    if not isinstance(kept, str) or without_decorators(kept) != entry.get("content"):
        return entry
    rest = {key: value for key, value in own.items() if key != "content"}
    return with_own_part({**entry, "content": kept}, rest)
