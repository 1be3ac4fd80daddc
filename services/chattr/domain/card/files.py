"""Cards as files: JSON, PNG, APNG and CHARX, told apart by their first bytes, never by what they are called."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from chattr.domain.card import archive, assets, json_text, png
from chattr.domain.card.json_text import FILE
from chattr.domain.card.limits import LIMITS, Limits
from chattr.domain.card.model import Card, Form
from chattr.domain.card.versions import as_v2, as_v3, checked

V2_CHUNK: Final = "chara"
V3_CHUNK: Final = "ccv3"
ASSET_CHUNK: Final = "chara-ext-asset_"
CARD: Final = "card.json"
JPEG: Final = b"\xff\xd8\xff"
SPACE: Final = b" \t\r\n"
SEALED: Final = b"rcc||"
PLAIN_COLOUR: Final = (122, 132, 148)
PLAIN_SIZE: Final = (400, 600)

EMPTY: Final = "The file is empty."
TOO_LARGE: Final = "The file is over {most} bytes."
UNKNOWN: Final = "This is no character card: send JSON, PNG, APNG or CHARX."
NO_CHUNK: Final = "The PNG carries no character card: it has no text chunk `ccv3` or `chara`."
NO_CARD: Final = "The CHARX holds no `card.json`."
JPEG_ALONE: Final = "The JPEG has no archive behind it, so it carries no character card."
BAD_BASE64: Final = "The text chunk `{chunk}` of the PNG is not base64."
RISU_SEALED: Final = "The card is sealed by RisuAI (`rcc`). Export it there without sealing."
ASSET_TWICE: Final = "Two embedded assets of the PNG have the same name."
MANY_ASSETS: Final = "The PNG has more than {most} embedded assets."
LARGE_ASSETS: Final = "The embedded assets of the PNG have more than {most} bytes."
SECOND: Final = "The PNG carries more than one `{chunk}`; the first was read, the others were left out."
BEHIND: Final = "What stood behind the end of the PNG ({size} bytes) was left out."


@dataclass(frozen=True, slots=True)
class Reading:
    """A card that was read, and what its sender should know."""

    card: Card
    warnings: list[str] = field(default_factory=list)


def read(data: bytes, limits: Limits = LIMITS) -> Reading:
    """Read a card. Raises `InvalidInput`, `Unsupported` or `TooLarge` with a reason. Blocks; memory is bounded."""
    if len(data) > limits.file_bytes:
        raise TooLarge(TOO_LARGE.format(most=limits.file_bytes), param=FILE)
    if data.startswith(png.SIGNATURE):
        reading = read_png(data, limits)
    elif data.startswith((archive.START, archive.END, JPEG)):
        reading = Reading(read_charx(data, limits))
    elif not data:
        raise InvalidInput(EMPTY, param=FILE)
    elif data.removeprefix(b"\xef\xbb\xbf").lstrip(SPACE)[:1] in {b"{", b"["}:
        reading = Reading(Card(json_text.parse(data, limits)))
    else:
        raise Unsupported(UNKNOWN, param=FILE)
    return replace(reading, warnings=[*reading.warnings, *checked(reading.card.document)])


def read_png(data: bytes, limits: Limits) -> Reading:
    """Read a card from a picture's text chunks; `ccv3` goes before `chara`, which then is a copy for older programs."""
    chunks, behind = png.read(data, limits)
    cards: dict[str, list[png.Chunk]] = {V2_CHUNK: [], V3_CHUNK: []}
    embedded: list[tuple[str, png.Chunk]] = []
    rest = []
    for chunk in chunks:
        word = png.keyword(chunk) or ""
        if word.casefold() in cards:
            cards[word.casefold()].append(chunk)
        elif word.startswith(ASSET_CHUNK):
            embedded.append((word.removeprefix(ASSET_CHUNK).removeprefix(":"), chunk))
        else:
            rest.append(chunk)
    name = V3_CHUNK if cards[V3_CHUNK] else V2_CHUNK
    if not cards[name]:
        raise InvalidInput(NO_CHUNK, param=FILE)
    document = json_text.parse(payload(cards[name][0], name, limits), limits)
    card = Card(document, picture=png.write(rest), files=embedded_in(embedded, limits))
    warnings = [SECOND.format(chunk=name)] if any(each != cards[name][0] for each in cards[name]) else []
    return Reading(card, warnings + ([BEHIND.format(size=behind)] if behind else []))


def payload(chunk: png.Chunk, name: str, limits: Limits) -> bytes:
    """Return the JSON of a text chunk: base64, or as it is where a program wrote it so."""
    content = png.text(chunk, base64_size(limits.json_bytes))
    if content.startswith(SEALED):
        raise Unsupported(RISU_SEALED, param=FILE)
    return content if content.lstrip(SPACE).startswith(b"{") else decoded(content, name)


def embedded_in(found: Sequence[tuple[str, png.Chunk]], limits: Limits) -> dict[str, bytes]:
    """Return the embedded assets by their addresses."""
    if len(found) > limits.entries:
        raise TooLarge(MANY_ASSETS.format(most=limits.entries), param=FILE)
    files: dict[str, bytes] = {}
    left = base64_size(limits.unpacked_bytes)
    for key, chunk in found:
        uri = assets.IN_PICTURE + key
        if uri in files:
            raise InvalidInput(ASSET_TWICE, param=FILE)
        try:
            content = png.text(chunk, left)
        except TooLarge as error:
            raise TooLarge(LARGE_ASSETS.format(most=limits.unpacked_bytes), param=FILE) from error
        left -= len(content)  # not of what it means: spaces mean nothing and take time all the same
        files[uri] = decoded(content, ASSET_CHUNK)
    if sum(map(len, files.values())) > limits.unpacked_bytes:
        raise TooLarge(LARGE_ASSETS.format(most=limits.unpacked_bytes), param=FILE)
    return files


def base64_size(size: int) -> int:
    """Say how long so many bytes are in base64, with room for line breaks."""
    return size * 3 // 2 + 64


def decoded(content: bytes, chunk: str) -> bytes:
    """Read base64 with or without padding. Raises `InvalidInput`."""
    bare = content.translate(None, SPACE).rstrip(b"=")
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except binascii.Error as error:
        raise InvalidInput(BAD_BASE64.format(chunk=chunk), param=FILE) from error


def read_charx(data: bytes, limits: Limits) -> Card:
    """Read a card from an archive; RisuAI puts a JPEG before it, so that it looks like a picture."""
    is_jpeg = data.startswith(JPEG)
    if is_jpeg and archive.END not in data:
        raise InvalidInput(JPEG_ALONE, param=FILE)
    files = archive.read(data, limits)
    if CARD not in files:
        raise InvalidInput(NO_CARD, param=FILE)
    cover = data[: archive.starts_at(data, limits)] if is_jpeg else b""
    document = json_text.parse(files.pop(CARD), limits)
    return Card(document, cover=cover, files={assets.EMBEDDED + path: content for path, content in files.items()})


def write(card: Card, form: Form, *, v3: bool = True) -> bytes:
    """Write a card. JSON carries no files; a CHARX is always V3. Blocks."""
    if form == "json":
        return json_text.write(as_v3(card.document) if v3 else as_v2(card.document))
    return write_charx(card) if form == "charx" else write_png(card, v3=v3)


def write_charx(card: Card) -> bytes:
    """Write an archive with the card and every file; a JPEG that stood before it stands there again."""
    moved = assets.for_archive(replace(card, document=as_v3(card.document)))
    files = {uri.removeprefix(assets.EMBEDDED): content for uri, content in moved.files.items()}
    return archive.write({CARD: json_text.write(moved.document), **files}, before=card.cover)


def write_png(card: Card, *, v3: bool) -> bytes:
    """Write a picture: V3 in `ccv3` and a copy for older programs in `chara`, or V2 in `chara` alone."""
    whole = as_v3(card.document)
    moved = assets.for_picture(replace(card, document=whole)) if v3 or card.files else card
    if not v3 and moved.document == whole:  # No address changed, so V2 may stay as it was written.
        moved = replace(moved, document=card.document)
    texts = [card_chunk(V2_CHUNK, as_v2(moved.document, beside_v3=v3))]
    if v3:
        texts.append(card_chunk(V3_CHUNK, moved.document))
    for uri, content in moved.files.items():
        word = f"{ASSET_CHUNK}:{uri.removeprefix(assets.IN_PICTURE)}"
        texts.append(png.text_chunk(word, base64.b64encode(content)))
    picture = bare_picture(moved.picture) or png.read(png.plain(*PLAIN_SIZE, PLAIN_COLOUR), LIMITS)[0]
    return png.write(list(png.with_texts(picture, texts)))


def card_chunk(name: str, document: dict[str, Any]) -> png.Chunk:
    """Make a card's text chunk."""
    return png.text_chunk(name, base64.b64encode(json_text.write(document)))


def bare_picture(picture: bytes | None) -> list[png.Chunk] | None:
    """Return a PNG's chunks without any card in them; None where it is no whole PNG."""
    if picture is None:
        return None
    try:
        chunks, _ = png.read(picture, LIMITS)
    except (InvalidInput, TooLarge):
        return None
    return [chunk for chunk in chunks if not is_card(png.keyword(chunk) or "")]


def is_card(word: str) -> bool:
    """Whether a text chunk of this keyword belongs to a card."""
    return word.casefold() in {V2_CHUNK, V3_CHUNK} or word.startswith(ASSET_CHUNK)
