"""The files that a card names: where they lie in each form, and which one is its face. Addresses are never fetched."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from chattr.domain.card.model import Card
from chattr.domain.card.versions import data_of, version_of

EMBEDDED: Final = "embeded://"
"""So spelled by the specification."""
MISSPELT: Final = "embedded://"
IN_PICTURE: Final = "__asset:"
DEFAULT: Final = "ccdefault:"
DATA_URL: Final = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
# The picture that carried a card whose main icon is another.
PICTURE_TYPE: Final = "x_chatacter_picture"
UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
PATH: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")
LONGEST_PICTURE_KEY: Final = 79 - len("chara-ext-asset_:")
FOLDERS: Final = {
    "images": ("png", "apng", "jpg", "jpeg", "webp", "avif", "gif", "svg", "bmp"),
    "audio": ("mp3", "wav", "ogg", "opus", "flac", "m4a"),
    "video": ("mp4", "webm", "mov", "mkv"),
    "3d": ("mmd", "obj", "glb", "gltf", "vrm"),
    "ai": ("safetensors", "ckpt", "onnx"),
    "fonts": ("otf", "ttf", "woff", "woff2"),
    "code": ("lua", "js"),
}
FOLDER_OF: Final = {ext: folder for folder, exts in FOLDERS.items() for ext in exts}
ICON: Final = {"type": "icon", "uri": DEFAULT, "name": "main", "ext": "png"}


def assets_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a card's assets; one without has the default icon. Source: Character Card V3, `assets`."""
    assets = document["data"].get("assets") if version_of(document) != "v1" else None
    return assets if isinstance(assets, list) else [ICON]


def main_icon(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the icon that stands for the character."""
    icons = [each for each in assets_of(document) if each["type"] == "icon"]
    return next((each for each in icons if each["name"] == "main"), icons[0] if icons else None)


def has_picture_for_icon(document: dict[str, Any]) -> bool:
    """Whether the picture that carries a card is its main icon too."""
    icon = main_icon(document)
    return icon is not None and icon["uri"] == DEFAULT


def face_of(card: Card) -> bytes | None:
    """Return the bytes of the main icon, or else of the picture that carried the card."""
    icon = main_icon(card.document)
    found = content_of(card, icon["uri"]) if icon else None
    return found or card.picture or card.cover or None


def content_of(card: Card, uri: str) -> bytes | None:
    """Return what an address within the card leads to; None for what lies elsewhere."""
    if uri == DEFAULT:
        return card.picture
    if (start := DATA_URL.match(uri)) is not None:
        try:
            return base64.b64decode(uri[start.end() :], validate=True)
        except binascii.Error:
            return None
    return card.files.get(address(uri))


def address(uri: str) -> str:
    """Return an address as files have it: some programs spell `embeded` as English does."""
    return EMBEDDED + uri.removeprefix(MISSPELT) if uri.startswith(MISSPELT) else uri


def moved(asset: dict[str, Any], moves: Mapping[str, str]) -> dict[str, Any]:
    """Return an asset with the address that its file has now; one that stays is left as it is spelt."""
    before = address(asset["uri"])
    after = moves.get(before, before)
    return asset if after == before else {**asset, "uri": after}


def missing(card: Card) -> set[str]:
    """Return addresses that assets name and no file has: no other file may come to lie there."""
    return {address(each["uri"]) for each in assets_of(card.document)} - set(card.files)


def media_type(data: bytes) -> str | None:
    """Tell a picture's kind by its first bytes; None for what cannot be a portrait."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def for_archive(card: Card) -> Card:
    """Return a V3 card with every file where a CHARX has it, the picture included."""
    moves = {uri: uri for uri in card.files if uri.startswith(EMBEDDED)}
    listed = {address(each["uri"]): each for each in reversed(assets_of(card.document))}
    taken = set(moves) | missing(card)
    for uri in card.files:
        if uri not in moves:
            moves[uri] = unused(EMBEDDED + archive_path(uri, listed.get(uri)), taken)
            taken.add(moves[uri])
    files = {moves[uri]: content for uri, content in card.files.items()}
    assets = [moved(each, moves) for each in assets_of(card.document)]
    if card.picture is not None:
        place = unused(f"{EMBEDDED}assets/icon/images/main.png", taken)
        files[place] = card.picture
        assets = list(with_picture(assets, main_icon(card.document), place))
    elif data_of(card.document).get("assets") is None:
        return replace(card, files=files)
    return replace(card, document=with_assets(card.document, assets), picture=None, files=files)


def with_picture(assets: list[dict[str, Any]], icon: dict[str, Any] | None, place: str) -> Iterator[dict[str, Any]]:
    """Yield assets of which the main icon is the picture, where it was that; else the picture as one more."""
    is_icon = icon is not None and icon["uri"] == DEFAULT
    for each in assets:
        same = is_icon and icon is not None and (each["type"], each["name"]) == (icon["type"], icon["name"])
        yield {**each, "uri": place, "ext": "png"} if same and each["uri"] == DEFAULT else each
    if not is_icon:
        yield {"type": PICTURE_TYPE, "uri": place, "name": "main", "ext": "png"}


def archive_path(uri: str, asset: dict[str, Any] | None) -> str:
    """Choose a path as the specification says: by the asset's type and its kind of file."""
    key = uri.removeprefix(IN_PICTURE)
    if PATH.fullmatch(key):
        return key
    kind = UNSAFE.sub("_", asset["type"]).strip(".")[:40] if asset else ""
    ext = UNSAFE.sub("", asset["ext"].lower()).strip(".")[:16] if asset else ""
    name = UNSAFE.sub("_", key).strip(".")[:60] or "asset"
    return f"assets/{kind or 'other'}/{FOLDER_OF.get(ext, 'other')}/{name}.{ext or 'unknown'}"


def for_picture(card: Card) -> Card:
    """Return a V3 card with every file where a PNG has it; its PNG icon is the picture where it had none."""
    if card.picture is None:
        card = with_icon_as_picture(card)
    moves: dict[str, str] = {}
    taken = missing(card)
    for uri in card.files:
        key = uri.removeprefix(IN_PICTURE).removeprefix(EMBEDDED)
        fits = key.isascii() and key.isprintable() and 0 < len(key) <= LONGEST_PICTURE_KEY and key == key.strip()
        moves[uri] = unused(IN_PICTURE + (key if fits else f"file-{len(moves)}"), taken)
        taken.add(moves[uri])
    files = {moves[uri]: content for uri, content in card.files.items()}
    if data_of(card.document).get("assets") is None:
        return replace(card, files=files)
    assets = [moved(each, moves) for each in assets_of(card.document)]
    return replace(card, document=with_assets(card.document, assets), files=files)


def with_icon_as_picture(card: Card) -> Card:
    """Take the picture from among the files: the one that carried the card once, or its main icon."""
    assets = assets_of(card.document)
    carrier = next((each for each in assets if each["type"] == PICTURE_TYPE), None)
    chosen = carrier or main_icon(card.document)
    content = card.files.get(address(chosen["uri"])) if chosen else None
    if chosen is None or content is None or media_type(content) != "image/png":
        return card
    rest = [each for each in assets if each is not chosen]
    if carrier is None:
        rest = [{**each, "uri": DEFAULT} if each is chosen else each for each in assets]
    named = {address(each["uri"]) for each in rest}
    files = {uri: data for uri, data in card.files.items() if uri != address(chosen["uri"]) or uri in named}
    return replace(card, document=with_assets(card.document, rest), picture=content, files=files)


def with_assets(document: dict[str, Any], assets: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a V3 card's document with other assets."""
    return {**document, "data": {**document["data"], "assets": assets}}


def unused(uri: str, taken: Any) -> str:
    """Return an address that is not taken: this one, or this one with a number."""
    if uri not in taken:
        return uri
    stem, dot, ext = uri.rpartition(".")
    return next(
        made
        for number in range(1, len(taken) + 2)
        if (made := f"{stem or ext}-{number}{dot}{ext * bool(stem)}") not in taken
    )
