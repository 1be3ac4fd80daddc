"""Memory follows conversations: whatever is done, and wherever the power is cut, it ends as a rebuild makes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import NoOpTracer

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import NotFound
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.embedder import FakeEmbedder
from chattr.adapters.fakes.memory import FakeMemory
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_conversations import RedisConversations
from chattr.adapters.redis_outbox import RedisOutbox
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Changed, Memory, Selection, memory_id
from chattr.domain.tree import Tree
from chattr.ports.outbox import Outbox
from chattr.ports.records import Conversations
from chattr.usecases.indexing import Indexer
from chattr.usecases.remember import Remember

pytestmark = pytest.mark.integration

ANN = Owner("acme", "ann")
EVERYTHING = Selection()


class PowerCut(BaseException):
    """The process ends here."""


@dataclass
class Fuse:
    """Counts what is asked of ports, and cuts the power before the `blows_at`th."""

    blows_at: int | None = None
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.blows_at:
            raise PowerCut


class Wired:
    """A port behind a fuse."""

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def asked(*given: Any, **named: Any) -> Any:
            self._fuse.step()
            return await found(*given, **named)

        return asked


@dataclass
class World:
    """Conversations and the memory of them, each step of which may be the last."""

    conversations: Conversations
    outbox: Outbox
    memory: FakeMemory = field(default_factory=FakeMemory)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    fuse: Fuse = field(default_factory=Fuse)
    now: float = 1000.0
    made: int = 0

    def wired(self, port: Any) -> Any:
        return Wired(port, self.fuse)

    def indexer(self) -> Indexer:
        return Indexer(
            memory=self.wired(self.memory),
            conversations=self.wired(self.conversations),
            embedder=self.wired(self.embedder),
            outbox=self.wired(self.outbox),
            stem=english_stemmer(),
        )

    def remember(self) -> Remember:
        return Remember(
            memory=self.wired(self.memory),
            embedder=self.wired(self.embedder),
            outbox=self.wired(self.outbox),
            stem=english_stemmer(),
            tracer=NoOpTracer(),
            clock=lambda: self.now,
        )

    async def say(self, conversation_id: str, text: str, parent_id: str | None = "head") -> str:
        """Say something at the head, or in answer to a message."""
        await self.wired(self.conversations).create(ANN, Conversation(conversation_id, "ada", self.now))
        head = await self.head(conversation_id)
        self.now += 1
        self.made += 1
        parent_id = head if parent_id == "head" else parent_id
        message = Message(f"m{self.made}", parent_id, "user", text, self.now, "ada")
        await self.wired(self.conversations).append(ANN, conversation_id, [message])
        return message.id

    async def head(self, conversation_id: str) -> str | None:
        found = await self.conversations.get(ANN, conversation_id)
        return found.head_id if found else None

    async def switch(self, conversation_id: str, message_id: str) -> None:
        found = await self.conversations.get(ANN, conversation_id)
        assert found is not None
        await self.wired(self.conversations).update(ANN, replace(found, head_id=message_id), "head_id")

    async def cut(self, conversation_id: str, message_id: str) -> None:
        """Delete a message with what followed, as the doors do it."""
        found = await self.conversations.get(ANN, conversation_id)
        assert found is not None
        tree = Tree(await self.conversations.messages(ANN, conversation_id))
        removed = tree.under(message_id)
        head = tree.head_without(removed, found.head_id)
        self.now += 1
        assert await self.wired(self.conversations).prune(ANN, replace(found, head_id=head), removed)
        await self.remember().forget(ANN, Selection(ids=tuple(memory_id(ANN, each) for each in removed)))

    async def delete(self, conversation_id: str) -> None:
        self.now += 1
        await self.wired(self.conversations).delete(ANN, conversation_id)
        await self.remember().forget(ANN, Selection(conversation_id=conversation_id))

    async def forget(self, what: Selection) -> None:
        self.now += 1
        await self.remember().forget(ANN, what)

    async def index(self, most: int = 32) -> None:
        """Let an indexer work until nothing waits."""
        indexer = self.indexer()
        while await self.outbox.waiting():
            await indexer.carry(await self.wired(self.outbox).take(most))

    async def remembered(self) -> dict[str, Memory]:
        return {one.id: one for one in await self.memory.newest(ANN, EVERYTHING, limit=1000)}

    async def rebuilt(self) -> dict[str, Memory]:
        """What an empty memory gets from what is stored."""
        anew = World(self.conversations, RebuildOutbox(self.outbox))
        stored = await self.conversations.list(ANN, before=None, limit=100)
        await anew.outbox.note(ANN, [Changed(one.id) for one in stored])
        await anew.index()
        return await anew.remembered()

    async def recalled(self, text: str) -> set[str]:
        found = await self.remember().recall(ANN, "ada", text, (), Deadline.after(5.0), limit=20)
        assert found.told is None
        return {one.memory.text for one in found.memories}


class RebuildOutbox(FakeOutbox):
    """An empty outbox that knows what was forgotten."""

    def __init__(self, other: Outbox) -> None:
        super().__init__(lease_ms=0, block_ms=1)
        self._other = other

    async def forgotten(self, owner: Owner) -> Sequence[Selection]:
        return await self._other.forgotten(owner)


def fake_world() -> World:
    outbox = FakeOutbox(lease_ms=0, block_ms=1)
    return World(FakeConversations(outbox), outbox)


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
            return World(RedisConversations(redis), RedisOutbox(redis, lease_ms=1, block_ms=2))

        yield stored


async def life(world: World) -> None:
    """A talk in which everything happens that can happen to one."""
    first = await world.say("a", "my dog is called biscuit")
    answer = await world.say("a", "what a nice name", first)
    await world.index()
    instead = await world.say("a", "my dog is called rex", None)
    other = await world.say("b", "the boats are blue")
    await world.say("b", "the boats are red", other)
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
    for step in range(1, whole.fuse.steps + 1):
        world = await new_world()
        world.fuse.blows_at = step
        with pytest.raises(PowerCut):
            await life(world)
        await world.index()
        assert await world.remembered() == await world.rebuilt(), f"cut before step {step}"


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
        embedder=slow,
        outbox=world.outbox,
        stem=english_stemmer(),
    )
    working = asyncio.create_task(indexer.carry(await world.outbox.take(10)))
    await slow.asked.wait()
    await world.cut("a", first)
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
