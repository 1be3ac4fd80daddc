"""Work for one request, given up as soon as the client hangs up, also before the answer has begun."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from chatacter.chassis.errors import Cancelled

T = TypeVar("T")

GONE = "The client hung up."


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work; cancel it and wait for its end when the client hangs up, then raise `Cancelled`.

    The request's body must have been read: what comes after it can only be the hang-up.
    """
    task = asyncio.create_task(work)
    hung_up = asyncio.create_task(hang_up(request))
    try:
        await asyncio.wait({task, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Cancelled(GONE)
        return task.result()
    finally:
        hung_up.cancel()
        task.cancel()
        await asyncio.wait({task, hung_up})


async def hang_up(request: Request) -> None:
    """Return when the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
