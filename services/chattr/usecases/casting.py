"""Characters in front of microphone and camera: whose voice, whose portrait, and what each can do here."""

from collections.abc import Mapping

from chattr.domain.character import Capability, CharacterRead
from chattr.domain.identity import Owner
from chattr.ports.assets import Asset, Assets
from chattr.ports.casting import Actor, Picture
from chattr.usecases.characters import Cast, Known


class Actors:
    """Finds the actor of a character; its portrait is a built-in one or an asset of the tenant whose character it is.

    `speech`, `video`: whether these are switched on.
    """

    def __init__(
        self, cast: Cast, portraits: Mapping[str, bytes], assets: Assets, *, voice: str, speech: bool, video: bool
    ) -> None:
        self._cast = cast
        self._portraits = portraits
        self._assets = assets
        self._voice = voice
        self._speech = speech
        self._video = video

    @property
    def default_id(self) -> str:
        """Who speaks where a request names nobody."""
        return self._cast.default_id

    async def actor(self, owner: Owner, character_id: str, *, filmed: bool) -> Actor | None:
        """Return a character's actor, its portrait where it is `filmed`; None when there is no such character."""
        known = await self._cast.find(owner, character_id)
        if known is None:
            return None
        character = known.character
        picture = await self.portrait(owner, known) if filmed else None
        return Actor(character.id, character.voice or self._voice, picture, character.speech_model)

    async def portrait(self, owner: Owner, known: Known) -> Picture | None:
        """Return a character's portrait, or None when it has none, or no longer."""
        name = known.character.portrait
        if name is None:
            return None
        if name in self._portraits:
            return Picture(self._portraits[name], "image/svg+xml")
        asset = await self._pictured(owner, known, name)
        if asset is None:
            return None
        data = b"".join([chunk async for chunk in self._assets.read(known.home(owner), name)])
        return Picture(data, asset.media_type)

    async def shown(self, owner: Owner, known: Known) -> CharacterRead:
        """Show a character with what it can do here and now."""
        can: list[Capability] = ["text"]
        if self._speech:
            can.append("speech")
        if self._speech and self._video and await self._has_portrait(owner, known):
            can.append("video")
        return CharacterRead.shown(known.character, known.origin, tuple(can))

    async def _has_portrait(self, owner: Owner, known: Known) -> bool:
        name = known.character.portrait
        if name is None:
            return False
        return name in self._portraits or await self._pictured(owner, known, name) is not None

    async def _pictured(self, owner: Owner, known: Known, name: str) -> Asset | None:
        """Return the asset that is the portrait; one that is no picture shows nobody."""
        asset = await self._assets.info(known.home(owner), name)
        return asset if asset is not None and asset.media_type.startswith("image/") else None
