"""Blocking work in a thread: order, backpressure, errors, and an end that is really the end."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator

import anyio
import pytest

from chatacter.chassis.errors import Unsupported
from chatacter.serving.work import streamed

pytestmark = pytest.mark.unit


class Counter:
    """Work that counts its pieces and remembers that it ended."""

    def __init__(self, pieces: int = 1_000_000) -> None:
        self.pieces = pieces
        self.made = 0
        self.ended = threading.Event()

    def __call__(self, cancelled: threading.Event) -> Iterator[int]:
        try:
            for number in range(self.pieces):
                if cancelled.is_set():
                    return
                self.made += 1
                yield number
        finally:
            self.ended.set()


async def test_pieces_come_in_order_and_the_thread_ends() -> None:
    work = Counter(50)
    assert [piece async for piece in streamed(work)] == list(range(50))
    assert work.ended.is_set()


async def test_no_more_is_made_than_is_wanted() -> None:
    work = Counter()
    pieces = streamed(work, ahead=2)
    for wanted in range(1, 500):
        await anext(pieces)
        assert work.made <= wanted + 2
    await pieces.aclose()
    assert work.ended.is_set()
    assert work.made <= 502


async def test_an_error_in_the_thread_is_raised_here() -> None:
    def work(_: threading.Event) -> Iterator[int]:
        yield 1
        raise Unsupported("no")

    pieces = streamed(work)
    assert await anext(pieces) == 1
    with pytest.raises(Unsupported):
        await anext(pieces)


@pytest.mark.parametrize("how", ["task", "scope"])
async def test_cancelling_the_listener_waits_for_the_thread(how: str) -> None:
    ended = threading.Event()

    def work(cancelled: threading.Event) -> Iterator[int]:
        try:
            yield 1
            cancelled.wait(10)
        finally:
            threading.Event().wait(0.05)  # the model finishes its step
            ended.set()

    heard = asyncio.Event()

    async def listen() -> None:
        pieces = streamed(work)
        try:
            async for _ in pieces:
                heard.set()
        finally:
            with anyio.CancelScope(shield=True):
                await pieces.aclose()

    if how == "task":
        task = asyncio.create_task(listen())
        await heard.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await heard.wait()
            group.cancel_scope.cancel()
    assert ended.is_set()


async def test_work_that_fails_after_the_listener_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def work(_: threading.Event) -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("the device is gone")

    pieces = streamed(work)
    await anext(pieces)
    await pieces.aclose()
    assert [record.getMessage() for record in caplog.records] == ["cancelled work failed"]


async def test_a_plain_iterator_will_do() -> None:
    assert [piece async for piece in streamed(lambda _: iter([1, 2]))] == [1, 2]


async def test_the_thread_sees_the_callers_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("trace")

    def work(_: threading.Event) -> Iterator[str]:
        yield variable.get()

    assert [piece async for piece in streamed(work)] == ["trace"]
