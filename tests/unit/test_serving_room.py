"""Room for fewer models than there are: who leaves, who stays, and who has to wait."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from chatacter.chassis.errors import Busy, Misconfigured
from chatacter.serving.loading import Loading
from chatacter.serving.memory import Footprint, footprint
from chatacter.serving.room import Room
from tests.waiting import until

pytestmark = pytest.mark.unit


class Model:
    """Counts what is done with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loaded = 0
        self.closed = 0
        self.error: Exception | None = None

    def load(self) -> None:
        if self.error:
            raise self.error
        self.loaded += 1

    def close(self) -> None:
        self.closed += 1


@asynccontextmanager
async def shelf(models: list[Model], size: int | None, preload: int = 0) -> AsyncIterator[list[Loading]]:
    """The models in a room, the first of them loaded at the start."""
    room = Room(size)
    loadings = [
        Loading(model.name, model.load, model.close, preload=number < preload, room=room)
        for number, model in enumerate(models)
    ]
    room.enter(loadings)
    async with AsyncExitStack() as stack:
        for loading in loadings:
            await stack.enter_async_context(loading.running())
        for loading in loadings:
            await loading.settled()
        yield loadings


async def use(loading: Loading) -> None:
    async with loading.used():
        assert loading.ready


async def test_the_one_used_longest_ago_makes_room() -> None:
    models = [Model(name) for name in "abc"]
    async with shelf(models, 2, preload=2) as (a, b, c):
        await use(b)
        await use(a)
        await use(c)
        assert (a.present, b.present, c.present) == (True, False, True)
        assert (models[1].loaded, models[1].closed) == (1, 1)
        assert b.told() is None, "the next request loads it again"
        await use(b)
        assert (a.present, models[1].loaded) == (False, 2)
    assert [model.loaded - model.closed for model in models] == [0, 0, 0]


async def test_without_a_size_all_stay() -> None:
    models = [Model(name) for name in "abc"]
    async with shelf(models, None) as loadings:
        for loading in loadings:
            await use(loading)
        assert all(loading.present for loading in loadings)


async def test_what_is_at_work_is_not_unloaded() -> None:
    models = [Model(name) for name in "ab"]
    async with shelf(models, 1, preload=1) as (a, b):
        async with a.used():
            with pytest.raises(Busy) as refused:
                await use(b)
            assert refused.value.retry_after
        await use(b)
        assert not a.present


async def test_who_asks_for_a_model_that_is_leaving_never_meets_it_half_gone() -> None:
    models = [Model("a"), Model("b")]
    gate, leaving = threading.Event(), threading.Event()
    close = models[0].close

    def slowly() -> None:
        leaving.set()
        gate.wait(5)
        close()

    models[0].close = slowly  # type: ignore[method-assign]
    async with shelf(models, 1, preload=1) as (a, b):
        other = asyncio.create_task(use(b))
        await asyncio.to_thread(leaving.wait, 5)
        again = asyncio.create_task(use(a))
        await asyncio.sleep(0)
        assert not again.done()
        gate.set()
        with pytest.raises(Busy):
            await again
        await other
        await use(a)
        assert (models[0].loaded, models[0].closed) == (2, 1)


async def test_two_who_want_the_same_model_load_it_once() -> None:
    held = threading.Event()
    model = Model("a")
    slow = Loading("a", lambda: (held.wait(5), model.load())[1], model.close, preload=False, room=Room(1))
    async with slow.running():
        first = asyncio.create_task(use(slow))
        while not slow.present:
            await asyncio.sleep(0)
        held.set()
        await first
        await use(slow)
    assert model.loaded == 1


async def test_one_that_cannot_be_loaded_takes_no_ones_place_for_good() -> None:
    models = [Model("a"), Model("b")]
    models[0].error = Misconfigured("no weights")
    async with shelf(models, 1) as (a, b):
        with pytest.raises(Misconfigured):
            await use(a)
        await use(b)
        assert (a.present, b.present) == (False, True)


class Heavy(Model):
    """Takes memory while it is loaded."""

    def __init__(self, name: str, size: int, machine: dict[str, int]) -> None:
        super().__init__(name)
        self.size = size
        self.machine = machine

    def load(self) -> None:
        super().load()
        self.machine[self.name] = self.size

    def close(self) -> None:
        super().close()
        self.machine.pop(self.name, None)


@asynccontextmanager
async def weighed(limit: int, **sizes: int) -> AsyncIterator[list[Loading]]:
    """Models of these sizes in a room of `limit` bytes."""
    machine: dict[str, int] = {}
    room = Room(limit=limit, measure=lambda: Footprint(100 + sum(machine.values()), 0))
    models = [Heavy(name, size, machine) for name, size in sizes.items()]
    loadings = [Loading(model.name, model.load, model.close, preload=False, room=room) for model in models]
    room.enter(loadings)
    async with AsyncExitStack() as stack:
        for loading in loadings:
            await stack.enter_async_context(loading.running())
        yield loadings


async def test_by_bytes_too_the_one_used_longest_ago_makes_room() -> None:
    async with weighed(10, a=4, b=5, c=3) as (a, b, c):
        for each in (a, b, a):
            await use(each)
        assert (a.held, b.held, c.held) == (4, 5, 0)
        await use(c)
        assert (a.present, b.present, c.present) == (True, False, True)
        await use(b)
        assert (a.present, b.present, c.present) == (False, True, True)


async def test_what_a_model_takes_is_remembered_and_made_room_for_before_it_loads() -> None:
    async with weighed(9, a=4, b=5, c=3) as (a, b, c):
        for each in (a, b, c):
            await use(each)
        assert (a.present, b.present, c.present) == (False, True, True)
        async with b.used(), c.used():
            with pytest.raises(Busy):
                await use(a)
        await use(a)
        assert (a.present, b.present, c.present) == (True, False, True)


async def test_two_that_load_at_once_are_measured_one_by_one() -> None:
    async with weighed(10, a=4, b=5) as (a, b):
        await asyncio.gather(use(a), use(b))
        assert (a.held, b.held) == (4, 5)


async def test_one_that_is_larger_than_the_room_stays_alone() -> None:
    async with weighed(3, a=4, b=2) as (a, b):
        await use(b)
        for _ in range(3):
            await use(a)
            await asyncio.gather(*a._leaving)
            assert a.present, "nobody else would have its room"
        assert not b.present
        await use(b)
        assert (a.present, b.present) == (False, True)


async def test_of_several_that_were_at_work_together_the_one_that_is_too_large_alone_stays() -> None:
    async with weighed(4, a=3, b=5) as (a, b):
        async with AsyncExitStack() as both:
            async with a.used():
                await both.enter_async_context(b.used())
            await until(lambda: not a.present)
        await asyncio.gather(*b._leaving)
        assert b.present


async def test_who_was_at_work_when_the_room_grew_too_small_leaves_after_it() -> None:
    async with weighed(6, a=4, b=5) as (a, b):
        async with a.used():
            await use(b)
        await until(lambda: a.present + b.present == 1)


async def test_what_others_take_during_a_load_counts_until_it_is_measured_again() -> None:
    machine: dict[str, int] = {}
    room = Room(limit=10, measure=lambda: Footprint(sum(machine.values()), 0))
    a, b = Heavy("a", 4, machine), Heavy("b", 2, machine)
    gate, loading = threading.Event(), threading.Event()

    def slowly() -> None:
        loading.set()
        gate.wait(5)
        b.load()

    one = Loading("a", a.load, a.close, preload=False, room=room)
    other = Loading("b", slowly, b.close, preload=False, room=room)
    room.enter([one, other])
    async with one.running(), other.running():
        await use(one)
        second = asyncio.create_task(use(other))
        await asyncio.to_thread(loading.wait, 5)
        async with one.used():
            machine["what a works with"] = 3
        gate.set()
        await second
        assert other.held == 5, "it may have been all its own"
        await other.unload()
        await use(other)
        assert other.held == 2
        await other.unload()
        b.size = 0
        await use(other)
        assert other.held == 2, "what its process kept for it is its own too"


def test_a_footprint_is_that_of_the_device_where_one_computes_on_it() -> None:
    before = Footprint(100, 10)
    assert [Footprint(*now).since(before) for now in ((150, 10), (150, 40), (90, 10))] == [50, 30, 0]
    assert footprint().host > 10_000_000
