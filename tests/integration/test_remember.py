"""Remembering as a whole: what is told comes back, whatever is away or crashes meanwhile; nobody gets another's."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
from opentelemetry.trace import NoOpTracer

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import Misconfigured, Unavailable, UpstreamFailed
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.embedder import FakeEmbedder
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.memory import FakeMemory
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_conversations import RedisConversations
from chattr.adapters.redis_knowledge import RedisKnowledge
from chattr.adapters.redis_outbox import RedisOutbox
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Selection, memory_id
from chattr.ports.embedder import Vectors
from chattr.ports.knowledge import Knowledge
from chattr.ports.memory import Candidate, MemoryIndex, Point, Query
from chattr.ports.outbox import Outbox
from chattr.ports.records import Conversations
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from chattr.usecases.remember import BY_WORDS_ALONE, MEMORY_AWAY, Remember
from chattr.usecases.renewal import Renewal
from tests.telling import tell
from tests.waiting import eventually

pytestmark = pytest.mark.integration

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")


@dataclass
class House:
    """The use case and everything beneath it."""

    memory: FakeMemory
    embedder: FakeEmbedder
    outbox: Outbox
    conversations: Conversations
    knowledge: Knowledge
    now: float = 1000.0

    def remember(self, memory: MemoryIndex | None = None) -> Remember:
        return Remember(
            memory=memory or self.memory,
            embedder=self.embedder,
            outbox=self.outbox,
            knowing=Knowing(self.knowledge),
            stem=english_stemmer(),
            tracer=NoOpTracer(),
            clock=lambda: self.now,
        )

    def indexer(self, memory: MemoryIndex | None = None) -> Indexer:
        return Indexer(
            memory=memory or self.memory,
            conversations=self.conversations,
            knowing=Knowing(self.knowledge),
            embedder=self.embedder,
            outbox=self.outbox,
            stem=english_stemmer(),
            pause=0.01,
        )

    async def tell(self, owner: Owner, *texts: str, character: str = "ada", conversation: str = "c1") -> None:
        messages = [Message(text, None, "user", text, self.now + number) for number, text in enumerate(texts)]
        await tell(self.conversations, owner, character, conversation, messages)

    async def indexed(self, indexer: Indexer | None = None) -> None:
        """Run an indexer until nothing waits."""
        running = asyncio.create_task((indexer or self.indexer()).run())
        await drained(self.outbox)
        running.cancel()
        await asyncio.wait([running])

    async def recalled(self, owner: Owner, text: str, character: str = "ada", exclude: Sequence[str] = ()) -> list[str]:
        recollection = await self.remember().recall(owner, character, text, exclude, Deadline.after(5.0))
        assert recollection.told is None
        return [one.memory.text for one in recollection.memories]


async def drained(outbox: Outbox, left: int = 0) -> None:
    async def done() -> bool:
        return await outbox.waiting() <= left

    await eventually(done, seconds=10)


@pytest.fixture(params=["fake", "redis"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "fake":
        outbox = FakeOutbox(lease_ms=50, block_ms=20)
        yield House(FakeMemory(), FakeEmbedder(), outbox, FakeConversations(outbox), FakeKnowledge(outbox))
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield House(
            FakeMemory(),
            FakeEmbedder(),
            RedisOutbox(redis, lease_ms=50, block_ms=20),
            RedisConversations(redis),
            RedisKnowledge(redis),
        )


async def test_what_is_told_comes_back_to_the_same_person_and_character_only(house: House) -> None:
    await house.tell(ANN, "my dog is called biscuit", "  ")
    await house.indexed()
    assert await house.recalled(ANN, "my dog called what") == ["my dog is called biscuit"]
    assert await house.recalled(BOB, "my dog called what") == []
    assert await house.recalled(ANN, "my dog called what", character="bo") == []
    assert await house.recalled(ANN, "my dog called what", exclude=["my dog is called biscuit"]) == []


async def test_the_prompt_gets_lines(house: House) -> None:
    await house.tell(ANN, "my dog is called biscuit")
    await house.indexed()
    recollection = await house.remember().recall(ANN, "ada", "the dog called", (), Deadline.after(5.0))
    assert recollection.items == ('1970-01-01, user: "my dog is called biscuit"',)


async def test_a_reply_goes_on_without_memory_and_is_told(house: House) -> None:
    house.memory.away = True
    recollection = await house.remember().recall(ANN, "ada", "dog", (), Deadline.after(5.0))
    assert (recollection.memories, recollection.told) == ((), MEMORY_AWAY)


async def test_without_the_embedder_words_find_what_was_told_and_it_is_told(house: House) -> None:
    await house.tell(ANN, "my dog is called biscuit", "the harbour was grey")
    await house.indexed()
    house.embedder.away = True
    recollection = await house.remember().recall(ANN, "ada", "my dog", (), Deadline.after(5.0))
    assert recollection.memories[0].memory.text == "my dog is called biscuit"
    assert recollection.told == BY_WORDS_ALONE


@pytest.mark.parametrize("trouble", [None, Misconfigured("no such model"), UpstreamFailed("broken")])
async def test_an_embedder_that_is_slow_or_refuses_leaves_time_for_words(
    house: House, trouble: Exception | None
) -> None:
    await house.tell(ANN, "my dog is called biscuit")
    await house.indexed()
    house.embedder = TroubledEmbedder(trouble)
    recollection = await house.remember().recall(ANN, "ada", "my dog", (), Deadline.after(2.0))
    assert [one.memory.text for one in recollection.memories] == ["my dog is called biscuit"]
    assert recollection.told == BY_WORDS_ALONE


async def test_a_slow_memory_is_told_within_the_deadline(house: House) -> None:
    recollection = await house.remember(SlowMemory()).recall(ANN, "ada", "dog", (), Deadline.after(0.02))
    assert (recollection.memories, recollection.told) == ((), MEMORY_AWAY)


async def test_turns_wait_while_memory_is_away_and_none_is_lost(house: House) -> None:
    house.memory.away = True
    running = asyncio.create_task(house.indexer().run())
    for number in range(50):
        await house.tell(ANN, f"fact number{number}")
    assert await house.outbox.waiting() == 50
    house.memory.away = False
    await drained(house.outbox)
    running.cancel()
    assert len(await house.memory.newest(ANN, Selection(), limit=100)) == 50


async def test_a_crash_between_writing_and_striking_off_indexes_once(house: House) -> None:
    await house.tell(ANN, "my dog is called biscuit")
    crashing = asyncio.create_task(house.indexer(StopsAfterWriting(house.memory)).run())
    await asyncio.wait([crashing])
    assert isinstance(crashing.exception(), PowerCut)
    assert len(await house.memory.newest(ANN, Selection(), limit=10)) == 1
    assert await house.outbox.waiting() == 1
    await house.indexed()
    assert len(await house.memory.newest(ANN, Selection(), limit=10)) == 1


async def test_several_indexers_share_the_work(house: House) -> None:
    for number in range(100):
        await house.tell(ANN, f"fact number{number}")
    others = [asyncio.create_task(house.indexer().run()) for _ in range(3)]
    await house.indexed()
    for other in others:
        other.cancel()
    assert len(await house.memory.newest(ANN, Selection(), limit=200)) == 100


async def test_what_is_forgotten_is_gone_even_if_it_was_still_waiting(house: House) -> None:
    await house.tell(ANN, "my dog is called biscuit")
    await house.tell(BOB, "my dog is called rex")
    house.now += 10
    assert await house.remember().forget(ANN, Selection()) is True
    await house.indexed()
    assert await house.memory.newest(ANN, Selection(), limit=10) == []
    assert await house.recalled(BOB, "my dog called") == ["my dog is called rex"]
    house.now += 1
    await house.tell(ANN, "my cat is called mina")
    await house.indexed()
    assert await house.recalled(ANN, "my dog my cat called") == ["my cat is called mina"]


async def test_forgetting_while_memory_is_away_holds_at_once_and_is_done_later(house: House) -> None:
    await house.tell(ANN, "my dog is called biscuit", "my cat is called mina")
    await house.indexed()
    forgotten = memory_id(ANN, "my dog is called biscuit")
    house.now += 10
    house.memory.away = True
    assert await house.remember().forget(ANN, Selection(ids=(forgotten,))) is False
    house.memory.away = False
    assert await house.recalled(ANN, "my dog called") == ["my cat is called mina"]
    assert [one.text for one in await house.remember().newest(ANN, Selection(), limit=9)] == ["my cat is called mina"]
    await house.indexed()
    assert [one.text for one in await house.memory.newest(ANN, Selection(), limit=9)] == ["my cat is called mina"]


async def test_an_entry_that_memory_rejects_holds_up_no_other(house: House) -> None:
    await house.tell(ANN, "poison", "my dog is called biscuit")
    await house.tell(BOB, "my dog is called rex")
    rejecting = asyncio.create_task(house.indexer(Rejecting(house.memory)).run())
    await drained(house.outbox, left=1)
    rejecting.cancel()
    assert await house.recalled(ANN, "my dog called") == ["my dog is called biscuit"]
    assert await house.recalled(BOB, "my dog called") == ["my dog is called rex"]
    await house.indexed()
    assert len(await house.memory.newest(ANN, Selection(), limit=10)) == 2


async def test_nothing_can_be_remembered_without_the_outbox() -> None:
    outbox = FakeOutbox()
    outbox.away = True
    house = House(FakeMemory(), FakeEmbedder(), outbox, FakeConversations(outbox), FakeKnowledge(outbox))
    with pytest.raises(Unavailable):
        await house.tell(ANN, "my dog is called biscuit")
    with pytest.raises(Unavailable):
        await house.remember().forget(ANN, Selection())
    recollection = await house.remember().recall(ANN, "ada", "dog", (), Deadline.after(5.0))
    assert recollection.told == MEMORY_AWAY


class PowerCut(BaseException):
    """The process ends here."""


class StopsAfterWriting(FakeMemory):
    """Writes, and then the power is gone."""

    def __init__(self, memory: FakeMemory) -> None:
        super().__init__()
        self._memory = memory

    async def upsert(self, owner: Owner, points: Sequence[Point]) -> None:
        await self._memory.upsert(owner, points)
        raise PowerCut


class TroubledEmbedder(FakeEmbedder):
    """Fails, or never answers."""

    def __init__(self, trouble: Exception | None) -> None:
        super().__init__()
        self._trouble = trouble

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self._trouble is not None:
            raise self._trouble
        await asyncio.Event().wait()
        return await super().embed(texts)


class SlowMemory(FakeMemory):
    """Never answers."""

    async def speakers(self, owner: Owner, within: Selection) -> Sequence[str]:
        return []

    async def search(self, owner: Owner, query: Query) -> Sequence[Candidate]:
        await asyncio.Event().wait()
        return []


class Rejecting(FakeMemory):
    """Rejects whole requests that hold one bad point, as a server does."""

    def __init__(self, memory: FakeMemory) -> None:
        super().__init__()
        self._memory = memory

    async def upsert(self, owner: Owner, points: Sequence[Point]) -> None:
        if any(point.memory.text == "poison" for point in points):
            raise UpstreamFailed("rejected")
        await self._memory.upsert(owner, points)


async def test_a_change_of_embedder_indexes_anew_in_the_background_while_words_find(house: House) -> None:
    await house.tell(ANN, "my dog is called biscuit", "the harbour was grey")
    await house.tell(BOB, "my cat is called mina")
    await house.indexed()
    house.embedder = OtherEmbedder()
    recollection = await house.remember().recall(ANN, "ada", "my dog", (), Deadline.after(5.0))
    assert recollection.memories[0].memory.text == "my dog is called biscuit"
    assert recollection.memories[0].meaning == 0.0
    renewal = Renewal(house.indexer(), rest=60.0, pause=0.001)
    working = asyncio.create_task(renewal.run())

    async def renewed() -> bool:
        return not await house.memory.stale(OtherEmbedder.name, limit=1) and await renewal.told() is None

    await eventually(renewed, seconds=10)
    working.cancel()
    again = await house.remember().recall(ANN, "ada", "my dog", (), Deadline.after(5.0))
    assert again.memories[0].meaning > 0.1
    assert [one.text for one in await house.memory.newest(BOB, Selection(), limit=9)] == ["my cat is called mina"]


async def test_indexing_anew_is_told_while_it_is_under_way_and_waits_for_what_is_away(house: House) -> None:
    await house.tell(ANN, "my dog is called biscuit")
    await house.indexed()
    house.embedder = OtherEmbedder()
    house.embedder.away = True
    renewal = Renewal(house.indexer(), rest=0.01, pause=0.01)
    working = asyncio.create_task(renewal.run())
    await asyncio.sleep(0)
    house.embedder.away = False

    async def told() -> bool:
        return not await house.memory.stale(OtherEmbedder.name, limit=1)

    await eventually(told, seconds=10)
    working.cancel()


async def test_forgetting_one_turn_takes_its_words_from_its_neighbours_too(house: House) -> None:
    await house.tell(ANN, "hello there", "my dog is called biscuit", "what a day")
    await house.indexed()
    house.now += 10
    await house.remember().forget(ANN, Selection(ids=(memory_id(ANN, "my dog is called biscuit"),)))
    await house.indexed()
    left = await house.remember().search(ANN, "biscuit", Selection())
    assert {one.memory.text for one in left} == {"hello there", "what a day"}
    assert [one.words for one in left] == [0.0, 0.0]


class OtherEmbedder(FakeEmbedder):
    """Another one, as far as anybody can tell."""

    name = "other-bag"
