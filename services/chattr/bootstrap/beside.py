"""Work that runs beside everything else."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from chatacter.chassis.tasks import stopped


def run_beside(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Run something for as long as the stack is open."""
    task = asyncio.create_task(work)
    stack.push_async_callback(stopped, task)
