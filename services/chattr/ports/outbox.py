"""What waits for long-term memory, so that nothing is lost while it is away.

It is told which conversations changed, never how: whoever takes an entry reads what is stored now and makes the memory
follow. Records that share a server with it put their entry down in the very write that changes a conversation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chattr.domain.identity import Owner
from chattr.domain.memory import Changed, Selection


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to do to long-term memory: follow a conversation, or forget. `id` is the outbox's own."""

    id: str
    owner: Owner
    work: Changed | Selection


class Outbox(Protocol):
    """A durable queue, at least once: what is taken and not done comes back, on any replica."""

    lease: float
    """Seconds after which what was taken, and neither held nor done, comes back."""

    async def note(self, owner: Owner, changes: Sequence[Changed]) -> None:
        """Put changes of conversations down. Raises `Unavailable`."""
        ...

    async def forget(self, owner: Owner, what: Selection) -> None:
        """Put down what to forget, for good: from now on `forgotten` tells it. Raises `Unavailable`."""
        ...

    async def forgotten(self, owner: Owner) -> Sequence[Selection]:
        """Return all that this person had forgotten, ever. Raises `Unavailable`."""
        ...

    async def take(self, limit: int) -> Sequence[Entry]:
        """Lease up to `limit` entries, waiting a moment for the first; empty without any. Raises `Unavailable`."""
        ...

    async def hold(self, entries: Sequence[Entry]) -> None:
        """Begin the leases of entries anew: somebody is still at it. Raises `Unavailable`."""
        ...

    async def done(self, entries: Sequence[Entry]) -> None:
        """Strike entries off. Raises `Unavailable`."""
        ...

    async def waiting(self) -> int:
        """Count the entries not yet done, of all owners. Raises `Unavailable`."""
        ...
