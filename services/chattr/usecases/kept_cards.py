"""The cards that characters came from, kept beside them. Reading and writing happen aside, two at a time."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from chattr.domain.card import persona, stored
from chattr.domain.card.model import Card
from chattr.domain.character import Character
from chattr.domain.identity import Owner
from chattr.ports.assets import Assets

T = TypeVar("T")

AT_A_TIME: Final = 2


class KeptCards:
    """Reads the cards that are kept."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._aside = anyio.CapacityLimiter(AT_A_TIME)

    async def read(self, home: Owner, card: str) -> Card | None:
        """Return a card, or None where it is no longer there."""
        if await self._assets.info(home, card) is None:
            return None
        packed = b"".join([part async for part in self._assets.read(home, card)])
        return await self.apart(lambda: stored.unpack(packed))

    async def unsaid(self, home: Owner, character: Character) -> dict[str, Any]:
        """Return what a character's card says of fields that its record is too old to have; of others nothing."""
        if character.card is None or character.schema_version >= persona.NEW_SINCE:
            return {}
        card = await self.read(home, character.card)
        return await self.apart(lambda: persona.newer_of(card.document)) if card else {}

    async def apart(self, work: Callable[[], T]) -> T:
        """Do what blocks in a thread; so few at a time bound the memory."""
        return await anyio.to_thread.run_sync(work, limiter=self._aside)
