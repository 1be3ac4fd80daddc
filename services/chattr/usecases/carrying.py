"""How what waits in an outbox is worked off, at least once: taken, held for as long as the work lasts, struck off.

What fails comes back when its lease is over, on any replica; meanwhile one waits, longer each time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn

from chatacter.chassis.errors import ChatacterError
from chattr.domain.identity import Owner
from chattr.domain.memory import Changed
from chattr.ports.outbox import Entry, Outbox
from chattr.usecases.holding import held

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0

Carry = Callable[[Sequence[Entry]], Awaitable[None]]


async def carried_on(
    outbox: Outbox, carry: Carry, *, doing: str, at_once: int = 1, pause: float = FIRST_PAUSE
) -> NoReturn:
    """Take up to so many entries at once and have them carried, until cancelled. `doing` is for the log."""
    first = pause
    while True:
        try:
            entries = await outbox.take(at_once)
            async with held(outbox, entries):
                await carry(entries)
            pause = first
        except ChatacterError as error:
            logger.warning("work waits", extra={"doing": doing, "error.type": type(error).__name__})
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def struck_off(outbox: Outbox, entries: Sequence[Entry], work: Callable[[Owner, str], Awaitable[bool]]) -> None:
    """Do what is to be done with each conversation that changed, and strike off what is finished.

    `work` says whether it is; where it is not the time for it, the entry comes back when its lease is over.
    """
    finished = [
        one for one in entries if not isinstance(one.work, Changed) or await work(one.owner, one.work.conversation_id)
    ]
    if finished:
        await outbox.done(finished)
