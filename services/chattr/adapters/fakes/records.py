"""Characters in memory."""

from collections.abc import Sequence

from chattr.domain.character import Character
from chattr.domain.identity import Owner


class FakeCharacters:
    """Characters by tenant."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], Character] = {}

    async def get(self, owner: Owner, character_id: str) -> Character | None:
        """Return one, or None."""
        return self._stored.get((owner.tenant, character_id))

    async def list(self, owner: Owner) -> Sequence[Character]:
        """Return all of the tenant's, by id."""
        return [self._stored[place] for place in sorted(self._stored) if place[0] == owner.tenant]

    async def add(self, owner: Owner, character: Character) -> bool:
        """Store a new one; False when the id is taken."""
        place = (owner.tenant, character.id)
        return self._stored.setdefault(place, character) is character

    async def delete(self, owner: Owner, character_id: str) -> bool:
        """Remove one; False when there was none."""
        return self._stored.pop((owner.tenant, character_id), None) is not None
