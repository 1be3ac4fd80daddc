"""Facts are drawn from talk while nobody waits, once, and go with what they were drawn from."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, InvalidInput, Unavailable, UpstreamFailed
from chatacter.chassis.tasks import stopped
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.character import Character, MemoryPolicy
from chattr.domain.conversation import Conversation, Message, Role
from chattr.domain.memory import Changed, Selection, memory_id
from chattr.ports.language import ChatRequest, Chunk
from chattr.usecases.characters import Cast
from chattr.usecases.indexing import Indexer
from chattr.usecases.learning import Learner, Teacher
from tests.memory_world import ANN, PowerCut, World, fake_world
from tests.waiting import eventually

pytestmark = pytest.mark.integration

ADA = Character(id="ada", name="Ada", system_prompt="You are Ada.")
MIRA = Character(id="mira", name="Mira", system_prompt="You are Mira.")


@dataclass
class Pupil:
    """A language model that finds a fact in every line of the person's that has `is`."""

    name: str = "pupil"
    takes_schemas: bool = True
    refusal: ChatacterError = field(default_factory=lambda: UpstreamFailed("refused"))
    away: bool = False
    asked: list[ChatRequest] = field(default_factory=list)

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        self.asked.append(request)
        if self.away:
            raise Unavailable("away")
        if "response_format" in request.sampling and not self.takes_schemas:
            raise self.refusal
        known, new = request.messages[1]["content"].split("NEW:")
        facts = []
        for line in new.strip().splitlines():
            number, said = line.split(". ", 1)
            if said.startswith("person: ") and " is " in said:
                subject = said.removeprefix("person: ").split(" is ")[0]
                older = [one.split(". ")[0] for one in known.splitlines() if f". {subject} is" in one]
                replaces = int(older[0]) if older else None
                text = said.removeprefix("person: ")
                facts.append({"text": text, "about": "person", "lines": [int(number)], "replaces": replaces})
        yield {"choices": [{"index": 0, "delta": {"content": json.dumps({"facts": facts})}, "finish_reason": "stop"}]}

    async def check(self) -> str | None:
        return None


@dataclass
class School:
    """A world in which facts are drawn."""

    world: World = field(default_factory=fake_world)
    pupil: Pupil = field(default_factory=Pupil)
    character: Character = ADA
    lessons: FakeOutbox = field(default_factory=lambda: FakeOutbox(lease_ms=0, block_ms=1))

    def __post_init__(self) -> None:
        self.learner = Learner(
            cast=Cast({"ada": self.character, "mira": MIRA}, {}, FakeCharacters(), default="ada"),
            conversations=self.world.wired(self.world.conversations),
            knowledge=self.world.wired(self.world.knowledge),
            lessons=self.world.wired(self.lessons),
            outbox=self.world.wired(self.world.outbox),
            teacher=Teacher(self.pupil),
            stem=english_stemmer(),
        )
        self.indexer = Indexer(
            memory=self.world.wired(self.world.memory),
            conversations=self.world.wired(self.world.conversations),
            knowing=self.world.knowing(),
            embedder=self.world.wired(self.world.embedder),
            outbox=self.world.wired(self.world.outbox),
            stem=english_stemmer(),
            lessons=self.world.wired(self.lessons),
        )

    async def rest(self) -> None:
        """Index and learn until nothing waits."""
        while await self.world.outbox.waiting() or await self.lessons.waiting():
            if await self.world.outbox.waiting():
                await self.indexer.carry(await self.world.outbox.take(10))
            if await self.lessons.waiting():
                await self.learner.carry(await self.lessons.take(10))

    async def facts(self) -> set[str]:
        found = await self.world.memory.newest(ANN, Selection(kind="fact"), limit=100)
        return {one.text for one in found if one.branch == "active"}


@pytest.fixture
def school() -> School:
    return School()


async def test_facts_are_drawn_once_become_memories_and_name_their_message(school: School) -> None:
    said = await school.world.say("a", "the dog is called biscuit")
    await school.rest()
    (fact,) = await school.world.memory.newest(ANN, Selection(kind="fact"), limit=10)
    assert (fact.text, fact.message_id, fact.conversation_id) == ("the dog is called biscuit", said, "a")
    assert len(school.pupil.asked) == 1
    await school.lessons.note(ANN, [])
    await school.world.say("a", "how are you")
    await school.rest()
    assert len(school.pupil.asked) == 2
    assert "biscuit" not in school.pupil.asked[1].messages[1]["content"].split("NEW:")[1]


async def test_nothing_warm_is_evicted_and_a_schema_is_asked_for(school: School) -> None:
    await school.world.say("a", "the dog is called biscuit")
    await school.rest()
    (request,) = school.pupil.asked
    assert request.conversation is None
    assert request.background
    assert request.sampling["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("refusal", "schemas"),
    [(InvalidInput("refused"), [True, False, False]), (UpstreamFailed("failed"), [True, False, True, False])],
)
async def test_a_provider_without_schemas_is_asked_without_from_then_on(
    refusal: ChatacterError, schemas: list[bool]
) -> None:
    school = School(pupil=Pupil(takes_schemas=False, refusal=refusal))
    await school.world.say("a", "the dog is called biscuit")
    await school.rest()
    await school.world.say("a", "the cat is called mina")
    await school.rest()
    assert ["response_format" in request.sampling for request in school.pupil.asked] == schemas
    assert await school.facts() == {"the dog is called biscuit", "the cat is called mina"}


async def test_a_changed_fact_takes_the_others_place_until_its_message_is_gone(school: School) -> None:
    await school.world.say("a", "my town is Leipzig")
    await school.rest()
    moved = await school.world.say("a", "my town is Porto")
    await school.rest()
    assert await school.facts() == {"my town is Porto"}
    await school.world.cut("a", moved)
    await school.rest()
    assert await school.facts() == {"my town is Leipzig"}


async def test_facts_end_as_without_a_power_cut_wherever_that_is() -> None:
    async def life(school: School) -> None:
        world = school.world
        await world.say("a", "my dog is biscuit")
        await school.rest()
        await world.say("a", "my dog is rex")
        cat = await world.say("a", "my cat is mina")
        await school.rest()
        await world.forget(Selection(ids=(memory_id(ANN, cat),)))
        await school.rest()

    whole = School()
    await life(whole)
    assert await whole.facts() == {"my dog is rex"}
    assert whole.world.fuse.steps > 60
    for step in range(1, whole.world.fuse.steps + 1):
        school = School()
        school.world.fuse.blows_at = step
        with pytest.raises(PowerCut):
            await life(school)
        school.world.fuse.blows_at = None
        told = [one.content for one in await school.world.conversations.messages(ANN, "a")]
        await school.rest()
        forgot = bool(await school.world.outbox.forgotten(ANN))
        dog = {"my dog is rex"} if "my dog is rex" in told else {"my dog is biscuit"} & set(told)
        cat = set() if forgot else {"my cat is mina"} & set(told)
        assert await school.facts() == dog | cat, f"cut before step {step}"
        assert await school.world.remembered() == await school.world.rebuilt(), f"cut before step {step}"


async def test_facts_of_a_left_branch_are_left_with_it(school: School) -> None:
    first = await school.world.say("a", "the dog is called biscuit")
    await school.rest()
    await school.world.say("a", "the dog is called rex", None)
    await school.rest()
    assert await school.facts() == {"the dog is called rex"}
    await school.world.switch("a", first)
    await school.rest()
    assert await school.facts() == {"the dog is called biscuit"}


async def test_what_was_forgotten_is_not_learned_again(school: School) -> None:
    said = await school.world.say("a", "the dog is called biscuit")
    await school.rest()
    await school.world.forget(Selection(ids=(memory_id(ANN, said),)))
    await school.rest()
    assert await school.facts() == set()
    await school.world.knowledge.drop_conversation(ANN, "a")
    await school.world.say("a", "how are you")
    await school.rest()
    assert await school.facts() == set()


async def test_a_reply_that_is_being_written_is_not_disturbed(school: School) -> None:
    await school.world.say("a", "the dog is called biscuit")
    await school.world.conversations.set_live(ANN, "a", "r1")
    while await school.world.outbox.waiting():
        await school.indexer.carry(await school.world.outbox.take(10))
    await school.learner.carry(await school.lessons.take(10))
    assert school.pupil.asked == []
    assert await school.lessons.waiting(), "nobody has to say something for it to be learned later"
    await school.world.conversations.end_live(ANN, "a", "r1")
    await school.rest()
    assert await school.facts() == {"the dog is called biscuit"}


async def test_a_character_that_remembers_nothing_learns_nothing() -> None:
    school = School(character=ADA.model_copy(update={"memory": MemoryPolicy(long_term=False)}))
    await school.world.say("a", "the dog is called biscuit")
    await school.rest()
    assert school.pupil.asked == []


async def test_what_waits_for_a_provider_that_is_away_is_learned_later(school: School) -> None:
    school.pupil.away = True
    await school.world.say("a", "the dog is called biscuit")
    with pytest.raises(Unavailable):
        await school.rest()
    school.pupil.away = False
    await school.rest()
    assert await school.facts() == {"the dog is called biscuit"}


async def test_a_fact_reaches_the_prompt_as_what_is_known(school: School) -> None:
    await school.world.say("a", "the dog is called biscuit")
    await school.rest()
    recollection: Any = await school.world.remember().recall(
        ANN, "ada", "what is the dog called", (), Deadline.after(5.0)
    )
    assert any(item.startswith("since ") and "biscuit" in item for item in recollection.facts)


async def test_in_a_group_each_learns_from_what_it_heard_and_from_nobody_else_s_words(school: School) -> None:
    heard: list[tuple[str, str, str | None, tuple[str, ...]]] = [
        ("m1", "the dog is called biscuit", None, ("ada", "mira")),
        ("m2", "my hat is red", "mira", ("ada", "mira")),
        ("m3", "the cat is called soot", None, ("mira",)),
    ]
    conversations, parent = school.world.conversations, None
    await conversations.create(ANN, Conversation("g", "ada", 1.0, members=("ada", "mira")))
    for number, (name, text, speaker, audience) in enumerate(heard):
        role: Role = "assistant" if speaker else "user"
        said = Message(name, parent, role, text, float(number), speaker, audience=audience, kept_by=audience)
        await conversations.append(ANN, "g", [said])
        parent = name
    await school.rest()
    found = await school.world.memory.newest(ANN, Selection(kind="fact"), limit=100)
    assert {(fact.character_id, fact.text) for fact in found} == {
        ("ada", "the dog is called biscuit"),
        ("mira", "the dog is called biscuit"),
        ("mira", "the cat is called soot"),
    }
    shown = [request.messages for request in school.pupil.asked]
    assert len(shown) == 2
    assert all("red" not in m[1]["content"] or "Mira: my hat is red" in m[1]["content"] for m in shown)
    assert sum("soot" in messages[1]["content"] for messages in shown) == 1


async def test_a_long_lesson_is_held_while_it_is_learnt(school: School) -> None:
    """Another replica that looks meanwhile finds nothing to learn."""
    lessons = FakeOutbox(lease_ms=60, block_ms=1)
    slow = SlowPupil()
    learner = Learner(
        cast=Cast({"ada": ADA}, {}, FakeCharacters(), default="ada"),
        conversations=school.world.conversations,
        knowledge=school.world.knowledge,
        lessons=lessons,
        outbox=school.world.outbox,
        teacher=Teacher(slow),
        stem=english_stemmer(),
    )
    await school.world.say("a", "the dog is called biscuit")
    await lessons.note(ANN, [Changed("a")])
    working = asyncio.create_task(learner.run())
    await slow.begun.wait()
    for _ in range(6):
        await asyncio.sleep(0.03)
        assert not await lessons.take(1)
    slow.go.set()
    await eventually(lambda: nothing_waits(lessons))
    await stopped(working)
    assert slow.times == 1


async def nothing_waits(outbox: FakeOutbox) -> bool:
    return await outbox.waiting() == 0


class SlowPupil(Pupil):
    """Thinks until it is told to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go, self.times = asyncio.Event(), asyncio.Event(), 0

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        self.times += 1
        self.begun.set()
        await self.go.wait()
        async for chunk in super().stream(request, deadline):
            yield chunk


async def test_a_fact_whose_place_another_took_reaches_no_prompt_even_before_that_is_indexed(school: School) -> None:
    world = school.world
    first = await world.say("a", "the dog is called biscuit")
    second = await world.say("a", "no, rex")
    old = await world.learn("The dog is called Biscuit.", "a", first)
    await world.index()
    await world.amend(old, "The dog is called Biscuit, a terrier.")
    assert (await recalled_facts(world)) == {"The dog is called Biscuit, a terrier."}
    await world.learn("The dog is called Rex.", "a", second, supersedes=old)
    assert (await recalled_facts(world)) == set(), "pinned or not"
    await world.index()
    assert (await recalled_facts(world)) == {"The dog is called Rex."}


async def recalled_facts(world: World) -> set[str]:
    found = await world.remember().recall(ANN, "ada", "what is the dog called", (), Deadline.after(5.0))
    assert len(found.facts) == sum(one.memory.kind == "fact" for one in found.memories)
    return {one.memory.text for one in found.memories if one.memory.kind == "fact"}
