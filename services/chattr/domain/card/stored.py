"""A card as it is kept: an archive of its JSON and its files, with the version of this shape."""

from dataclasses import replace
from typing import Final

from chatacter.chassis.errors import Misconfigured
from chattr.domain.card import archive, json_text
from chattr.domain.card.limits import LIMITS, Limits
from chattr.domain.card.model import Card

SCHEMA_VERSION: Final = 1
ABOUT: Final = "stored.json"
DOCUMENT: Final = "card.json"
PICTURE: Final = "picture"
COVER: Final = "cover"
# Beside what was read: this shape's own parts, the picture counted once more, and the JSON, which escapes may lengthen.
ROOM: Final = replace(
    LIMITS,
    file_bytes=4 * LIMITS.file_bytes,
    entries=LIMITS.entries + 4,
    unpacked_bytes=LIMITS.unpacked_bytes + 2 * LIMITS.file_bytes + 4 * LIMITS.json_bytes,
    json_bytes=4 * LIMITS.json_bytes,
)

NEWER: Final = "This card was stored by a newer version of Chatacter; upgrade this replica."


def pack(card: Card) -> bytes:
    """Write a card for keeping. Blocks."""
    about = {"schema_version": SCHEMA_VERSION, "files": list(card.files)}
    parts = {ABOUT: json_text.write(about), DOCUMENT: json_text.write(card.document)}
    if card.picture is not None:
        parts[PICTURE] = card.picture
    if card.cover:
        parts[COVER] = card.cover
    parts |= {f"files/{number}": content for number, content in enumerate(card.files.values())}
    return archive.write(parts)


def unpack(data: bytes, room: Limits = ROOM) -> Card:
    """Read a card that was kept. Raises `Misconfigured` for a later shape. Blocks."""
    parts = archive.read(data, room)
    about = json_text.parse(parts[ABOUT], room)
    if about["schema_version"] != json_text.Number(str(SCHEMA_VERSION)):
        raise Misconfigured(NEWER)
    files = {uri: parts[f"files/{number}"] for number, uri in enumerate(about["files"])}
    document = json_text.parse(parts[DOCUMENT], room)
    return Card(document, parts.get(PICTURE), parts.get(COVER, b""), files)
