"""A task ends for certain."""

import asyncio

import pytest

from chatacter.chassis.tasks import stopped

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("swallowed", [0, 1, 3])
async def test_a_task_that_swallows_cancellations_still_ends(swallowed: int) -> None:
    left = swallowed
    begun = asyncio.Event()

    async def stubborn() -> None:
        nonlocal left
        while True:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not left:
                    raise
                left -= 1

    task = asyncio.create_task(stubborn())
    await begun.wait()
    await stopped(task, again=0.01)
    assert task.cancelled()


async def test_a_task_that_fails_or_has_ended_is_left_as_it_is() -> None:
    async def failing() -> None:
        raise ValueError("its own")

    task = asyncio.create_task(failing())
    await stopped(task)
    await stopped(task)
    assert task.cancelled() or isinstance(task.exception(), ValueError)
