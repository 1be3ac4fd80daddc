"""Long conversations are summed up while nobody waits, and what is summed up goes with what it was made of."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import Busy, ChatacterError, NotFound, UpstreamFailed
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_conversations import RedisConversations
from chattr.adapters.redis_knowledge import RedisKnowledge
from chattr.adapters.redis_outbox import FULL_WINDOWS, RedisOutbox
from chattr.adapters.redis_summaries import RedisSummaries
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message, Role, branch
from chattr.domain.memory import Changed, Selection, memory_id
from chattr.domain.prompt import Budget
from chattr.domain.summary import Summary, along
from chattr.ports.language import ChatRequest, Chunk
from chattr.ports.outbox import Outbox
from chattr.usecases.characters import Cast
from chattr.usecases.summarising import Summariser
from chattr.usecases.summing import Windows
from tests.memory_world import ANN, PowerCut, World, fake_world

pytestmark = pytest.mark.integration

ADA = Character(id="ada", name="Ada", system_prompt="You are Ada.")
MIRA = Character(id="mira", name="Mira", system_prompt="You are Mira.")
WINDOWS = Windows(Budget(), 8)
# A block is four of eight messages; it is summed up as soon as two stand behind it.
BLOCK, DUE = 4, 6


def summed(before: str, said: Sequence[str]) -> str:
    """What the model below makes of it."""
    return f"({before} {' '.join(said)})"


@dataclass
class Clerk:
    """A language model that writes down every word."""

    name: str = "clerk"
    trouble: ChatacterError | None = None
    meanwhile: Callable[[], Awaitable[None]] | None = None
    asked: list[ChatRequest] = field(default_factory=list)

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        self.asked.append(request)
        if self.trouble is not None:
            raise self.trouble
        if self.meanwhile is not None:
            work, self.meanwhile = self.meanwhile, None
            await work()
        before, said = request.messages[1]["content"].removeprefix("SUMMARY SO FAR:\n").split("\n\nSAID SINCE:\n")
        lines = [line.split(": ", 1)[1] for line in said.split("\n\nNEW SUMMARY:")[0].splitlines()]
        text = summed("" if before == "(nothing)" else before, lines)
        yield {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}

    async def check(self) -> str | None:
        return None


@dataclass
class Office:
    """A world in which long conversations are summed up."""

    world: World
    queue: Outbox
    clerk: Clerk = field(default_factory=Clerk)

    def __post_init__(self) -> None:
        self.summing = self.world.summing(self.queue, WINDOWS)
        self.summariser = Summariser(
            cast=Cast({"ada": ADA, "mira": MIRA}, {}, FakeCharacters(), default="ada"),
            conversations=self.world.wired(self.world.conversations),
            summing=self.summing,
            queue=self.world.wired(self.queue),
            language=self.clerk,
            clock=lambda: self.world.now,
        )

    async def talk(self, conversation_id: str, count: int) -> list[str]:
        """The person and Ada by turns."""
        said = []
        for _ in range(count):
            messages = await self.world.conversations.messages(ANN, conversation_id)
            path = branch(messages, await self.world.head(conversation_id, ANN))
            role: Role = "assistant" if path and path[-1].role == "user" else "user"
            said.append(await self.world.say(conversation_id, f"w{self.world.made}", role=role))
        return said

    async def sum_up(self, *conversations: str) -> None:
        """What a reply does at its end, and what is done while nobody waits."""
        await self.world.wired(self.queue).note(ANN, [Changed(each) for each in conversations])
        while await self.queue.waiting():
            await self.summariser.carry(await self.world.wired(self.queue).take(4))

    async def along(self, conversation_id: str, leaf: str | None = None) -> list[tuple[str, str]]:
        """What stands for a branch, the active one unless a leaf is named: where each ends, and what it says."""
        messages = await self.world.conversations.messages(ANN, conversation_id)
        path = branch(messages, leaf or await self.world.head(conversation_id, ANN))
        found = (await self.summing.standing(ANN, conversation_id)).values()
        return [(one.through_id, one.text) for _, one in along(found, "ada", path)]

    async def stored(self, conversation_id: str) -> Sequence[Summary]:
        assert self.world.summaries is not None
        return await self.world.summaries.of(ANN, conversation_id)

    async def expected(self, summary: Summary) -> str:
        """What a summary has to say, by the messages themselves, those before it, and what was forgotten."""
        messages = await self.world.conversations.messages(ANN, summary.conversation_id)
        chain = [summary]
        stored = {one.id: one for one in await self.stored(summary.conversation_id)}
        while chain[0].previous_id is not None:
            chain.insert(0, stored[chain[0].previous_id])
        text, first = "", 0
        for one in chain:
            path = branch(messages, one.through_id)
            said = [each.content for each in path[first:] if not await self.forgot(each)]
            text, first = summed(text, said) if said else text, len(path)
        return text

    async def forgot(self, message: Message) -> bool:
        """Whether one message was forgotten; nothing else is, here."""
        forgotten = await self.world.outbox.forgotten(ANN)
        return any(memory_id(ANN, message.id) in (what.ids or ()) for what in forgotten)


@pytest.fixture(params=["fake", "redis"])
async def new_office(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Awaitable[Office]]]:
    """Makes empty ones."""
    if request.param == "fake":

        async def faked() -> Office:
            return Office(fake_world(), FakeOutbox(lease_ms=0, block_ms=1))

        yield faked
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:

        async def stored() -> Office:
            await redis.flushall()
            outbox = RedisOutbox(redis, lease_ms=1, block_ms=2)
            world = World(RedisConversations(redis), outbox, RedisKnowledge(redis), RedisSummaries(redis))
            return Office(world, RedisOutbox(redis, stream=FULL_WINDOWS, lease_ms=1, block_ms=2))

        yield stored


@pytest.fixture
async def office(new_office: Callable[[], Awaitable[Office]]) -> Office:
    return await new_office()


async def test_a_block_is_summed_up_with_the_summary_before_it(office: Office) -> None:
    said = await office.talk("a", DUE)
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)")]
    said += await office.talk("a", BLOCK)
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)"), (said[7], "(( w0 w1 w2 w3) w4 w5 w6 w7)")]
    assert len(office.clerk.asked) == 2
    await office.sum_up("a")
    assert len(office.clerk.asked) == 2, "nothing is summed up twice"


async def test_nobody_waits_for_it_and_nothing_warm_is_evicted(office: Office) -> None:
    await office.talk("a", DUE)
    await office.sum_up("a")
    (request,) = office.clerk.asked
    assert request.background
    assert request.conversation is None
    assert request.sampling["max_tokens"] == 400


async def test_a_long_conversation_that_came_from_elsewhere_is_summed_up_block_by_block(office: Office) -> None:
    said = await office.talk("a", 4 * BLOCK + 3)
    await office.sum_up("a")
    assert [through for through, _ in await office.along("a")] == [said[3], said[7], said[11], said[15]]


async def test_on_another_branch_the_summary_that_is_still_true_stands(office: Office) -> None:
    said = await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    there = await office.along("a")
    other = await office.world.say("a", "elsewhere", said[5])
    assert await office.along("a") == there[:1]
    more = await office.talk("a", 4)
    await office.sum_up("a")
    assert await office.along("a") == [there[0], (more[0], f"({there[0][1]} w4 w5 elsewhere w11)")]
    await office.world.switch("a", said[-1])
    assert await office.along("a") == there
    assert other


async def test_what_is_deleted_takes_its_summaries_along(office: Office) -> None:
    said = await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    await office.world.cut("a", said[6])
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)")]
    assert len(await office.stored("a")) == 1
    await office.world.cut("a", said[0])
    assert await office.stored("a") == []


async def test_what_is_forgotten_stands_in_no_summary_and_is_not_summed_up_again(office: Office) -> None:
    said = await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    await office.world.forget(Selection(ids=(memory_id(ANN, said[5]),)))
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)")]
    assert len(await office.stored("a")) == 1
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "( w0 w1 w2 w3)"), (said[7], "(( w0 w1 w2 w3) w4 w6 w7)")]
    await office.world.forget(Selection(character_id="ada"))
    assert await office.stored("a") == []
    await office.sum_up("a")
    assert {text for _, text in await office.along("a")} == {""}
    asked = len(office.clerk.asked)
    more = await office.talk("a", BLOCK)
    await office.sum_up("a")
    assert (await office.along("a"))[-1] == (more[1], "( w10 w11)")
    assert len(office.clerk.asked) == asked + 1


async def test_what_is_forgotten_while_it_is_summed_up_is_not_in_it(office: Office) -> None:
    said = await office.talk("a", DUE)

    async def forget() -> None:
        await office.world.forget(Selection(ids=(memory_id(ANN, said[1]),)))

    office.clerk.meanwhile = forget
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "( w0 w2 w3)")]
    assert len(await office.stored("a")) == 1


async def test_what_is_deleted_while_it_is_summed_up_is_not_in_it(office: Office) -> None:
    said = await office.talk("a", DUE)

    async def cut() -> None:
        await office.world.cut("a", said[2])

    office.clerk.meanwhile = cut
    await office.sum_up("a")
    assert await office.stored("a") == []


async def test_a_correction_is_what_later_summaries_go_on_from(office: Office) -> None:
    said = await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    first = next(one for one in await office.stored("a") if one.previous_id is None)
    await office.summing.correct(ANN, "a", first.id, "They met in Leipzig.")
    assert await office.along("a") == [(said[3], "They met in Leipzig.")]
    await office.sum_up("a")
    assert (await office.along("a"))[1] == (said[7], "(They met in Leipzig. w4 w5 w6 w7)")
    with pytest.raises(NotFound):
        await office.summing.correct(ANN, "a", "unknown", "x")


async def test_a_correction_while_the_next_is_made_is_not_lost(office: Office) -> None:
    said = await office.talk("a", DUE)
    await office.sum_up("a")
    (first,) = await office.stored("a")
    await office.talk("a", BLOCK)

    async def correct() -> None:
        await office.summing.correct(ANN, "a", first.id, "They met.")

    office.clerk.meanwhile = correct
    await office.sum_up("a")
    assert await office.along("a") == [(said[3], "They met."), ("m8", "(They met. w4 w5 w6 w7)")]


async def test_one_that_is_taken_back_takes_those_made_of_it_along_and_is_made_anew(office: Office) -> None:
    await office.talk("a", DUE + BLOCK)
    await office.sum_up("a")
    before = await office.along("a")
    first = next(one for one in await office.stored("a") if one.previous_id is None)
    await office.summing.drop(ANN, "a", first.id)
    assert await office.stored("a") == []
    await office.sum_up("a")
    assert await office.along("a") == before
    await office.summing.drop(ANN, "a")
    assert await office.stored("a") == []
    with pytest.raises(NotFound):
        await office.summing.drop(ANN, "a", first.id)


async def test_a_reply_that_is_being_written_is_not_disturbed(office: Office) -> None:
    await office.talk("a", DUE)
    await office.world.conversations.set_live(ANN, "a", "r1")
    await office.queue.note(ANN, [Changed("a")])
    await office.summariser.carry(await office.queue.take(1))
    assert office.clerk.asked == []
    assert await office.queue.waiting()
    await office.world.conversations.end_live(ANN, "a", "r1")
    await office.sum_up()
    assert len(await office.stored("a")) == 1


async def test_a_model_that_gives_way_is_asked_again_and_one_that_refuses_is_not(office: Office) -> None:
    await office.talk("a", DUE)
    office.clerk.trouble = Busy("somebody talks")
    with pytest.raises(Busy):
        await office.sum_up("a")
    assert await office.queue.waiting()
    office.clerk.trouble = UpstreamFailed("refused")
    await office.sum_up()
    assert not await office.queue.waiting()
    assert await office.stored("a") == []
    office.clerk.trouble = None
    await office.sum_up("a")
    assert len(await office.stored("a")) == 1


async def test_of_two_replicas_one_is_heard(office: Office) -> None:
    await office.talk("a", DUE)
    other = Office(office.world, office.queue)

    async def quicker() -> None:
        await other.sum_up("a")

    office.clerk.meanwhile = quicker
    await office.sum_up("a")
    (kept,) = await office.stored("a")
    assert kept.text == "( w0 w1 w2 w3)"
    assert await other.along("a") == await office.along("a")


async def gather(office: Office, place: str, count: int, *, missed: int | None = None) -> None:
    """The person and Ada by turns, and Mira listening, but for one message."""
    conversations = office.world.conversations
    await conversations.create(ANN, Conversation(place, "ada", 1.0, members=("ada", "mira")))
    messages = await conversations.messages(ANN, place)
    parent = messages[-1].id if messages else None
    for number in range(len(messages), len(messages) + count):
        heard = ("ada",) if number == missed else ("ada", "mira")
        role: Role = "assistant" if number % 2 else "user"
        speaker = "ada" if number % 2 else None
        name = f"{place}{number}"
        said = Message(name, parent, role, f"w{number}", float(number), speaker, audience=heard, kept_by=heard)
        await conversations.append(ANN, place, [said])
        parent = name


async def test_in_a_group_each_has_what_it_heard_summed_up(office: Office) -> None:
    await gather(office, "g", DUE, missed=1)
    await office.sum_up("g")
    assert {(one.character_id, one.text) for one in await office.stored("g")} == {
        ("ada", "( w0 w1 w2 w3)"),
        ("mira", "( w0 w2 w3)"),
    }
    assert "Ada: w3" in office.clerk.asked[-1].messages[1]["content"]
    assert "between User and Mira" in office.clerk.asked[-1].messages[0]["content"]


async def test_what_all_of_a_group_heard_is_summed_up_once_for_all(office: Office) -> None:
    await gather(office, "g", DUE)
    await office.sum_up("g")
    assert {(one.character_id, one.text) for one in await office.stored("g")} == {
        ("ada", "( w0 w1 w2 w3)"),
        ("mira", "( w0 w1 w2 w3)"),
    }
    assert len(office.clerk.asked) == 1


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
        office = Office(fake_world(), FakeOutbox(lease_ms=0, block_ms=1))
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
