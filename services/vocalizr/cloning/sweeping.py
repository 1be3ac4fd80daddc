"""What a process that died had begun to store, and nobody ends: swept up once an hour."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chatacter.chassis.errors import ChatacterError
from chatacter.chassis.tasks import stopped
from chatacter.serving.work import whole
from vocalizr.cloning.store import VoiceStore

logger = logging.getLogger(__name__)

# Seconds, far more than a request may take: who began so long ago is not at work any more.
GIVEN_UP: Final = 3600.0


@asynccontextmanager
async def swept(store: VoiceStore, seconds: float = GIVEN_UP) -> AsyncIterator[None]:
    """Sweep for the length of the block what is older than `seconds`, as often."""
    task = asyncio.create_task(sweeping(store, seconds), name="sweep voices")
    try:
        yield
    finally:
        await stopped(task)


async def sweeping(store: VoiceStore, seconds: float) -> None:
    """Sweep again and again; a store that is away is swept the next time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            found = await whole(lambda _: store.swept(time.time() - seconds))
        except ChatacterError as error:
            logger.warning("voices could not be swept", extra={"error.type": type(error).__name__})
        else:
            if found:
                logger.info("voices swept", extra={"count": found})
