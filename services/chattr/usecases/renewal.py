"""Memories that another embedder, or an older version, indexed are indexed anew in the background.

Until then words find them: vectors of different embedders are never compared, terms are the same for all.
"""

import asyncio
import logging
from typing import Final

from chatacter.chassis.errors import ChatacterError
from chattr.usecases.indexing import Indexer

logger = logging.getLogger(__name__)

# How long to wait before looking again where nothing was left: an older replica may still write in its way.
REST: Final = 60.0
# Beside what is said now, old memories wait their turn.
PAUSE: Final = 0.05
AFTER_FAILURE: Final = 5.0
UNDER_WAY: Final = "Memories are being indexed anew for this embedder; until then words alone find the others."


class Renewal:
    """Looks for memories to index anew, a few at a time. Any number of replicas may run one."""

    def __init__(self, indexer: Indexer, *, rest: float = REST, pause: float = PAUSE) -> None:
        self._indexer = indexer
        self._rest = rest
        self._pause = pause
        self._under_way = False

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                self._under_way = await self._indexer.renew() > 0
                wait = self._pause if self._under_way else self._rest
            except ChatacterError as error:
                logger.warning("indexing anew waits", extra={"error.type": type(error).__name__})
                wait = min(self._rest, AFTER_FAILURE)
            await asyncio.sleep(wait)

    async def told(self) -> str | None:
        """Say that it is under way; None otherwise."""
        return UNDER_WAY if self._under_way else None
