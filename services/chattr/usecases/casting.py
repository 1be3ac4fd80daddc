"""Characters in front of microphone and camera: whose voice, whose portrait."""

from collections.abc import Mapping

from chatacter.chassis.errors import NotFound
from chattr.domain.character import Character
from chattr.domain.identity import Owner
from chattr.ports.assets import Assets
from chattr.ports.casting import Actor, Picture
from chattr.usecases.characters import Cast


class Actors:
    """Finds the actor of a character; its portrait is a built-in one or one of the tenant's assets."""

    def __init__(self, cast: Cast, portraits: Mapping[str, bytes], assets: Assets, *, voice: str) -> None:
        self._cast = cast
        self._portraits = portraits
        self._assets = assets
        self._voice = voice

    @property
    def default_id(self) -> str:
        """Who speaks where a request names nobody."""
        return self._cast.default_id

    async def actor(self, owner: Owner, character_id: str) -> Actor | None:
        """Return a character's actor, or None when there is no such character."""
        try:
            character = await self._cast.get(owner, character_id)
        except NotFound:
            return None
        picture = await self.portrait(owner, character)
        return Actor(character.id, character.voice or self._voice, picture, character.speech_model)

    async def portrait(self, owner: Owner, character: Character) -> Picture | None:
        """Return a character's portrait, or None when it has none, or no longer."""
        if character.portrait is None:
            return None
        if character.portrait in self._portraits:
            return Picture(self._portraits[character.portrait], "image/svg+xml")
        asset = await self._assets.info(owner.shared, character.portrait)
        if asset is None:
            return None
        data = b"".join([chunk async for chunk in self._assets.read(owner.shared, character.portrait)])
        return Picture(data, asset.media_type)
