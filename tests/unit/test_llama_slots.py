"""Who gets which slot of the prompt cache."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import Busy
from chattr.adapters.llama_slots import QUEUE, Slots

pytestmark = pytest.mark.unit


async def used(slots: Slots, conversation: str | None) -> tuple[int, bool]:
    """Take a slot and give it back; which one it was, and whether it was another's before."""
    async with slots.place(conversation, Deadline.after(1)) as (slot, anew):
        return slot.number, anew


async def test_a_conversation_keeps_its_slot() -> None:
    slots = Slots(2)
    assert [await used(slots, name) for name in ("a", "b", "a", "b")] == [(0, True), (1, True), (0, False), (1, False)]


async def test_the_longest_unused_slot_is_given_away() -> None:
    slots = Slots(2)
    for name in ("a", "b", "a"):
        await used(slots, name)
    assert await used(slots, "c") == (1, True)
    assert await used(slots, "a") == (0, False)
    assert await used(slots, "b") == (1, True)


async def test_what_is_no_conversation_never_takes_a_conversations_slot() -> None:
    slots = Slots(1)
    await used(slots, "a")
    assert await used(slots, None) == (1, True)
    assert await used(slots, None) == (1, True)
    assert await used(slots, "a") == (0, False)


async def test_two_requests_of_one_conversation_do_not_share_a_slot() -> None:
    slots = Slots(2)
    async with slots.place("a", Deadline.after(1)) as (first, _), slots.place("a", Deadline.after(1)) as (second, _):
        assert first.number != second.number


async def test_who_waits_gets_the_slot_that_is_freed() -> None:
    slots = Slots(1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(slots.place("a", Deadline.after(5)))
        waiting = [asyncio.create_task(used(slots, name)) for name in ("b", "c")]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [(0, True), (0, True)]


async def test_waiting_ends_with_the_deadline() -> None:
    slots = Slots(1)
    async with slots.place("a", Deadline.after(5)):
        with pytest.raises(TimeoutError):
            async with slots.place("b", Deadline.after(0.01)):
                pytest.fail("there is no free slot")


async def test_the_queue_is_bounded() -> None:
    slots = Slots(1)
    async with slots.place("a", Deadline.after(5)):
        waiting = [asyncio.create_task(used(slots, str(number))) for number in range(QUEUE)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await used(slots, "one too many")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert await used(slots, "b") == (0, True)
