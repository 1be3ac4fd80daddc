"""A collection of cards as they are met: every version in every form, each odd in a way of its own.

Words, numbers and pictures are ours. Where a row says `like`, keys, nesting and oddities are those of that public
example, card or program, which was read there.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.card_material import Archive, Member
from tests.card_shelf import pictures
from tests.card_shelf.pictures import Part

V2_SPEC = "malfoyslastname/character-card-spec-v2 spec_v2.md"
V3_SPEC = "kwaroran/character-card-spec-v3 SPEC_V3.md"
RISU = "kwaroran/RisuAI src/ts/characterCards.ts"
TAVERN_KIT = "jasl/tavern_kit"
NUMBER = re.compile(r'"#([-+.0-9eE]+)#"')
WEBP = b"RIFF\x04\0\0\0WEBPxx"
OGG = b"OggS\0\2" + bytes(range(40))


class Spelt(NamedTuple):
    """A number of a JSON text as it is written there: 1, 1.0 and 1e0 differ, and no string is equal to one."""

    text: str


def n(text: str) -> str:
    """A number that will be written so."""
    return f"#{text}#"


def text_of(card: Any, indent: int | str | None = None) -> bytes:
    """A card's JSON, numbers as they were given to `n`."""
    return NUMBER.sub(r"\1", json.dumps(card, ensure_ascii=False, indent=indent)).encode()


def read_json(text: bytes) -> Any:
    """JSON as the standard library reads it, numbers as they are written."""
    return json.loads(text.decode("utf-8-sig"), parse_int=Spelt, parse_float=Spelt)


@dataclass(frozen=True)
class Row:
    """A card as a file, and what is in it."""

    name: str
    form: str
    kind: str
    data: bytes
    document: Any
    like: str = ""
    picture: bytes | None = None
    """The carrier without the card."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """By the address that the form gives them."""
    cover: bytes = b""

    @property
    def version(self) -> int:
        return {"chara_card_v3": 3, "chara_card_v2": 2}.get(self.document.get("spec"), 1)


def in_json(name: str, card: Any, like: str = "", *, data: bytes | None = None) -> Row:
    """A card as JSON."""
    data = text_of(card) if data is None else data
    return Row(name, "json", "application/json", data, read_json(data), like)


def text(word: str, content: bytes) -> Part:
    """A tEXt chunk."""
    return Part(b"tEXt", word.encode() + b"\0" + content)


def packed(word: str, card: Any) -> Part:
    """A card's tEXt chunk."""
    return text(word, base64.b64encode(text_of(card)))


def in_png(
    name: str,
    card: Any,
    picture: bytes,
    *chunks: Part,
    at: int = -1,
    like: str = "",
    kind: str = "image/png",
    files: Mapping[str, bytes] | None = None,
) -> Row:
    """A picture with text chunks before its part number `at`: those given, or else the card's usual one."""
    parts = list(pictures.parts_of(picture))
    given = chunks or (packed("ccv3" if card.get("spec") == "chara_card_v3" else "chara", card),)
    given += tuple(
        text(f"chara-ext-asset_:{key.removeprefix('__asset:')}", base64.b64encode(content))
        for key, content in (files or {}).items()
    )
    parts[at:at] = given
    document = read_json(text_of(card))
    return Row(name, "png", kind, pictures.written(parts), document, like, picture, files or {})


def in_archive(
    name: str,
    card: Any,
    files: Mapping[str, bytes],
    like: str = "",
    *,
    cover: bytes = b"",
    relative: bool = False,
    method: int = 8,
    others: Sequence[Member] = (),
) -> Row:
    """A CHARX, with a JPEG before it where there is a cover."""
    members = [Member(path.encode(), content, method=method) for path, content in files.items()]
    members = [Member(b"card.json", text_of(card)), *others, *members]
    data = Archive(members, before=cover, relative=relative).write()
    kind = "image/jpeg" if cover else "application/zip"
    placed = {f"embeded://{path}": content for path, content in files.items()}
    return Row(name, "charx", kind, data, read_json(text_of(card)), like, None, placed, cover)
