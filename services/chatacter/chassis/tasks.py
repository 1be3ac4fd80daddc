"""Ending tasks for certain."""

import asyncio
from typing import Any, Final

CANCEL_AGAIN_SECONDS: Final = 2.0


async def stopped(task: asyncio.Task[Any], *, again: float = CANCEL_AGAIN_SECONDS) -> None:
    """Cancel a task and wait for its end, however it ends.

    Cancels again, after `again` seconds each, while it goes on: `asyncio.wait_for` in Python 3.11 can swallow a
    cancellation, and redis-py sends every command through it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=again)
