"""Characters and conversations: one suite over the fake and a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatacter.chassis.errors import NotFound, Unavailable
from chattr.adapters.fakes.records import FakeCharacters, FakeConversations
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_records import RedisCharacters, RedisConversations
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message, branch
from chattr.domain.identity import Owner
from chattr.ports.records import Characters, Conversations

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
EVE = Owner("evil", "ann")


@pytest.fixture(params=["fake", "redis"])
async def conversations(request: pytest.FixtureRequest) -> AsyncIterator[Conversations]:
    if request.param == "fake":
        yield FakeConversations()
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisConversations(redis)


@pytest.fixture(params=["fake", "redis"])
async def characters(request: pytest.FixtureRequest) -> AsyncIterator[Characters]:
    if request.param == "fake":
        yield FakeCharacters()
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisCharacters(redis)


def said(number: int, parent: int | None) -> Message:
    parent_id = None if parent is None else f"m{parent}"
    return Message(
        f"m{number}", parent_id, "user" if number % 2 else "assistant", f"text {number}", float(number), "ada"
    )


def character(name: str) -> Character:
    return Character(id=name, name=name.title(), personality="Friendly", system_prompt="You are friendly.")


async def test_a_conversation_keeps_its_messages_and_its_head(conversations: Conversations) -> None:
    assert await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None), said(2, 1)])
    await conversations.append(ANN, "c", [said(3, 2)])
    found = await conversations.get(ANN, "c")
    assert found is not None
    assert found.head_id == "m3"
    assert list(await conversations.messages(ANN, "c")) == [said(1, None), said(2, 1), said(3, 2)]


async def test_branches_stand_side_by_side(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None), said(2, 1)])
    await conversations.append(ANN, "c", [said(4, 1)])
    messages = await conversations.messages(ANN, "c")
    assert [m.id for m in branch(messages, "m2")] == ["m1", "m2"]
    assert [m.id for m in branch(messages, "m4")] == ["m1", "m4"]


async def test_creating_twice_changes_nothing(conversations: Conversations) -> None:
    assert await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None)])
    assert not await conversations.create(ANN, Conversation("c", "mira", 2.0))
    found = await conversations.get(ANN, "c")
    assert found is not None
    assert (found.character_id, found.head_id) == ("ada", "m1")


async def test_a_message_written_twice_stands_once(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None)])
    await conversations.append(ANN, "c", [said(1, None)])
    assert len(await conversations.messages(ANN, "c")) == 1


async def test_nobody_else_sees_a_conversation(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None)])
    for stranger in (BOB, EVE):
        assert await conversations.get(stranger, "c") is None
        assert not await conversations.messages(stranger, "c")
        assert not await conversations.list(stranger, before=None, limit=10)
        assert not await conversations.delete(stranger, "c")
        with pytest.raises(NotFound):
            await conversations.append(stranger, "c", [said(2, 1)])
    assert len(await conversations.messages(ANN, "c")) == 1


async def test_a_deleted_conversation_stays_deleted(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None)])
    assert await conversations.delete(ANN, "c")
    await conversations.set_live(ANN, "c", "reply")
    await conversations.end_live(ANN, "c", "reply")
    with pytest.raises(NotFound):
        await conversations.append(ANN, "c", [said(2, 1)])
    assert await conversations.get(ANN, "c") is None
    assert not await conversations.messages(ANN, "c")


async def test_pages_run_from_new_to_old_without_gaps(conversations: Conversations) -> None:
    for number in range(7):
        await conversations.create(ANN, Conversation(f"c{number}", "ada", float(number)))
    seen: list[str] = []
    before = None
    while page := await conversations.list(ANN, before=before, limit=3):
        seen += [conversation.id for conversation in page]
        before = seen[-1]
    assert seen == [f"c{number}" for number in reversed(range(7))]


async def test_concurrent_writers_lose_nothing(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await asyncio.gather(*(conversations.append(ANN, "c", [said(number, None)]) for number in range(1, 41)))
    assert {m.id for m in await conversations.messages(ANN, "c")} == {f"m{number}" for number in range(1, 41)}


async def live_reply(conversations: Conversations) -> str | None:
    found = await conversations.get(ANN, "c")
    assert found is not None
    return found.live_reply_id


async def test_the_live_reply_is_told_and_taken_back_unless_another_began(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.set_live(ANN, "c", "reply_1")
    assert await live_reply(conversations) == "reply_1"
    await conversations.set_live(ANN, "c", "reply_2")
    await conversations.end_live(ANN, "c", "reply_1")
    assert await live_reply(conversations) == "reply_2"
    await conversations.end_live(ANN, "c", "reply_2")
    assert await live_reply(conversations) is None


@pytest.mark.parametrize("conversation_id", ["c:messages", "c:order", ""])
async def test_what_cannot_be_an_id_is_not_there(conversations: Conversations, conversation_id: str) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None)])
    assert await conversations.get(ANN, conversation_id) is None
    assert not await conversations.delete(ANN, conversation_id)
    assert len(await conversations.messages(ANN, "c")) == 1


async def test_characters_belong_to_a_tenant(characters: Characters) -> None:
    assert await characters.add(ANN, character("zoe"))
    assert not await characters.add(BOB, character("zoe"))
    assert await characters.get(BOB, "zoe") == character("zoe")
    assert await characters.get(EVE, "zoe") is None
    assert await characters.add(EVE, character("zoe"))
    assert await characters.delete(ANN, "zoe")
    assert not await characters.delete(ANN, "zoe")
    assert [each.id for each in await characters.list(EVE)] == ["zoe"]
    assert not await characters.list(ANN)


async def test_redis_away_is_told(unused_tcp_port: int) -> None:
    async with connected(f"redis://127.0.0.1:{unused_tcp_port}/0") as redis:
        with pytest.raises(Unavailable) as told:
            await RedisConversations(redis).get(ANN, "c")
    assert told.value.retryable
    assert "Redis" in told.value.message
