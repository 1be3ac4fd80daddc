"""Waiting for what another task, thread or process does, without guessing how long it takes."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return once the condition holds; `TimeoutError` when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """The same for a condition that must itself be asked for."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


def until_it_answers(process: subprocess.Popen[bytes], ask: Callable[[], object], log: Path) -> None:
    """Ask a process by HTTP until it listens. Raises with its log when it ends or takes longer than a minute."""
    end = time.monotonic() + 60
    while True:
        try:
            ask()
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.02)
        else:
            return
