"""A world in which long conversations are summed up, by a language model that writes down every word."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_conversations import RedisConversations
from chattr.adapters.redis_knowledge import RedisKnowledge
from chattr.adapters.redis_outbox import FULL_WINDOWS, RedisOutbox
from chattr.adapters.redis_summaries import RedisSummaries
from chattr.domain.character import Character
from chattr.domain.conversation import Message, Role, branch
from chattr.domain.memory import Changed, memory_id
from chattr.domain.prompt import Budget
from chattr.domain.summary import Summary, along
from chattr.ports.language import ChatRequest, Chunk
from chattr.ports.outbox import Outbox
from chattr.usecases.characters import Cast
from chattr.usecases.summarising import Summariser
from chattr.usecases.summing import Windows
from tests.memory_world import ANN, World, fake_world

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
    silent: bool = False
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
        if self.silent:
            return
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


def fake_office() -> Office:
    """An empty one."""
    return Office(fake_world(), FakeOutbox(lease_ms=0, block_ms=1))


@pytest.fixture(params=["fake", "redis"])
async def new_office(request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Awaitable[Office]]]:
    """Makes empty ones."""
    if request.param == "fake":

        async def faked() -> Office:
            return fake_office()

        yield faked
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:

        async def stored() -> Office:
            await redis.flushall()
            outbox = RedisOutbox(redis, lease_ms=1, block_ms=2)
            world = World(RedisConversations(redis), outbox, RedisKnowledge(redis), RedisSummaries(redis))
            return Office(world, RedisOutbox(redis, stream=FULL_WINDOWS, lease_ms=1, block_ms=2))

        yield stored
