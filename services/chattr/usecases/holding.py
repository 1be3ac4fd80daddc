"""What is taken from an outbox stays taken for as long as somebody works at it, however long that is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from chatacter.chassis.errors import Unavailable
from chatacter.chassis.tasks import stopped
from chattr.ports.outbox import Entry, Outbox

# Of a lease: how long to wait before it is renewed, so that one renewal may fail.
PART: Final = 1 / 3
SHORTEST: Final = 0.01


@asynccontextmanager
async def held(outbox: Outbox, entries: Sequence[Entry]) -> AsyncIterator[None]:
    """Renew the leases of entries while the body runs."""
    task = asyncio.create_task(renewed(outbox, entries))
    try:
        yield
    finally:
        await stopped(task)


async def renewed(outbox: Outbox, entries: Sequence[Entry]) -> None:
    """Renew until cancelled. While the outbox is away nobody else takes anything either."""
    while True:
        await asyncio.sleep(max(SHORTEST, PART * outbox.lease))
        try:
            await outbox.hold(entries)
        except Unavailable:
            continue
