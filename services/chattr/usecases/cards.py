"""Characters from cards, and cards of characters."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import anyio

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound, Unsupported
from chattr.domain.card import assets as named
from chattr.domain.card import files, persona, png, stored
from chattr.domain.card.model import Card, Form
from chattr.domain.card.versions import as_v3
from chattr.domain.character import Character, slug
from chattr.domain.identity import Owner, new_id
from chattr.ports.assets import Assets
from chattr.ports.casting import Picture
from chattr.usecases.casting import Actors
from chattr.usecases.characters import Cast, Known
from chattr.usecases.editing import face_id, validated
from chattr.usecases.kept_cards import KeptCards

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
LARGEST_FACE: Final = 16 * 1024 * 1024
ARCHIVE: Final = "application/zip"
MEDIA_TYPES: Final[dict[Form, str]] = {"json": "application/json", "png": "image/png", "charx": ARCHIVE}
SUFFIXES: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/svg+xml": "svg"}

NO_NAME: Final = "The card's `name` is empty."
NO_FACE: Final = "The card's icon is no whole PNG, JPEG or WebP of at most 16 MiB: the card keeps it, nothing shows it."
ONLY_V3: Final = "A CHARX holds a V3 card: leave `spec` out, or ask for `format=png` or `format=json`."
LOST: Final = "The card of this character is no longer there."


@dataclass(frozen=True, slots=True)
class Imported:
    """A character that was made of a card, and what its sender should know."""

    known: Known
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Exported:
    """A card as a file."""

    data: bytes
    media_type: str
    name: str


class Cards:
    """Makes characters of cards and cards of characters. The card is kept beside the character, whole."""

    def __init__(self, cast: Cast, actors: Actors, assets: Assets, kept: KeptCards) -> None:
        self._cast = cast
        self._actors = actors
        self._assets = assets
        self._kept = kept

    async def take(
        self, owner: Owner, data: bytes, character_id: str | None = None, placed: Mapping[str, str] = NOTHING
    ) -> Imported:
        """Make a character of a card; `placed` are fields that stand in the place of what the card names.

        Raises `InvalidInput` and its kin, saying what is wrong with the card.
        """
        opened = await self._kept.apart(lambda: opened_card(data))
        face, kept = opened.face, new_id("card")
        portrait = face_id(kept) if face else None
        taken = {**opened.taken, **placed}
        first = character_of(character_id or slug(taken["name"]), taken, kept, portrait)
        try:
            if portrait is not None and face is not None:
                await self._assets.put(owner.shared, portrait, face.data, face.media_type)
            await self._assets.put(owner.shared, kept, opened.packed, ARCHIVE)
            made = await self._create(owner, first, named_by_caller=character_id is not None)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._clear(owner, kept)
            raise
        return Imported(made, opened.warnings)

    async def give(self, owner: Owner, character_id: str, form: Form, *, v3: bool | None = None) -> Exported:
        """Write a character as a card, with its edits laid over the card that it came from. Raises `NotFound`."""
        if form == "charx" and v3 is False:
            raise Unsupported(ONLY_V3, param="spec")
        known = await self._cast.known(owner, character_id)
        character = known.character
        card = await self._card(owner, known)
        if character.card is not None and character.portrait not in {None, face_id(character.card)}:
            face = await self._actors.portrait(owner, known)
            card = with_face(card, face) if face else card
        data = await self._kept.apart(partial(written, card, character, form, v3=v3 is not False))
        return Exported(data, MEDIA_TYPES[form], f"{character.id}.{form}")

    async def _card(self, owner: Owner, known: Known) -> Card:
        """Return the card that a character came from, or one written anew."""
        character, home = known.character, known.home(owner)
        if character.card is None:
            card = Card(persona.written(character, int(time.time())))
            face = await self._actors.portrait(owner, known)
            return with_face(card, face) if face else card
        kept = await self._kept.read(home, character.card)
        if kept is None:
            raise NotFound(LOST, param="character_id")
        return kept

    async def _create(self, owner: Owner, character: Character, *, named_by_caller: bool) -> Known:
        """Store a character; an id that nobody chose gets a suffix where it is taken."""
        try:
            return await self._cast.create(owner, character)
        except Conflict:
            if named_by_caller:
                raise
        other = f"{character.id[:57]}-{uuid4().hex[:6]}"
        return await self._cast.create(owner, character.model_copy(update={"id": other}))

    async def _clear(self, owner: Owner, kept: str) -> None:
        for asset_id in (kept, face_id(kept)):
            await self._assets.delete(owner.shared, asset_id)


@dataclass(frozen=True, slots=True)
class Opened:
    """A card that was read, what a character takes from it, and how it is kept."""

    taken: dict[str, Any]
    face: Picture | None
    packed: bytes
    warnings: list[str]


def opened_card(data: bytes) -> Opened:
    """Read a card. Raises `InvalidInput` and its kin. Blocks."""
    reading = files.read(data)
    taken, cut = persona.taken(reading.card.document)
    if not taken["name"]:
        raise InvalidInput(NO_NAME, param="name")
    face = face_of(reading.card)
    unseen = face is None and named.face_of(reading.card) is not None
    warnings = [*reading.warnings, *dict.fromkeys(cut), *([NO_FACE] if unseen else [])]
    return Opened(taken, face, stored.pack(reading.card), warnings)


def written(card: Card, character: Character, form: Form, *, v3: bool) -> bytes:
    """Write a card with the edits of its character. Blocks."""
    document = persona.laid_over(card.document, character, int(time.time())) if character.card else card.document
    return files.write(replace(card, document=document), form, v3=v3)


def character_of(character_id: str, taken: dict[str, Any], kept: str, portrait: str | None) -> Character:
    """Make the character. Raises `InvalidInput`, naming the field."""
    made = validated({"id": character_id, "portrait": portrait, **taken})
    return Character.made(made).model_copy(update={"card": kept})


def face_of(card: Card) -> Picture | None:
    """Return a card's icon as a portrait; None where it has none that can be shown. Nothing is decoded."""
    data = named.face_of(card)
    kind = named.media_type(data) if data else None
    if data is None or kind is None or len(data) > LARGEST_FACE:
        return None
    if kind != "image/png":
        return Picture(data, kind)
    bare = files.bare_picture(data)
    return Picture(png.write(bare), kind) if bare else None


def with_face(card: Card, face: Picture) -> Card:
    """Give a card its character's portrait, in the place of the icon that stood for it."""
    if face.media_type == "image/png" and named.has_picture_for_icon(card.document):
        return replace(card, picture=face.data)
    document = as_v3(card.document)
    former = named.main_icon(document)
    others = [each for each in named.assets_of(document) if each is not former]
    former_uri = named.address(former["uri"]) if former else None
    shared = {named.address(each["uri"]) for each in others}
    kept = {uri: data for uri, data in card.files.items() if uri != former_uri or uri in shared}
    ext = SUFFIXES.get(face.media_type, "unknown")
    uri = named.unused(f"{named.EMBEDDED}assets/icon/images/main.{ext}", kept)
    icon = {"type": "icon", "uri": uri, "name": "main", "ext": ext}
    return replace(card, document=named.with_assets(document, [icon, *others]), files={**kept, uri: face.data})
