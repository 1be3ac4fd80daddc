"""Wherever the power is cut, and whatever was done: every branch has the summaries that a rebuild gives."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattr.domain.memory import Selection, memory_id
from tests.memory_world import ANN, PowerCut
from tests.summing_office import BLOCK, DUE, Office, fake_office

pytestmark = pytest.mark.integration


async def life(office: Office) -> None:
    """A long talk in which everything happens that can happen to one."""
    world = office.world
    said = await office.talk("a", DUE + 1)
    await office.sum_up("a")
    await office.talk("a", BLOCK)
    await world.forget(Selection(ids=(memory_id(ANN, said[5]),)))
    await office.sum_up("a")
    await world.index()
    await world.say("a", "elsewhere", said[4])
    await office.talk("a", BLOCK)
    await office.sum_up("a")
    await world.forget(Selection(ids=(memory_id(ANN, said[1]),)))
    await world.index()
    await world.switch("a", said[-1])
    await office.talk("a", 2)
    await office.sum_up("a")
    await world.cut("a", said[6])
    await office.talk("b", DUE)
    await office.sum_up("b", "a")
    await world.delete("b")
    await office.talk("b", 2)


async def recovered(office: Office) -> None:
    """Everything that waits is done, and every branch is as a rebuild gives: nothing more, nothing less."""
    world = office.world
    world.fuse.blows_at = None
    await world.index()
    await office.sum_up()
    for place in await world.conversations.list(ANN, before=None, limit=10):
        standing = await office.summing.standing(ANN, place.id)
        assert {one.id for one in await office.stored(place.id)} == set(standing), "what does not hold is gone"
        found = await of_every_branch(office, place.id)
        for one in await office.stored(place.id):
            assert one.text == await office.expected(one)
        await office.summing.drop(ANN, place.id)
        rebuilt = await of_every_branch(office, place.id)
        for leaf, summaries in rebuilt.items():
            assert found[leaf][: len(summaries)] == summaries


async def of_every_branch(office: Office, place: str) -> dict[str, list[tuple[str, str]]]:
    """What stands for each branch once it was summed up."""
    messages = await office.world.conversations.messages(ANN, place)
    answered = {one.parent_id for one in messages}
    leaves = [one.id for one in messages if one.id not in answered]
    for leaf in leaves:
        await office.world.switch(place, leaf)
        await office.sum_up(place)
    return {leaf: await office.along(place, leaf) for leaf in leaves}


async def test_every_branch_has_what_a_rebuild_gives_wherever_the_power_is_cut(
    new_office: Callable[[], Awaitable[Office]], request: pytest.FixtureRequest
) -> None:
    whole = await new_office()
    await life(whole)
    steps = whole.world.fuse.steps
    await recovered(whole)
    assert steps > 150
    every = 2 if "fake" in request.node.name else 17  # Redis takes longer, and does the same
    for step in range(1, steps + 1, every):
        office = await new_office()
        office.world.fuse.blows_at = step
        with pytest.raises(PowerCut):
            await life(office)
        await recovered(office)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=4, max_size=14), st.integers(1, 250))
@settings(max_examples=60, deadline=None)
def test_after_any_life_too(steps: list[tuple[int, int]], cut: int) -> None:
    async def lived() -> None:
        office = fake_office()
        office.world.fuse.blows_at = cut
        try:
            for what, which in steps:
                await one_step(office, what, which)
        except PowerCut:
            pass
        await recovered(office)

    asyncio.run(lived())


async def one_step(office: Office, what: int, which: int) -> None:
    """Do one thing to the conversation."""
    world = office.world
    messages = await world.conversations.messages(ANN, "a")
    chosen = messages[which % len(messages)] if messages else None
    match what:
        case 0 | 1:
            await office.talk("a", 1 + which % 5)
        case 2 if chosen:
            await world.say("a", f"w{which}", chosen.parent_id)
        case 3 if chosen:
            await world.cut("a", chosen.id)
        case 4 if chosen:
            await world.forget(Selection(ids=(memory_id(ANN, chosen.id),)))
        case 5:
            await office.sum_up("a")
