"""Lorebooks in memory."""

from collections.abc import Sequence

from chattr.domain.identity import Owner
from chattr.domain.lorebook.shared import SharedLorebook, Summary


class FakeLorebooks:
    """Lorebooks by tenant."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], SharedLorebook] = {}

    async def get(self, owner: Owner, lorebook_id: str) -> SharedLorebook | None:
        """Return one, or None."""
        return self._stored.get((owner.tenant, lorebook_id))

    async def some(self, owner: Owner, lorebook_ids: Sequence[str]) -> Sequence[SharedLorebook]:
        """Return those of them that are there, in the order in which they are named."""
        found = (self._stored.get((owner.tenant, each)) for each in lorebook_ids)
        return [each for each in found if each is not None]

    async def list(self, owner: Owner) -> Sequence[Summary]:
        """Return all of the tenant's, by id."""
        return [self._stored[place].summary() for place in sorted(self._stored) if place[0] == owner.tenant]

    async def add(self, owner: Owner, lorebook: SharedLorebook) -> bool:
        """Store a new one; False when the id is taken."""
        return self._stored.setdefault((owner.tenant, lorebook.id), lorebook) is lorebook

    async def replace(self, owner: Owner, lorebook: SharedLorebook, over: SharedLorebook | None = None) -> bool:
        """Store one in the place of another; False when there is none, or it is not `over` any more."""
        if not self._stands(owner, lorebook.id, over):
            return False
        self._stored[(owner.tenant, lorebook.id)] = lorebook
        return True

    async def delete(self, owner: Owner, lorebook_id: str, over: SharedLorebook | None = None) -> bool:
        """Remove one; False when there was none, or it is not `over` any more."""
        return self._stands(owner, lorebook_id, over) and bool(self._stored.pop((owner.tenant, lorebook_id)))

    def _stands(self, owner: Owner, lorebook_id: str, over: SharedLorebook | None) -> bool:
        found = self._stored.get((owner.tenant, lorebook_id))
        return found is not None and (over is None or over.updated_at == found.updated_at)
