"""The outbox in a list."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

from chatacter.chassis.errors import Unavailable
from chattr.domain.identity import Owner
from chattr.domain.memory import Changed, Selection
from chattr.ports.outbox import Entry


class FakeOutbox:
    """Holds entries until the process ends. While `away` is set, every call raises `Unavailable`."""

    def __init__(
        self, *, lease_ms: int = 30_000, block_ms: int = 1_000, clock: Callable[[], float] = monotonic
    ) -> None:
        self.away = False
        self.lease = lease_ms / 1000
        self._block = block_ms / 1000
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._leased_until: dict[str, float] = {}
        self._forgotten: dict[tuple[Owner, Selection], float] = {}
        self._added = 0
        self._news = asyncio.Event()

    async def note(self, owner: Owner, changes: Sequence[Changed]) -> None:
        """Put changes of conversations down."""
        for change in changes:
            self.put(owner, change)

    def put(self, owner: Owner, change: Changed) -> None:
        """Put a change down, in one step with what records of the same kind write."""
        self._present()
        self._add(owner, change)

    async def forget(self, owner: Owner, what: Selection) -> None:
        """Put down what to forget."""
        self._present()
        if what.until is None:
            raise ValueError("forgetting needs a moment up to which it reaches")
        place = (owner, replace(what, until=None))
        self._forgotten[place] = max(what.until, self._forgotten.get(place, what.until))
        self._add(owner, what)

    async def forgotten(self, owner: Owner) -> Sequence[Selection]:
        """Return all that this person had forgotten."""
        self._present()
        return [replace(what, until=until) for (whose, what), until in self._forgotten.items() if whose == owner]

    async def take(self, limit: int) -> Sequence[Entry]:
        """Lease entries, waiting a moment for the first."""
        self._present()
        taken = self._free(limit)
        if not taken:
            self._news.clear()
            try:
                async with asyncio.timeout(self._block):
                    await self._news.wait()
            except TimeoutError:
                return []
            taken = self._free(limit)
        for entry in taken:
            self._leased_until[entry.id] = self._clock() + self.lease
        return taken

    async def hold(self, entries: Sequence[Entry]) -> None:
        """Begin the leases of entries anew."""
        self._present()
        for entry in entries:
            if entry.id in self._entries:
                self._leased_until[entry.id] = self._clock() + self.lease

    async def done(self, entries: Sequence[Entry]) -> None:
        """Strike entries off."""
        self._present()
        for entry in entries:
            self._entries.pop(entry.id, None)

    async def waiting(self) -> int:
        """Count the entries not yet done."""
        self._present()
        return len(self._entries)

    def _add(self, owner: Owner, work: Changed | Selection) -> None:
        self._added += 1
        self._entries[f"{self._added:09}"] = Entry(f"{self._added:09}", owner, work)
        self._news.set()

    def _free(self, limit: int) -> list[Entry]:
        now = self._clock()
        return [one for one in self._entries.values() if self._leased_until.get(one.id, 0.0) <= now][:limit]

    def _present(self) -> None:
        if self.away:
            raise Unavailable("The outbox is away.", retry_after=1.0)
