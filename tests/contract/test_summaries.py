"""The running summaries of conversations: one suite over the fake and a real Redis."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.summaries import FakeSummaries
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_conversations import RedisConversations
from chattr.adapters.redis_summaries import RedisSummaries
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Source
from chattr.domain.summary import Summary, summary_id
from chattr.ports.records import Conversations
from chattr.ports.summaries import Summaries

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")


@dataclass
class Shelf:
    """Conversations, and what was summed up of them."""

    conversations: Conversations
    summaries: Summaries

    async def talk(self, *, owner: Owner = ANN, conversation: str = "c") -> None:
        """Three messages, one under the other."""
        messages = [Message(f"m{n}", f"m{n - 1}" if n else None, "user", f"text {n}", float(n)) for n in range(3)]
        await self.conversations.create(owner, Conversation(conversation, "ada", 0.0, head_id="m2"), messages)

    async def ids(self, owner: Owner = ANN, conversation: str = "c") -> set[str]:
        return {one.through_id for one in await self.summaries.of(owner, conversation)}


@pytest.fixture(params=["fake", "redis"])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    if request.param == "fake":
        conversations = FakeConversations()
        yield Shelf(conversations, FakeSummaries(conversations))
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield Shelf(RedisConversations(redis), RedisSummaries(redis))


def summary(through: int, previous: int | None = None, text: str = "They met.") -> Summary:
    sources = (Source("c", f"m{through}", float(through)),)
    before = None if previous is None else summary_id("ada", f"m{previous}")
    return Summary(
        summary_id("ada", f"m{through}"), "c", "ada", f"m{through}", float(through), text, sources, 9.0, before
    )


async def test_a_summary_comes_back_as_it_was_kept_and_is_kept_once(shelf: Shelf) -> None:
    await shelf.talk()
    first = summary(0)
    assert await shelf.summaries.of(ANN, "c") == []
    assert await shelf.summaries.places(ANN) == []
    assert await shelf.summaries.put(ANN, first)
    assert not await shelf.summaries.put(ANN, summary(0, text="Another replica was slower."))
    assert await shelf.summaries.put(ANN, summary(1, 0))
    assert sorted(await shelf.summaries.of(ANN, "c"), key=lambda one: one.through_at) == [first, summary(1, 0)]
    assert await shelf.summaries.places(ANN) == ["c"]


async def test_nobody_sees_another_persons(shelf: Shelf) -> None:
    await shelf.talk()
    await shelf.talk(owner=BOB)
    await shelf.summaries.put(ANN, summary(0))
    assert await shelf.summaries.of(BOB, "c") == []
    assert await shelf.summaries.places(BOB) == []


async def test_one_takes_anothers_place_only_where_that_stands_still(shelf: Shelf) -> None:
    await shelf.talk()
    first = summary(0)
    await shelf.summaries.put(ANN, first)
    corrected = replace(first, text="They met in Leipzig.", corrected=True)
    assert await shelf.summaries.put(ANN, corrected, instead_of=first)
    assert not await shelf.summaries.put(ANN, replace(first, text="Too late."), instead_of=first)
    assert await shelf.summaries.of(ANN, "c") == [corrected]


async def test_none_is_kept_of_what_is_gone(shelf: Shelf) -> None:
    await shelf.talk()
    assert not await shelf.summaries.put(ANN, summary(7)), "no such message"
    assert not await shelf.summaries.put(ANN, summary(1, 0)), "no such summary before it"
    assert not await shelf.summaries.put(ANN, replace(summary(0), conversation_id="d")), "no such conversation"
    assert await shelf.ids() == set()


async def test_summaries_go_with_the_messages_that_they_end_with(shelf: Shelf) -> None:
    await shelf.talk()
    await shelf.summaries.put(ANN, summary(0))
    await shelf.summaries.put(ANN, summary(1, 0))
    await shelf.summaries.put(ANN, summary(2, 1))
    found = await shelf.conversations.get(ANN, "c")
    assert found is not None
    assert await shelf.conversations.prune(ANN, replace(found, head_id="m0"), ["m1", "m2"])
    assert await shelf.ids() == {"m0"}
    await shelf.summaries.drop(ANN, "c", [summary_id("ada", "m0")])
    assert await shelf.summaries.places(ANN) == []


async def test_summaries_go_with_their_conversation(shelf: Shelf) -> None:
    await shelf.talk()
    await shelf.summaries.put(ANN, summary(0))
    await shelf.conversations.delete(ANN, "c")
    await shelf.talk()
    assert await shelf.ids() == set()
    assert await shelf.summaries.places(ANN) == []


async def test_some_are_dropped(shelf: Shelf) -> None:
    await shelf.talk()
    await shelf.summaries.put(ANN, summary(0))
    await shelf.summaries.put(ANN, summary(1, 0))
    await shelf.summaries.drop(ANN, "c", [])
    await shelf.summaries.drop(ANN, "nowhere", ["x"])
    await shelf.summaries.drop(ANN, "c", [summary_id("ada", "m1"), "unknown"])
    assert await shelf.ids() == {"m0"}
