"""What the adapters of demand share: a ticket's end, and whether there was anybody to serve it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from chatacter.chassis.errors import Unavailable


@asynccontextmanager
async def handed_in(end: Callable[[bool], Awaitable[None]]) -> AsyncIterator[None]:
    """Await `end` after the block, told whether it found nobody to serve it."""
    unserved = False
    try:
        yield
    except Unavailable:
        unserved = True
        raise
    finally:
        await end(unserved)
