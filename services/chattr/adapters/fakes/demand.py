"""Requests in flight, in this process."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from chattr.adapters.demand_ticket import handed_in
from chattr.ports.jobs import Modality


class FakeDemand:
    """A counter. What found nobody to serve it stays counted."""

    def __init__(self) -> None:
        self._held: Counter[tuple[Modality, str]] = Counter()

    @asynccontextmanager
    async def holding(self, modality: Modality, model: str) -> AsyncIterator[None]:
        """Count one request for the length of the block."""
        self._held[modality, model] += 1

        async def end(unserved: bool) -> None:
            self._held[modality, model] -= not unserved

        async with handed_in(end):
            yield

    async def outstanding(self) -> Mapping[tuple[Modality, str], int]:
        """Count the requests that are held."""
        return dict(self._held)
