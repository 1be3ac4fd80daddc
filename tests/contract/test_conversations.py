"""Conversations: one suite over the fake and a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest

from chatacter.chassis.errors import NotFound, Unavailable
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.redis_connection import connected, key
from chattr.adapters.redis_conversations import RedisConversations
from chattr.adapters.redis_outbox import RedisOutbox
from chattr.domain.conversation import OPENING_CHARACTERS, Conversation, Message, branch
from chattr.domain.identity import Owner
from chattr.domain.memory import Changed
from chattr.domain.person import Persona
from chattr.ports.outbox import Outbox
from chattr.ports.records import Conversations

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


def said(number: int, parent: int | None) -> Message:
    parent_id = None if parent is None else f"m{parent}"
    return Message(
        f"m{number}", parent_id, "user" if number % 2 else "assistant", f"text {number}", float(number), "ada"
    )


async def found(conversations: Conversations) -> Conversation:
    read = await conversations.get(ANN, "c")
    assert read is not None
    return read


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
    await conversations.append(ANN, "c", [said(2, 1)])
    await conversations.append(ANN, "c", [said(1, None)])
    assert (await found(conversations)).head_id == "m2"


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
    for unknown in ("c9", ""):
        with pytest.raises(NotFound):
            await conversations.list(ANN, before=unknown, limit=3)


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


async def test_redis_away_is_told(unused_tcp_port: int) -> None:
    async with connected(f"redis://127.0.0.1:{unused_tcp_port}/0") as redis:
        with pytest.raises(Unavailable) as told:
            await RedisConversations(redis).get(ANN, "c")
    assert told.value.retryable
    assert "Redis" in told.value.message


async def test_a_reply_becomes_the_head_where_nobody_went_elsewhere(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None)])
    assert await conversations.answer(ANN, "c", said(2, 1), begun_at="m1")
    await conversations.append(ANN, "c", [said(3, 2)])
    await conversations.append(ANN, "c", [said(5, 2)])
    assert not await conversations.answer(ANN, "c", said(4, 3), begun_at="m3")
    assert (await found(conversations)).head_id == "m5"
    assert [m.id for m in await conversations.messages(ANN, "c")] == ["m1", "m2", "m3", "m5", "m4"]


async def test_a_reply_may_stand_at_the_root(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    assert await conversations.answer(ANN, "c", said(2, None), begun_at=None)
    assert not await conversations.answer(ANN, "c", said(4, None), begun_at=None)
    assert (await found(conversations)).head_id == "m2"


async def test_nothing_is_added_under_what_is_gone(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None)])
    before = await found(conversations)
    with pytest.raises(NotFound):
        await conversations.answer(ANN, "c", said(4, 3), begun_at="m1")
    with pytest.raises(NotFound):
        await conversations.append(ANN, "c", [said(2, 1), said(5, 4)])
    assert await found(conversations) == before
    assert [m.id for m in await conversations.messages(ANN, "c")] == ["m1"]


async def test_a_conversation_tells_whether_it_branched(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None), said(2, 1)])
    await conversations.answer(ANN, "c", said(4, 2), begun_at="m2")
    assert not (await found(conversations)).branched
    await conversations.append(ANN, "c", [said(1, None)])
    assert not (await found(conversations)).branched
    await conversations.append(ANN, "c", [said(3, 1)])
    assert (await found(conversations)).branched


async def test_a_conversation_begins_with_all_it_is_given(conversations: Conversations) -> None:
    begun = Conversation(
        "c", "ada", 1.0, "Title", "m3", None, Persona(name="Ann", description="A painter."), branched=True
    )
    given = [said(number, number - 1 if number > 1 else None) for number in range(1, 3000)]
    assert await conversations.create(ANN, begun, given)
    assert not await conversations.create(ANN, begun, [said(9001, None)])
    assert await found(conversations) == begun
    assert list(await conversations.messages(ANN, "c")) == given


async def test_only_the_named_fields_are_written(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0, "Old"))
    read = await found(conversations)
    await conversations.append(ANN, "c", [said(1, None), said(2, 1)])
    await conversations.update(ANN, replace(read, persona=Persona(name="Ann")), "persona")
    await conversations.update(ANN, replace(read, title="New"), "title")
    now = await found(conversations)
    assert (now.title, now.persona, now.head_id) == ("New", Persona(name="Ann"), "m2")
    await conversations.update(ANN, replace(read, head_id="m1"), "head_id")
    assert (await found(conversations)).head_id == "m1"
    with pytest.raises(NotFound):
        await conversations.update(ANN, replace(read, head_id="m7"), "head_id")
    with pytest.raises(NotFound):
        await conversations.update(BOB, replace(read, title="Mine"), "title")


async def test_a_field_may_be_written_only_where_nothing_changed(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    read = await found(conversations)
    assert await conversations.update(ANN, replace(read, members=("ada", "mira")), "members", at_revision=read.revision)
    late = replace(read, members=("ada", "leo"))
    assert not await conversations.update(ANN, late, "members", at_revision=read.revision)
    assert (await found(conversations)).members == ("ada", "mira")


async def test_a_group_s_messages_say_who_heard_them(conversations: Conversations) -> None:
    begun = Conversation("c", "ada", 1.0, members=("ada", "mira"), order="model", replies=3)
    await conversations.create(ANN, begun)
    message = Message("m1", None, "user", "Hello", 1.0, audience=("ada", "mira"), kept_by=("mira",))
    await conversations.append(ANN, "c", [message])
    assert list(await conversations.messages(ANN, "c")) == [message]
    now = await found(conversations)
    assert (now.members, now.order, now.replies) == (begun.members, "model", 3)


async def test_what_was_removed_is_gone_and_the_head_is_told(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None), said(2, 1), said(3, 2)])
    read = await found(conversations)
    assert await conversations.prune(ANN, replace(read, head_id="m1"), ["m2", "m3"])
    assert [m.id for m in await conversations.messages(ANN, "c")] == ["m1"]
    assert (await found(conversations)).head_id == "m1"
    with pytest.raises(NotFound):
        await conversations.answer(ANN, "c", said(4, 3), begun_at="m3")
    with pytest.raises(NotFound):
        await conversations.prune(BOB, read, ["m1"])


async def test_nothing_is_removed_from_a_conversation_that_changed_since(conversations: Conversations) -> None:
    await conversations.create(ANN, Conversation("c", "ada", 1.0))
    await conversations.append(ANN, "c", [said(1, None), said(2, 1)])
    read = await found(conversations)
    await conversations.answer(ANN, "c", said(4, 2), begun_at="m2")
    assert not await conversations.prune(ANN, replace(read, head_id="m1"), ["m2"])
    assert [m.id for m in await conversations.messages(ANN, "c")] == ["m1", "m2", "m4"]
    assert (await found(conversations)).head_id == "m4"


async def test_what_the_first_version_wrote_is_read(redis_url: str) -> None:
    """Stored by 0.1: no persona, no revision."""
    async with connected(redis_url) as redis:
        home = key(ANN, "conversation", "c")
        meta = {
            "schema_version": 1,
            "id": "c",
            "character_id": "ada",
            "created_at": 1.0,
            "title": None,
            "head_id": "m1",
            "live_reply_id": None,
        }
        await redis.hset(home, mapping={name: orjson.dumps(value) for name, value in meta.items()})
        await redis.zadd(key(ANN, "conversations"), {"c": 1.0})
        message = {
            "schema_version": 1,
            "id": "m1",
            "parent_id": None,
            "role": "user",
            "content": "Hello",
            "created_at": 1.0,
            "character_id": "ada",
            "status": "complete",
        }
        await redis.hset(f"{home}:messages", "m1", orjson.dumps(message))
        await redis.rpush(f"{home}:order", "m1")
        conversations = RedisConversations(redis)
        assert await found(conversations) == Conversation("c", "ada", 1.0, None, "m1")
        assert list(await conversations.messages(ANN, "c")) == [Message("m1", None, "user", "Hello", 1.0, "ada")]
        assert await conversations.answer(ANN, "c", said(2, 1), begun_at="m1")
        now = await found(conversations)
        assert (now.head_id, now.branched) == ("m2", False)
        assert await conversations.prune(ANN, replace(now, head_id="m1"), ["m2"])


@pytest.fixture(params=["fake", "redis"])
async def noted(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Conversations, Outbox]]:
    """Conversations, and the outbox that hears of them."""
    if request.param == "fake":
        outbox = FakeOutbox(block_ms=5)
        yield FakeConversations(outbox), outbox
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisConversations(redis), RedisOutbox(redis, block_ms=5)


async def test_every_change_of_what_is_remembered_is_put_down_with_it(noted: tuple[Conversations, Outbox]) -> None:
    conversations, outbox = noted

    async def told() -> list[object]:
        entries = await outbox.take(10)
        if entries:
            await outbox.done(entries)
        assert all(entry.owner == ANN for entry in entries)
        return [entry.work for entry in entries]

    await conversations.create(ANN, Conversation("empty", "ada", 1.0))
    assert await told() == []
    await conversations.create(ANN, Conversation("c", "ada", 1.0), [said(1, None)])
    assert await told() == [Changed("c")]
    await conversations.append(ANN, "c", [said(2, 1), said(3, 2)])
    assert await told() == [Changed("c", ("m2", "m3"))]
    await conversations.answer(ANN, "c", said(4, 3), begun_at="m3")
    assert await told() == [Changed("c", ("m4",))]
    meta = await conversations.get(ANN, "c")
    assert meta is not None
    await conversations.update(ANN, replace(meta, title="a name"), "title")
    assert await told() == []
    await conversations.update(ANN, replace(meta, head_id="m2"), "head_id")
    assert await told() == [Changed("c")]
    now = await conversations.get(ANN, "c")
    assert now is not None
    assert await conversations.prune(ANN, now, ["m3", "m4"])
    assert await told() == [Changed("c")]
    await conversations.delete(ANN, "c")
    assert await told() == [Changed("c")]


async def test_without_long_term_memory_nothing_is_put_down(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        conversations = RedisConversations(redis, noted=False)
        await conversations.create(ANN, Conversation("c", "ada", 1.0), [said(1, None)])
        await conversations.append(ANN, "c", [said(2, 1)])
        await conversations.delete(ANN, "c")
        assert await RedisOutbox(redis, block_ms=5).waiting() == 0


async def test_a_list_is_told_what_was_said_first_and_not_the_rest(conversations: Conversations) -> None:
    for name in ("empty", "greeted", "talked"):
        await conversations.create(ANN, Conversation(name, "ada", 1.0))
    greetings = [said(2, None), said(4, None)]
    await conversations.append(ANN, "greeted", greetings)
    first = replace(said(1, 2), content="Grüße – " + "ü" * 200)
    await conversations.append(ANN, "talked", [*greetings, first, said(3, 1)])
    names = ["talked", "empty", "greeted", "nowhere"]
    assert list(await conversations.openings(ANN, names)) == [first.content[:OPENING_CHARACTERS], None, None, None]
    assert list(await conversations.openings(BOB, ["talked"])) == [None]
    assert list(await conversations.openings(ANN, [])) == []
