"""What waits to be indexed or forgotten, so that nothing is lost while long-term memory is away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, Selection


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to do to long-term memory: remember, or forget. `id` is the outbox's own."""

    id: str
    owner: Owner
    work: Memory | Selection


class Outbox(Protocol):
    """A durable queue, at least once: what is taken and not done comes back, on any replica."""

    async def remember(self, owner: Owner, memories: Sequence[Memory]) -> None:
        """Put memories down to be indexed. Raises `Unavailable`."""
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

    async def done(self, entries: Sequence[Entry]) -> None:
        """Strike entries off. Raises `Unavailable`."""
        ...

    async def waiting(self) -> int:
        """Count the entries not yet done, of all owners. Raises `Unavailable`."""
        ...
