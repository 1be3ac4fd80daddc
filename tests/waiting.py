"""Waiting for what another task, thread or process does, without guessing how long it takes."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return once the condition holds; `TimeoutError` when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it may change in a thread or a process, which signals no event
            await asyncio.sleep(0.005)
