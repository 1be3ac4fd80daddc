"""Memory follows conversations: whatever is done, and wherever the power is cut, it ends as a rebuild makes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatacter.chassis.errors import NotFound
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.embedder import FakeEmbedder
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_conversations import RedisConversations
from chattr.adapters.redis_knowledge import RedisKnowledge
from chattr.adapters.redis_outbox import RedisOutbox
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Conversation, Message
from chattr.domain.memory import Selection, memory_id
from chattr.domain.person import Persona
from chattr.domain.tree import Tree
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from tests.memory_world import ANN, PowerCut, World, fake_world

pytestmark = pytest.mark.integration


@pytest.fixture(params=["fake", "redis"])
async def new_world(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Awaitable[World]]]:
    """Makes empty worlds."""
    if request.param == "fake":

        async def faked() -> World:
            return fake_world()

        yield faked
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:

        async def stored() -> World:
            await redis.flushall()
            return World(RedisConversations(redis), RedisOutbox(redis, lease_ms=1, block_ms=2), RedisKnowledge(redis))

        yield stored


async def test_who_a_person_is_said_to_be_is_who_spoke(new_world: Callable[[], Awaitable[World]]) -> None:
    world = await new_world()
    await world.say("a", "my dog is called biscuit")
    await world.index()
    found = await world.conversations.get(ANN, "a")
    assert found is not None
    await world.conversations.update(ANN, replace(found, persona=Persona(name="Annabel")), "persona")
    await world.index()
    assert [one.speaker for one in (await world.remembered()).values()] == ["Annabel"]
    assert await world.remembered() == await world.rebuilt()
    found = await world.conversations.get(ANN, "a")
    assert found is not None
    assert not found.branched


async def life(world: World) -> None:
    """A talk in which everything happens that can happen to one."""
    first = await world.say("a", "my dog is called biscuit")
    answer = await world.say("a", "what a nice name", first)
    dog = await world.learn("The dog is called Biscuit.", "a", first)
    await world.index()
    await world.amend(dog, "The dog is called Biscuit, a terrier.")
    instead = await world.say("a", "my dog is called rex", None)
    await world.learn("The dog is called Rex.", "a", instead, supersedes=dog)
    other = await world.say("b", "the boats are blue")
    later = await world.say("b", "the boats are red", other)
    await world.learn("The boats are of a colour.", "b", other, later)
    await world.learn("The boats are blue.", "b", other)
    await world.index(most=1)
    await world.switch("a", answer)
    await world.forget(Selection(ids=(memory_id(ANN, other),)))
    await world.index()
    await world.switch("a", instead)
    await world.say("a", "and my cat mina")
    await world.cut("a", first)
    await world.say("c", "my aunt ottilie kept bees")
    await world.index()
    await world.delete("c")
    await world.say("c", "a new beginning")
    await world.index()


async def test_memory_ends_as_a_rebuild_makes_it_wherever_the_power_is_cut(
    new_world: Callable[[], Awaitable[World]],
) -> None:
    whole = await new_world()
    await life(whole)
    assert await whole.remembered() == await whole.rebuilt()
    assert whole.fuse.steps > 60
    every = 1 if isinstance(whole.conversations, FakeConversations) else 5  # Redis takes longer, and does the same
    for step in range(1, whole.fuse.steps + 1, every):
        world = await new_world()
        world.fuse.blows_at = step
        with pytest.raises(PowerCut):
            await life(world)
        await world.index()
        assert await world.remembered() == await world.rebuilt(), f"cut before step {step}"
        assert not await world.known_of_what_was_forgotten(), f"cut before step {step}"


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1), st.integers(0, 30)), max_size=25), st.integers(1, 120))
@settings(max_examples=150, deadline=None)
def test_after_any_sequence_too(steps: list[tuple[int, int, int]], cut: int) -> None:
    async def lived() -> None:
        world = fake_world()
        world.fuse.blows_at = cut
        try:
            for what, where, which in steps:
                await one_step(world, what, f"c{where}", which)
        except PowerCut:
            pass
        world.fuse.blows_at = None
        await world.index()
        assert await world.remembered() == await world.rebuilt()

    asyncio.run(lived())


async def one_step(world: World, what: int, place: str, which: int) -> None:
    """Do one thing to a conversation, to one of its messages where there are any."""
    messages = await world.conversations.messages(ANN, place)
    chosen = messages[which % len(messages)] if messages else None
    match what:
        case 0:
            await world.say(place, f"text {which}")
        case 1 if chosen:
            await world.say(place, f"another {which}", chosen.parent_id)
        case 2 if chosen:
            await world.switch(place, Tree(messages).newest_leaf(chosen.id))
        case 3 if chosen:
            await world.cut(place, chosen.id)
        case 4:
            await world.index(most=1 + which % 3)
        case 5 if which > 20:
            await world.delete(place)
        case 6 if chosen:
            await world.forget(Selection(ids=(memory_id(ANN, chosen.id),)))


async def test_what_was_left_reaches_no_prompt_until_somebody_goes_back(
    new_world: Callable[[], Awaitable[World]],
) -> None:
    world = await new_world()
    first = await world.say("a", "my dog is called biscuit")
    await world.index()
    instead = await world.say("a", "my dog is called rex", None)
    await world.index()
    assert await world.recalled("my dog called") == {"my dog is called rex"}
    await world.switch("a", first)
    await world.index()
    assert await world.recalled("my dog called") == {"my dog is called biscuit"}
    await world.switch("a", instead)
    await world.cut("a", instead)
    await world.index()
    assert await world.recalled("my dog called") == {"my dog is called biscuit"}


async def test_switching_branches_embeds_nothing(new_world: Callable[[], Awaitable[World]]) -> None:
    world = await new_world()
    first = await world.say("a", "my dog is called biscuit")
    await world.say("a", "my dog is called rex", None)
    await world.index()
    world.embedder.away = True
    await world.switch("a", first)
    await world.index()
    assert {one.text: one.branch for one in (await world.remembered()).values()} == {
        "my dog is called biscuit": "active",
        "my dog is called rex": "left",
    }


async def test_what_is_not_memorable_is_not_remembered(new_world: Callable[[], Awaitable[World]]) -> None:
    world = await new_world()
    greeting = Message("g", None, "assistant", "hello, I am ada", 1.0, "ada", memorable=False)
    await world.conversations.create(ANN, Conversation("a", "ada", 1.0, head_id="g"), [greeting])
    await world.say("a", "my dog is called biscuit")
    await world.index()
    assert {one.text for one in (await world.remembered()).values()} == {"my dog is called biscuit"}


async def test_what_was_forgotten_is_not_remembered_when_a_conversation_is_stored_anew(
    new_world: Callable[[], Awaitable[World]],
) -> None:
    world = await new_world()
    first = await world.say("a", "my dog is called biscuit")
    await world.say("a", "my cat is called mina")
    await world.index()
    await world.forget(Selection(ids=(memory_id(ANN, first),)))
    kept = await world.conversations.messages(ANN, "a")
    conversation = await world.conversations.get(ANN, "a")
    assert conversation is not None
    await world.conversations.delete(ANN, "a")
    await world.index()
    assert await world.remembered() == {}
    await world.conversations.create(ANN, conversation, kept)
    await world.index()
    assert {one.text for one in (await world.remembered()).values()} == {"my cat is called mina"}


async def test_two_indexers_that_read_at_different_times_end_with_what_is_stored(
    new_world: Callable[[], Awaitable[World]],
) -> None:
    """The slower one writes last what it read first."""
    world = await new_world()
    first = await world.say("a", "my dog is called biscuit")
    slow = SlowEmbedder()
    indexer = Indexer(
        memory=world.memory,
        conversations=world.conversations,
        knowing=Knowing(world.knowledge),
        embedder=slow,
        outbox=world.outbox,
        stem=english_stemmer(),
    )
    working = asyncio.create_task(indexer.carry(await world.outbox.take(10)))
    await slow.asked.wait()
    found = await world.conversations.get(ANN, "a")
    assert found is not None
    assert await world.conversations.prune(ANN, replace(found, head_id=None), [first])
    with pytest.raises(NotFound):
        await world.conversations.append(ANN, "a", [Message("x", first, "user", "an orphan", 1.0)])
    await world.index()
    slow.go.set()
    await working
    assert await world.remembered() == {}


class SlowEmbedder(FakeEmbedder):
    """Waits before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Any:
        self.asked.set()
        await self.go.wait()
        return await super().embed(texts)


async def test_a_turn_is_understood_with_what_was_said_after_it_too(
    new_world: Callable[[], Awaitable[World]],
) -> None:
    world = await new_world()
    for text in ("my dog is called biscuit", "what a nice name", "he fears storms", "as do I", "good night"):
        await world.say("a", text)
        await world.index()
    remembered = await world.remembered()
    assert remembered == await world.rebuilt()
    assert len({one.talk for one in remembered.values()}) == len(remembered)
