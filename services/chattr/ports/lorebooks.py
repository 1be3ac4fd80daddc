"""Lorebooks that a tenant's characters share."""

from collections.abc import Sequence
from typing import Protocol

from chattr.domain.identity import Owner
from chattr.domain.lorebook.shared import SharedLorebook, Summary


class Lorebooks(Protocol):
    """A tenant's lorebooks."""

    async def get(self, owner: Owner, lorebook_id: str) -> SharedLorebook | None:
        """Return one, or None."""
        ...

    async def some(self, owner: Owner, lorebook_ids: Sequence[str]) -> Sequence[SharedLorebook]:
        """Return those of them that are there, in the order in which they are named."""
        ...

    async def list(self, owner: Owner) -> Sequence[Summary]:
        """Return all of the tenant's, by id."""
        ...

    async def add(self, owner: Owner, lorebook: SharedLorebook) -> bool:
        """Store a new one; False when the id is taken."""
        ...

    async def replace(self, owner: Owner, lorebook: SharedLorebook, over: SharedLorebook | None = None) -> bool:
        """Store one in the place of another, in one step; False when there is none, or it is not `over` any more."""
        ...

    async def delete(self, owner: Owner, lorebook_id: str, over: SharedLorebook | None = None) -> bool:
        """Remove one, in one step; False when there was none, or it is not `over` any more."""
        ...
