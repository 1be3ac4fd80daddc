"""Beginning, editing, switching, cutting and copying conversations, over fakes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from opentelemetry.trace import NoOpTracerProvider

from chatacter.chassis.errors import Busy, InvalidInput, NotFound
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.embedder import FakeEmbedder
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.memory import FakeMemory
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.fakes.sessions import FakeShortTerm
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message, Role
from chattr.domain.identity import Owner
from chattr.domain.memory import Selection
from chattr.domain.person import Persona
from chattr.ports.memory import EVERYTHING
from chattr.usecases.characters import Cast
from chattr.usecases.conversing import LOOKED_THROUGH, Beginning, Conversing, Whole
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from chattr.usecases.remember import Remember
from chattr.usecases.scene import Under

pytestmark = pytest.mark.unit

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
ADA = Character(
    id="ada", name="Ada Lovelace", nickname="Ada", personality="Exact.", greetings=("I am {{char}}.", "Hi {{user}}!")
)


class Restless(FakeConversations):
    """Somebody speaks between every two steps."""

    async def prune(self, owner: Owner, conversation: Conversation, removed: Sequence[str]) -> bool:
        return False


@dataclass
class World:
    """Conversations and their surroundings, in memory. Each look at the clock is a second later."""

    kind: type[FakeConversations] = FakeConversations
    short_term: FakeShortTerm = field(default_factory=FakeShortTerm)
    index: FakeMemory = field(default_factory=FakeMemory)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
    now: float = 1000.0

    def __post_init__(self) -> None:
        embedder = FakeEmbedder()
        self.conversations = self.kind(self.outbox)
        knowing = Knowing(FakeKnowledge(self.outbox))
        parts = {"memory": self.index, "embedder": embedder, "outbox": self.outbox, "stem": english_stemmer()}
        tracer = NoOpTracerProvider().get_tracer("test")
        self.remember = Remember(**parts, knowing=knowing, tracer=tracer, clock=self.later)  # type: ignore[arg-type]
        self.indexer = Indexer(**parts, knowing=knowing, conversations=self.conversations)  # type: ignore[arg-type]
        cast = Cast({"ada": ADA}, {}, FakeCharacters(), default="ada")
        self.conversing = Conversing(cast, self.conversations, self.short_term, self.remember, clock=self.later)

    def later(self) -> float:
        self.now += 1
        return self.now

    async def remembered(self) -> set[str]:
        await self.indexer.carry(await self.outbox.take(100))
        return {memory.text for memory in await self.remember.newest(ANN, EVERYTHING, limit=100)}

    async def talked(self) -> Whole:
        """A conversation `Q1 A1 Q2 A2`, remembered."""
        begun = await self.conversing.begin(ANN, ["ada"], Beginning(greeting=None))
        parent, messages = None, []
        for text in ("Q1", "A1", "Q2", "A2"):
            role: Role = "user" if text.startswith("Q") else "assistant"
            messages.append(Message(f"{begun.conversation.id}-{text}", parent, role, text, self.later(), "ada"))
            parent = messages[-1].id
        await self.conversations.append(ANN, begun.conversation.id, messages)
        return await self.conversing.whole(ANN, begun.conversation.id)


def active(whole: Whole) -> list[str]:
    return [message.content for message in whole.tree.path(whole.conversation.head_id)]


def named(whole: Whole, text: str) -> str:
    return next(message.id for message in whole.tree.messages if message.content == text)


async def test_a_character_speaks_first_with_its_greetings_side_by_side() -> None:
    world = World()
    whole = await world.conversing.begin(ANN, ["ada"], Beginning(persona=Persona(name="Ann")))
    assert active(whole) == ["I am Ada."]
    assert [message.content for message in whole.tree.messages] == ["I am Ada.", "Hi Ann!"]
    assert {message.parent_id for message in whole.tree.messages} == {None}
    second = await world.conversing.begin(ANN, ["ada"], Beginning(greeting=1))
    assert active(second) == ["Hi User!"]
    switched = await world.conversing.change(ANN, second.conversation.id, {"head_id": named(second, "I am Ada.")})
    assert switched.head_id == named(second, "I am Ada.")
    assert await world.remembered() == set()


async def test_a_person_may_speak_first() -> None:
    whole = await World().conversing.begin(ANN, ["ada"], Beginning(greeting=None))
    assert (whole.conversation.head_id, list(whole.tree.messages)) == (None, [])


async def test_a_greeting_that_is_not_there_is_refused_with_their_number() -> None:
    with pytest.raises(InvalidInput, match="are 2 greetings"):
        await World().conversing.begin(ANN, ["ada"], Beginning(greeting=2))


@pytest.mark.parametrize("text", ["Q1", "A1"])
async def test_an_edit_stands_beside_what_it_edits(text: str) -> None:
    world = World()
    whole = await world.talked()
    new, tree = await world.conversing.edit(ANN, whole.conversation.id, named(whole, text), "New")
    after = await world.conversing.whole(ANN, whole.conversation.id)
    assert list(tree.siblings(new)) == list(after.tree.siblings(new)) == [named(whole, text), new.id]
    assert active(after) == ["New"] if text == "Q1" else ["Q1", "New"]
    assert {"New", text} <= await world.remembered()


async def test_a_reply_to_an_edit_is_asked_for_in_the_same_place() -> None:
    world = World()
    whole = await world.talked()
    ask = await world.conversing.said_instead(ANN, whole.conversation.id, named(whole, "Q2"), "New", {})
    assert (ask.text, ask.place) == ("New", Under(named(whole, "A1")))
    with pytest.raises(InvalidInput):
        await world.conversing.said_instead(ANN, whole.conversation.id, named(whole, "A2"), "New", {})


async def test_a_subtree_goes_with_what_was_remembered_of_it() -> None:
    world = World()
    whole = await world.talked()
    assert await world.remembered() == {"Q1", "A1", "Q2", "A2"}
    left = await world.conversing.remove(ANN, whole.conversation.id, named(whole, "Q2"))
    assert left.head_id == named(whole, "A1")
    assert active(await world.conversing.whole(ANN, left.id)) == ["Q1", "A1"]
    assert await world.remembered() == {"Q1", "A1"}


async def test_what_is_forgotten_does_not_come_back_from_the_outbox() -> None:
    world = World()
    whole = await world.talked()
    await world.conversing.remove(ANN, whole.conversation.id, named(whole, "A1"))
    assert await world.remembered() == {"Q1"}


async def test_a_conversation_that_never_rests_is_told() -> None:
    world = World(kind=Restless)
    whole = await world.talked()
    with pytest.raises(Busy):
        await world.conversing.remove(ANN, whole.conversation.id, named(whole, "A2"))


async def test_a_fork_goes_its_own_way() -> None:
    world = World()
    whole = await world.talked()
    await world.conversing.change(ANN, whole.conversation.id, {"title": "Old", "persona": Persona(name="Ann")})
    fork = await world.conversing.fork(ANN, whole.conversation.id, named(whole, "A1"))
    assert (fork.conversation.title, fork.conversation.persona) == ("Old", Persona(name="Ann"))
    assert active(fork) == ["Q1", "A1"]
    assert not {message.id for message in fork.tree.messages} & {message.id for message in whole.tree.messages}
    await world.conversing.remove(ANN, whole.conversation.id, named(whole, "Q1"))
    assert active(await world.conversing.whole(ANN, fork.conversation.id)) == ["Q1", "A1"]
    named_anew = await world.conversing.fork(ANN, fork.conversation.id, None, title="New")
    assert (named_anew.conversation.title, active(named_anew)) == ("New", ["Q1", "A1"])
    assert await world.remembered() == set()


async def test_a_deleted_conversation_is_forgotten() -> None:
    world = World()
    whole = await world.talked()
    await world.conversing.delete(ANN, whole.conversation.id)
    assert await world.remembered() == set()
    with pytest.raises(NotFound):
        await world.conversing.get(ANN, whole.conversation.id)
    assert not await world.remember.newest(ANN, Selection(conversation_id=whole.conversation.id), limit=10)


async def test_those_with_one_character_are_listed_alone_in_pages() -> None:
    world = World()
    for number in range(2 * LOOKED_THROUGH + 5):
        made = Conversation(f"c{number:03}", "ada" if number % 50 == 0 else "bo", float(number))
        await world.conversations.create(ANN, made)
    pages = [await world.conversing.list(ANN, character_id="ada", before=before, limit=3) for before in (None, "c100")]
    assert [[each.id for each in page] for page in pages] == [["c200", "c150", "c100"], ["c050", "c000"]]
    assert await world.conversing.list(ANN, character_id="cy", before=None, limit=3) == []
    assert len(await world.conversing.list(ANN, before=None, limit=7)) == 7


async def test_nobody_touches_another_s_conversation() -> None:
    world = World()
    whole = await world.talked()
    place = (whole.conversation.id, named(whole, "A1"))
    for attempt in (
        world.conversing.whole(BOB, place[0]),
        world.conversing.change(BOB, place[0], {"title": "Mine"}),
        world.conversing.change(BOB, place[0], {"head_id": place[1]}),
        world.conversing.edit(BOB, *place, "Mine"),
        world.conversing.remove(BOB, *place),
        world.conversing.fork(BOB, *place),
        world.conversing.delete(BOB, place[0]),
    ):
        with pytest.raises(NotFound):
            await attempt
    for missing in (
        world.conversing.change(ANN, place[0], {"head_id": "msg_none"}),
        world.conversing.edit(ANN, place[0], "msg_none", "New"),
        world.conversing.remove(ANN, place[0], "msg_none"),
        world.conversing.fork(ANN, place[0], "msg_none"),
    ):
        with pytest.raises(NotFound):
            await missing
    assert active(await world.conversing.whole(ANN, place[0])) == ["Q1", "A1", "Q2", "A2"]
