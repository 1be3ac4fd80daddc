"""Characters in memory."""

from collections.abc import Sequence
from itertools import count

from chattr.domain.character import Brief, Character
from chattr.domain.identity import Owner
from chattr.ports.records import StoredCharacter, Written


class FakeCharacters:
    """Characters by tenant, and who published which id."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], StoredCharacter] = {}
        self._claims: dict[str, str] = {}
        self._revisions = count()

    async def get(self, owner: Owner, character_id: str) -> StoredCharacter | None:
        """Return one of the tenant's, or None."""
        return self._stored.get((owner.tenant, character_id))

    async def some(self, places: Sequence[tuple[str, str]]) -> Sequence[StoredCharacter]:
        """Return those that are there."""
        return [self._stored[place] for place in places if place in self._stored]

    async def list(self, owner: Owner) -> Sequence[Brief]:
        """Return all of the tenant's, by id."""
        return [Brief.of(self._stored[place].character) for place in sorted(self._stored) if place[0] == owner.tenant]

    async def published(self, character_id: str) -> StoredCharacter | None:
        """Return the one that any tenant published under this id, or None."""
        return self._stored.get((self._claims.get(character_id, ""), character_id))

    async def all_published(self) -> Sequence[tuple[str, Brief]]:
        """Return all that any tenant published, by id."""
        places = [(self._claims[name], name) for name in sorted(self._claims)]
        return [(place[0], Brief.of(self._stored[place].character)) for place in places]

    async def write(self, owner: Owner, character: Character, expected: str | None) -> Written:
        """Store one, with its claim on the id where it is published."""
        place = (owner.tenant, character.id)
        before = self._stored.get(place)
        if (before.revision if before else None) != expected:
            return "stale"
        if character.published:
            if self._claims.setdefault(character.id, owner.tenant) != owner.tenant:
                return "taken"
        else:
            self._unclaim(owner, character.id)
        self._stored[place] = StoredCharacter(character, owner.tenant, str(next(self._revisions)))
        return "done"

    async def delete(self, owner: Owner, character_id: str, expected: str) -> bool:
        """Remove one, and its claim."""
        place = (owner.tenant, character_id)
        before = self._stored.get(place)
        if before is None or before.revision != expected:
            return False
        self._unclaim(owner, character_id)
        del self._stored[place]
        return True

    def _unclaim(self, owner: Owner, character_id: str) -> None:
        if self._claims.get(character_id) == owner.tenant:
            del self._claims[character_id]
