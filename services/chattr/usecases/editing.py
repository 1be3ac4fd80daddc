"""Characters are changed, and files that nothing shows any more are cleared away."""

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import anyio
from pydantic import ValidationError

from chatacter.chassis.errors import InvalidInput, NotFound
from chattr.domain.character import Character, CharacterCreate, without_read_only
from chattr.domain.identity import Owner
from chattr.domain.merge_patch import merged
from chattr.ports.assets import Assets
from chattr.ports.casting import Picture
from chattr.usecases.characters import Cast, Change, Check, Known
from chattr.usecases.kept_cards import KeptCards

NOT_AN_OBJECT: Final = "A patch of a character is a JSON object with the fields that change; null takes one away."
ANOTHER_ID: Final = "`id` cannot change: it stands in the address."
NO_PORTRAIT: Final = "This character has no portrait."
UNKNOWN: Final = "There is no character {id!r}."


class Editing:
    """Changes characters with the files that belong to them. A `check` may refuse it, given what there is.

    What is written has today's shape: fields that an older record does not have are taken from its card first, since
    their defaults would say that they were cleared.
    """

    def __init__(self, cast: Cast, assets: Assets, cards: KeptCards) -> None:
        self._cast = cast
        self._assets = assets
        self._cards = cards

    async def replace(self, owner: Owner, written: CharacterCreate, check: Check) -> tuple[bool, Known]:
        """Put a character in the place of what there is, if anything; True where it was made anew."""

        async def replaced(before: Known | None) -> Character:
            await check(before)
            made = Character.made(written)
            if before is None:
                return made
            # An older record is shown with defaults: who sends them back has not cleared what the card says.
            unsaid = await self._cards.unsaid(before.home(owner), before.character)
            default = {name for name in unsaid if getattr(made, name) == getattr(before.character, name)}
            kept = {name: unsaid[name] for name in default}
            return made.model_copy(update={**kept, "card": before.character.card})

        before, after = await self._changed(owner, written.id, replaced)
        return before is None, after

    async def patch(self, owner: Owner, character_id: str, patch: Any, check: Check) -> Known:
        """Change some fields by a JSON merge patch. Raises `NotFound`, `InvalidInput`."""
        if not isinstance(patch, dict):
            raise InvalidInput(NOT_AN_OBJECT)
        if patch.get("id", character_id) != character_id:
            raise InvalidInput(ANOTHER_ID, param="id")

        async def patched(before: Known | None) -> Character:
            known = existing(before, character_id)
            await check(before)
            character = await self._current(owner, known)
            fields = character.model_dump(include=set(CharacterCreate.model_fields), mode="json")
            written = validated(merged(fields, without_read_only(patch)))
            return Character.made(written).model_copy(update={"card": character.card})

        return (await self._changed(owner, character_id, patched))[1]

    async def set_portrait(self, owner: Owner, character_id: str, picture: Picture, check: Check) -> Known:
        """Give a character a picture of its own. Raises `NotFound`."""
        await self._cast.known(owner, character_id)
        name = picture_id(character_id)
        await self._assets.put(owner.shared, name, picture.data, picture.media_type)
        try:
            return await self._show(owner, character_id, name, check)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._assets.delete(owner.shared, name)
            raise

    async def drop_portrait(self, owner: Owner, character_id: str, check: Check) -> Known:
        """Take a character's picture away. Raises `NotFound` where it has none."""
        if (await self._cast.known(owner, character_id)).character.portrait is None:
            raise NotFound(NO_PORTRAIT, param="character_id")
        return await self._show(owner, character_id, None, check)

    async def delete(self, owner: Owner, character_id: str, check: Check) -> None:
        """Remove one of the tenant's own, with its card and its picture; take an override back."""
        removed = (await self._cast.delete(owner, character_id, check)).character
        if removed.card is not None:
            for name in (removed.card, face_id(removed.card)):
                await self._assets.delete(owner.shared, name)
        await self._clear(owner, removed, None)

    async def _show(self, owner: Owner, character_id: str, name: str | None, check: Check) -> Known:
        async def shown(before: Known | None) -> Character:
            known = existing(before, character_id)
            await check(before)
            return (await self._current(owner, known)).model_copy(update={"portrait": name})

        return (await self._changed(owner, character_id, shown))[1]

    async def _current(self, owner: Owner, known: Known) -> Character:
        """Return a stored character in the shape of today."""
        unsaid = await self._cards.unsaid(known.home(owner), known.character)
        return Character.made(known.character).model_copy(update={**unsaid, "card": known.character.card})

    async def _changed(self, owner: Owner, character_id: str, change: Change) -> tuple[Known | None, Known]:
        before, after = await self._cast.change(owner, character_id, change)
        if before is not None:
            await self._clear(owner, before.character, after.character)
        return before, after

    async def _clear(self, owner: Owner, before: Character, after: Character | None) -> None:
        """Remove the picture that was sent for a character, when it shows it no more."""
        name = before.portrait
        if name is not None and is_picture_of(name, before.id) and (after is None or after.portrait != name):
            with anyio.CancelScope(shield=True):
                await self._assets.delete(owner.shared, name)


def existing(known: Known | None, character_id: str) -> Known:
    """Return what there is. Raises `NotFound`."""
    if known is None:
        raise NotFound(UNKNOWN.format(id=character_id), param="character_id")
    return known


def validated(fields: Mapping[str, Any]) -> CharacterCreate:
    """Read what somebody wrote of a character. Raises `InvalidInput`, naming the field."""
    try:
        return CharacterCreate.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{where}: {first['msg']}" if where else first["msg"], param=where or None) from error


def picture_id(character_id: str) -> str:
    """Name a picture that is sent for a character."""
    return f"portrait_{character_id}_{uuid4().hex}"


def is_picture_of(name: str, character_id: str) -> bool:
    """Whether it is a picture that was sent for this character."""
    return re.fullmatch(rf"portrait_{character_id}_[0-9a-f]{{32}}", name) is not None


def face_id(kept: str) -> str:
    """Return the id of the portrait that came with a card."""
    return f"{kept}_portrait"
