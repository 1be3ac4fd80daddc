"""Blocking work in a thread, handed to the event loop piece by piece, and stopped when nobody listens any more."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from typing import Final, TypeVar, cast

import anyio

from chatacter.chassis.errors import Cancelled
from chatacter.serving.memory import within_memory

logger = logging.getLogger(__name__)

T = TypeVar("T")
# Blocking work: yields its pieces, and looks at the event often; once it is set, it ends soon.
Work = Callable[[threading.Event], Iterator[T]]

END: Final = object()


async def streamed(work: Work[T], ahead: int = 2) -> AsyncGenerator[T]:
    """Yield what `work` yields in a thread of its own; at most `ahead` pieces are made before they are wanted.

    Closing the generator, or cancelling the task that iterates it, sets the event that `work` was given and then waits
    until the thread has ended: whoever holds a place at the model holds it until the model is really free. What `work`
    raises is raised here; memory that could not be had, as `OutOfMemory`. The thread sees the context variables (the
    trace) of the caller.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[object] = asyncio.Queue()
    room = threading.Semaphore(ahead)
    cancelled = threading.Event()

    def run() -> None:
        with ExitStack() as stack:
            iterator = within_memory(lambda: work(cancelled))
            stack.callback(iterator.close)
            for piece in iterator:
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
                room.acquire()
                if cancelled.is_set():
                    return

    executor = ThreadPoolExecutor(1, thread_name_prefix="work")
    thread = loop.run_in_executor(executor, contextvars.copy_context().run, run)
    thread.add_done_callback(lambda _: pieces.put_nowait(END))
    heard = False
    try:
        while (piece := await pieces.get()) is not END:
            room.release()
            yield cast("T", piece)
        heard = True
        thread.result()
    finally:
        cancelled.set()
        room.release()
        await ended(thread)
        executor.shutdown(wait=False)
        if not heard:
            tell_unheard(thread.exception())


async def whole(work: Callable[[threading.Event], T]) -> T:
    """Do blocking work that has one answer, by the rules of `streamed`."""

    def pieces(cancelled: threading.Event) -> Iterator[T]:
        yield work(cancelled)

    async with aclosing(streamed(pieces)) as answers:
        return await anext(answers)


async def ended(thread: asyncio.Future[None]) -> None:
    """Wait for a thread's end whoever cancels the waiting; pass a cancellation on afterwards."""
    interrupted = False
    with anyio.CancelScope(shield=True):
        while not thread.done():
            try:
                await asyncio.wait([thread])
            except asyncio.CancelledError:
                interrupted = True
    if interrupted:
        raise asyncio.CancelledError


def tell_unheard(error: BaseException | None) -> None:
    """Log what went wrong after the listener had left; that the work was cancelled is no news."""
    if error is not None and not isinstance(error, Cancelled):
        logger.warning("cancelled work failed", exc_info=error, extra={"error.type": type(error).__name__})
