"""What long-term memory does for a reply: it reaches the prompt, also from behind the window; its absence is told."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracer

from chatacter.chassis.deadline import Deadline
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.embedder import FakeEmbedder
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.memory import FakeMemory
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.fakes.sessions import FakeSessionLog, FakeShortTerm
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.character import Character, MemoryPolicy
from chattr.domain.identity import Owner
from chattr.domain.memory import Selection
from chattr.domain.prompt import Budget
from chattr.ports.language import ChatRequest, Chunk
from chattr.ports.sessions import COMPLETED, Event
from chattr.usecases.characters import Cast
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from chattr.usecases.live import Live
from chattr.usecases.remember import MEMORY_AWAY, Remember
from chattr.usecases.reply import Reply, Surroundings
from chattr.usecases.scene import NOT_OFFERED, Ask, Place, Under

pytestmark = pytest.mark.unit

ANN = Owner("acme", "ann")
ADA = Character(id="ada", name="Ada", personality="Curious.")
FACT = "my dog is called biscuit"


@dataclass
class Nodder:
    """A model that nods, and remembers its prompts."""

    name: str = "nodder"
    asked: list[ChatRequest] = field(default_factory=list)

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        self.asked.append(request)
        yield {"choices": [{"index": 0, "delta": {"content": "Noted."}, "finish_reason": "stop"}]}

    async def check(self) -> str | None:
        return None


class Room:
    """Ada with a memory."""

    def __init__(self, *, recall: bool = True, ada: Character = ADA, models: tuple[str, ...] = ()) -> None:
        self.model, self.memory, self.outbox, self.live = Nodder(), FakeMemory(), FakeOutbox(block_ms=1), Live()
        embedder, stem = FakeEmbedder(), english_stemmer()
        conversations, knowing = FakeConversations(self.outbox), Knowing(FakeKnowledge(self.outbox))
        self.conversations = conversations
        self.indexer = Indexer(
            memory=self.memory,
            conversations=conversations,
            knowing=knowing,
            embedder=embedder,
            outbox=self.outbox,
            stem=stem,
        )
        remember = Remember(
            memory=self.memory, embedder=embedder, outbox=self.outbox, knowing=knowing, stem=stem, tracer=NoOpTracer()
        )
        around = Surroundings(
            cast=Cast({"ada": ada}, {}, FakeCharacters(), default="ada", models=models),
            language=self.model,
            remember=remember if recall else None,
            conversations=conversations,
            short_term=FakeShortTerm(),
            log=FakeSessionLog(),
        )
        self.reply = Reply(
            around,
            live=self.live,
            budget=Budget(context_tokens=700, max_tokens=64),
            timeout=5.0,
            tracer=NoOpTracer(),
            meter=NoOpMeterProvider().get_meter("test"),
        )

    async def say(self, text: str, conversation: str, *, owner: Owner = ANN, place: Place | None = None) -> Event:
        """Say something, see what is said remembered, and return how the reply ended."""
        ask = Ask("ada", text, conversation_id=conversation, place=place)
        running = await self.reply.start(owner, ask, detached=True)
        events = [item.event async for item in running.heard() if item.event is not None]
        while entries := await self.outbox.take(10):
            await self.indexer.carry(entries)
        return events[-1]

    @property
    def prompt(self) -> str:
        """The last prompt, as one text."""
        return "\n".join(message["content"] for message in self.model.asked[-1].messages)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    made = Room()
    yield made
    await made.live.close(5)


async def test_what_was_told_in_one_conversation_is_in_the_prompt_of_another(room: Room) -> None:
    await room.say(FACT, "first")
    await room.say("what is my dog called", "second")
    assert FACT in room.prompt
    await room.say("what is my dog called", "third", owner=Owner("acme", "bob"))
    assert FACT not in room.prompt


async def test_a_reply_is_stored_with_what_it_was_reminded_of_and_not_with_what_it_says(room: Room) -> None:
    await room.say(FACT, "first")
    ended = await room.say("what is my dog called", "second")
    stored = {message.id: message for message in await room.conversations.messages(ANN, "second")}
    reminder, *_ = stored[ended.data["message_id"]].reminders
    (remembered,) = await room.memory.newest(ANN, Selection(ids=(reminder.memory_id,)), limit=1)
    assert (remembered.text, reminder.reached) == (FACT, True)
    assert dict(reminder.parts)["words"] > 0
    assert FACT not in str(stored[ended.data["message_id"]].record())
    (first,) = [one for one in await room.conversations.messages(ANN, "first") if one.role == "assistant"]
    assert first.reminders == ()


async def test_without_recall_it_is_not() -> None:
    room = Room(recall=False)
    await room.say(FACT, "first")
    await room.say("what is my dog called", "second")
    assert FACT not in room.prompt
    await room.live.close(5)


@pytest.mark.parametrize(
    ("policy", "kept", "recalled"),
    [
        (MemoryPolicy(), True, 3),
        (MemoryPolicy(long_term=False), False, 0),
        (MemoryPolicy(recall=0), True, 0),
        (MemoryPolicy(recall=1), True, 1),
    ],
)
async def test_a_characters_memory_policy_is_obeyed(policy: MemoryPolicy, kept: bool, recalled: int) -> None:
    room = Room(ada=ADA.model_copy(update={"memory": policy}))
    for name in ("biscuit", "marmalade", "pickle"):
        await room.say(f"my dog is called {name}", name)
    told = [memory.text for memory in await room.memory.newest(ANN, Selection(), limit=10)]
    assert any("biscuit" in text for text in told) == kept
    await room.say("what is my dog called", "another")
    assert sum(name in room.prompt for name in ("biscuit", "marmalade", "pickle")) == recalled
    await room.live.close(5)


@pytest.mark.parametrize(("offered", "asked", "told"), [(("large",), "large", []), ((), None, [NOT_OFFERED])])
async def test_a_characters_model_answers_where_it_is_offered(
    offered: tuple[str, ...], asked: str | None, told: list[str]
) -> None:
    room = Room(ada=ADA.model_copy(update={"model": "large"}), models=offered)
    ended = await room.say("hello", "c")
    assert room.model.asked[-1].model == asked
    assert ended.data["told"] == told
    await room.live.close(5)


async def test_what_the_prompt_holds_anyway_is_not_recalled(room: Room) -> None:
    await room.say(FACT, "first")
    await room.say("what is my dog called", "first")
    assert room.prompt.count(FACT) == 1


@pytest.mark.parametrize("first", [True, False])
async def test_what_stands_on_a_branch_that_is_left_is_not_recalled_even_before_memory_knows(
    room: Room, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    """While the replies are written the index still says that the old branch is the active one."""
    await room.say("hello there", "c")
    (head,) = [one.id for one in await room.conversations.messages(ANN, "c") if one.role == "assistant"]
    await room.say(FACT, "c")

    async def late(entries: object) -> None:
        pass

    monkeypatch.setattr(room.indexer, "carry", late)
    await room.say("what is my dog called", "c", place=Under(None if first else head))
    assert FACT not in room.prompt
    await room.say("my dog what is it called", "c")
    assert FACT not in room.prompt, "nor where what stands elsewhere is at hand in short-term memory"
    await room.say("what is my dog called", "another")
    assert FACT in room.prompt, "the index says so still"


async def test_what_fell_out_of_the_window_comes_back(room: Room) -> None:
    await room.say(FACT, "first")
    for number in range(12):
        await room.say(f"number{number} " + "the harbour was grey and the gulls were loud " * 4, "first")
    assert FACT not in room.prompt
    await room.say("what is my dog called", "first")
    assert room.prompt.count(FACT) == 1


async def test_a_memory_that_is_away_is_told_and_the_reply_goes_on(room: Room) -> None:
    room.memory.away = True
    running = await room.reply.start(ANN, Ask("ada", "hello", conversation_id="c"), detached=True)
    ended = [item.event async for item in running.heard() if item.event is not None][-1]
    assert ended.type == COMPLETED
    assert ended.data["told"] == [MEMORY_AWAY]
