"""Work that runs beside everything else."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from chatacter.chassis.tasks import stopped

logger = logging.getLogger(__name__)

PAUSE: Final = 15.0


def run_beside(stack: AsyncExitStack, work: Callable[[], Coroutine[Any, Any, None]], pause: float = PAUSE) -> None:
    """Run something for as long as the stack is open. An error that nobody foresaw is told, and it begins again."""
    task = asyncio.create_task(again_and_again(work, pause))
    stack.push_async_callback(stopped, task)


async def again_and_again(work: Callable[[], Coroutine[Any, Any, None]], pause: float) -> None:
    """Do some work until it ends by itself."""
    while True:
        try:
            return await work()
        except Exception:  # told with its trace; a replica whose memory stood still would tell nobody
            logger.exception("work beside the requests failed; it begins again")
        await asyncio.sleep(pause)
