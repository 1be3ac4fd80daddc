"""Groups over fakes: who speaks, what each of them knows, who comes and goes."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound, Unavailable
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.domain.archive import ArchivedAmendment, ArchivedConversation, ArchivedMessage
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Order
from chattr.domain.identity import Owner
from chattr.domain.memory import Selection, memories_of, memory_of, overheard
from chattr.domain.person import Persona
from chattr.domain.tree import Tree
from chattr.domain.turns import mentioned
from chattr.usecases.conversing import Beginning, Conversing, Whole
from chattr.usecases.knowing import Knowing
from chattr.usecases.moving import Moving
from chattr.usecases.scene import Again, Ask, AtHead
from chattr.usecases.transcripts import Transcripts
from tests.reply_stage import ANN, LEO, Stage, Talker, all_of

pytestmark = pytest.mark.unit

BOB = Owner("acme", "bob")
THREE = ["ada", "mira", "leo"]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage(Talker())
    yield made
    await made.live.close(5)


def conversing(stage: Stage) -> Conversing:
    return Conversing(stage.cast(), stage.conversations, stage.short_term, None)


async def group(stage: Stage, order: Order = "mention", replies: int = 1) -> str:
    ann = Persona(name="Ann")
    begun = await conversing(stage).begin(
        ANN, THREE, Beginning(persona=ann, greeting=None, order=order, replies=replies)
    )
    return begun.conversation.id


async def said(stage: Stage, talk: str, text: str, *answers: str, character: str | None = None) -> list[str]:
    """Say something, and return who answered. Each answer is one reply's."""
    stage.talker.script = list(answers)
    ask = Ask(character, text, talk, place=AtHead())
    speakers = []
    async for running in stage.reply().rounds(ANN, ask):
        events = await all_of(running.heard())
        speakers.append(events[0].data["character_id"])
    return speakers


def prompt(stage: Stage, number: int = -1) -> str:
    return "\n".join(f"{m['role']}: {m['content']}" for m in stage.talker.asked[number].messages[1:])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Mira, and you, ada?", ["mira", "ada"]),
        ("What does Leonardo say?", ["leo"]),
        ("leo!", ["leo"]),
        ("Adamant leopards admire miracles.", []),
        ("", []),
    ],
)
def test_names_and_nicknames_are_found_as_words(stage: Stage, text: str, names: list[str]) -> None:
    members = [stage.people[each] for each in THREE]
    assert [member.id for member in mentioned(text, members)] == names


async def test_whoever_is_named_answers_and_else_the_next(stage: Stage) -> None:
    talk = await group(stage)
    assert await said(stage, talk, "Mira, what do you see?", "Stars.") == ["mira"]
    assert await said(stage, talk, "And then?", "Night.") == ["leo"]
    assert await said(stage, talk, "And then?", "Day.") == ["ada"]
    assert await said(stage, talk, "Leo?", "Yes.", character="ada") == ["ada"]


async def test_several_answer_one_after_the_other(stage: Stage) -> None:
    talk = await group(stage, replies=3)
    assert await said(stage, talk, "Ada and Mira!", "Here.", "Here too. Leo?", "Yes?") == ["ada", "mira", "leo"]
    assert await said(stage, talk, "Nobody in particular.", "Hm.") == ["ada"]
    around = await group(stage, "round_robin", replies=8)
    assert await said(stage, around, "All of you.", "1", "2", "3") == ["ada", "mira", "leo"]


async def test_each_sees_itself_as_the_assistant_and_the_others_by_name(stage: Stage) -> None:
    talk = await group(stage, replies=2)
    await said(stage, talk, "Ada, Mira: hello.", "Good day.", "Hi!")
    assert prompt(stage, -2) == (
        "user: [Mira, Leo, Ann are here with you. Speak as Ada alone.]\nAnn: Ada, Mira: hello."
    )
    assert prompt(stage) == (
        "user: Ann: Ada, Mira: hello.\n[Ada, Leo, Ann are here with you. Speak as Mira alone.]\nAda: Good day."
    )
    await said(stage, talk, "Ada again.", "Yes.")
    assert prompt(stage) == (
        "user: Ann: Ada, Mira: hello.\nassistant: Good day.\n"
        "user: Mira: Hi!\n[Mira, Leo, Ann are here with you. Speak as Ada alone.]\nAnn: Ada again."
    )


async def test_an_absent_one_never_learns_what_it_missed(stage: Stage) -> None:
    talk = await group(stage)
    await said(stage, talk, "Ada, before.", "Heard by all.")
    await conversing(stage).leave(ANN, talk, "mira")
    await said(stage, talk, "Ada, the secret is Rosebud.", "Rosebud it is.")
    await conversing(stage).join(ANN, talk, "mira")
    await said(stage, talk, "Mira, what did I say?", "Before.")
    assert "Rosebud" not in prompt(stage)
    assert "Heard by all." in prompt(stage)
    await said(stage, talk, "Ada?", "Rosebud.")
    assert "secret is Rosebud" in prompt(stage)
    whole = await conversing(stage).whole(ANN, talk)
    known = memories_of(ANN, whole.conversation, whole.tree.messages).values()
    missed = {"Ada, the secret is Rosebud.", "Rosebud it is.", "ada: Rosebud it is."}
    assert not missed & {memory.text for memory in known if memory.character_id == "mira"}
    assert "ada: Heard by all." in {memory.text for memory in known if memory.character_id == "mira"}
    assert missed < {memory.text for memory in known if memory.character_id != "mira"}
    assert len({memory.id for memory in known}) == len(list(known))


async def test_one_who_leaves_while_another_speaks_does_not_hear_the_end(stage: Stage) -> None:
    talk = await group(stage)
    stage.talker.script = ["Gone?"]
    rounds = stage.reply().rounds(ANN, Ask(None, "Ada, speak.", talk))
    running = await anext(rounds)
    await conversing(stage).leave(ANN, talk, "mira")
    await all_of(running.heard())
    await rounds.aclose()
    whole = await conversing(stage).whole(ANN, talk)
    assert [message.audience for message in whole.tree.messages] == [tuple(THREE), ("ada", "leo")]


async def test_a_second_one_makes_a_group_of_two_and_knows_nothing_of_before(stage: Stage) -> None:
    begun = await conversing(stage).begin(ANN, ["ada"], Beginning(greeting=None))
    talk = begun.conversation.id
    await said(stage, talk, "Between us: Rosebud.", "Rosebud.")
    await conversing(stage).join(ANN, talk, "mira")
    assert await said(stage, talk, "Mira?", "Yes.") == ["mira"]
    assert "Rosebud" not in prompt(stage)
    assert await said(stage, talk, "Ada?", "Yes.") == ["ada"]
    assert "Rosebud" in prompt(stage)


async def test_the_model_may_choose_and_is_not_trusted(stage: Stage) -> None:
    talk = await group(stage, "model", replies=2)
    assert await said(stage, talk, "Who paints?", "Leo", "I do.", "Mira", "And I watch.") == ["leo", "mira"]
    assert stage.talker.asked[0].messages[0]["content"].startswith("You direct")
    assert await said(stage, talk, "Well?", "The weather is fine.", "Hm.", "Ann") == ["leo"]
    stage.talker.error, stage.talker.fails_after = Unavailable("Away."), 0
    with pytest.raises(Unavailable):
        await said(stage, talk, "Well?")
    messages = (await conversing(stage).whole(ANN, talk)).tree.messages
    assert messages[-1].content == "Well?"


async def test_the_client_may_say_who_and_then_has_to(stage: Stage) -> None:
    talk = await group(stage, "client", replies=3)
    with pytest.raises(InvalidInput, match="ada, mira, leo"):
        await said(stage, talk, "Well?")
    assert not (await conversing(stage).whole(ANN, talk)).tree.messages
    assert await said(stage, talk, "Well?", "Yes.", character="leo") == ["leo"]


async def test_only_members_speak(stage: Stage) -> None:
    talk = await group(stage)
    await conversing(stage).leave(ANN, talk, "leo")
    with pytest.raises(Conflict, match="ada, mira"):
        await said(stage, talk, "Leo?", character="leo")


async def test_a_reply_is_said_again_by_who_said_it(stage: Stage) -> None:
    talk = await group(stage)
    await said(stage, talk, "Mira?", "One.")
    reply = (await conversing(stage).whole(ANN, talk)).tree.messages[-1]
    stage.talker.script = ["Two."]
    running = await stage.reply().start(ANN, Ask(None, "", talk, place=Again(reply.id)), detached=True)
    assert (await all_of(running.heard()))[0].data["character_id"] == "mira"
    await conversing(stage).leave(ANN, talk, "mira")
    with pytest.raises(Conflict):
        await stage.reply().start(ANN, Ask(None, "", talk, place=Again(reply.id)), detached=True)


async def test_a_preview_shows_what_one_of_them_would_be_asked(stage: Stage) -> None:
    talk = await group(stage)
    await said(stage, talk, "Ada?", "Yes.")
    _, shown = await stage.reply().preview(ANN, Ask("mira", "And Mira?", talk))
    await said(stage, talk, "And Mira?", "I am.", character="mira")
    assert shown.messages == list(stage.talker.asked[-1].messages)
    await conversing(stage).leave(ANN, talk, "mira")
    with pytest.raises(Conflict):
        await stage.reply().preview(ANN, Ask("mira", "And Mira?", talk))


async def test_a_group_is_greeted_as_a_group(stage: Stage) -> None:
    greeting = {"group_greetings": ("All welcome, {{user}}!",)}
    stage.people["leo"] = Character(**{**LEO.model_dump(), **greeting})
    whole: Whole = await conversing(stage).begin(ANN, THREE, Beginning(persona=Persona(name="Ann")))
    assert [(m.character_id, m.content, m.memorable) for m in whole.tree.messages] == [
        ("leo", "All welcome, Ann!", False)
    ]
    assert whole.tree.messages[0].audience == tuple(THREE)


async def test_who_comes_and_goes_at_once_is_all_there(stage: Stage) -> None:
    talk = await group(stage)
    desk = conversing(stage)
    found = await stage.conversations.get(ANN, talk)
    assert found is not None
    await desk.leave(ANN, talk, "leo")
    late = replace(found, members=("ada", "mira", "leo", "x"))
    assert not await stage.conversations.update(ANN, late, "members", at_revision=found.revision)
    assert (await desk.join(ANN, talk, "leo")).members == ("ada", "mira", "leo")
    assert (await desk.join(ANN, talk, "leo")).members == ("ada", "mira", "leo")
    await desk.leave(ANN, talk, "ada")
    await desk.leave(ANN, talk, "mira")
    with pytest.raises(Conflict):
        await desk.leave(ANN, talk, "leo")
    for attempt in (desk.leave(ANN, talk, "ada"), desk.join(ANN, talk, "nobody"), desk.join(BOB, talk, "ada")):
        with pytest.raises(NotFound):
            await attempt


async def test_a_reply_that_cannot_begin_leaves_nobody_writing(stage: Stage) -> None:
    talk = await group(stage, "client")
    await said(stage, talk, "Mira?", "Yes.", character="mira")
    reply = (await stage.conversations.messages(ANN, talk))[-1]
    await conversing(stage).leave(ANN, talk, "mira")
    with pytest.raises(Conflict):
        await stage.reply().start(ANN, Ask(None, "", talk, place=Again(reply.id)), detached=True)
    found = await stage.conversations.get(ANN, talk)
    assert found is not None
    assert found.live_reply_id is None


async def test_a_group_whose_characters_are_gone_says_so(stage: Stage) -> None:
    await stage.conversations.create(ANN, Conversation("g", "x", 1.0, members=("x", "y")))
    with pytest.raises(NotFound, match="None of the characters"):
        await said(stage, "g", "Hello?")
    await stage.conversations.create(ANN, Conversation("h", "x", 1.0, members=("x", "mira")))
    assert await said(stage, "h", "Hello?", "Hi.") == ["mira"]
    assert Tree(await stage.conversations.messages(ANN, "h")).messages[0].audience == ("mira",)


async def test_what_is_taken_along_says_who_was_there(stage: Stage) -> None:
    talk = await group(stage, "round_robin", replies=2)
    await said(stage, talk, "All?", "Yes.", "Yes.")
    conversation, tree = await conversing(stage).whole(ANN, talk)
    archived = ArchivedConversation.of(
        conversation, [ArchivedMessage.of(m, memorable=m.memorable, kept_by=m.kept_by) for m in tree.messages]
    )
    back = ArchivedConversation.model_validate_json(archived.model_dump_json())
    renamed = {"ada": "ada-2"}
    there = ("ada-2", "mira", "leo")
    made = back.conversation(renamed)
    assert (made.members, made.order, made.replies) == (there, "round_robin", 2)
    assert {(m.message(renamed).audience, m.message(renamed).kept_by) for m in back.messages} == {(there, there)}


async def test_what_one_of_a_group_forgot_or_another_remembers_is_not_taken_along(stage: Stage) -> None:
    talk = await group(stage, "round_robin", replies=2)
    await said(stage, talk, "All?", "Yes.", "Yes.")
    knowledge, outbox = FakeKnowledge(), FakeOutbox()
    moving = Moving(stage.conversations, knowledge, outbox)
    asked = (await stage.conversations.messages(ANN, talk))[0]
    forgotten = overheard(memory_of(ANN, "mira", talk, asked), ANN, asked)
    await outbox.forget(ANN, Selection(ids=(forgotten.id,), until=asked.created_at))

    whole = (await moving.take(ANN, None)).conversations[0]
    assert {m.id: m.kept_by for m in whole.messages}[asked.id] == ("ada", "leo")
    assert all(m.kept_by == tuple(THREE) for m in whole.messages if m.id != asked.id)
    of_mira = await moving.take(ANN, "mira")
    assert of_mira.character == "mira"
    assert [m.kept_by for m in of_mira.conversations[0].messages] == [(), ("mira",), ("mira",)]
    assert not of_mira.conversations[0].messages[0].memorable


async def test_what_somebody_corrected_for_one_of_a_group_arrives_at_that_one(stage: Stage) -> None:
    talk = await group(stage, "round_robin", replies=2)
    await said(stage, talk, "All?", "Yes.", "Yes.")
    moving = Moving(stage.conversations, FakeKnowledge(), FakeOutbox())
    asked = (await stage.conversations.messages(ANN, talk))[0]
    corrected = ArchivedAmendment(message_id=asked.id, character="mira", text="All of us?", pinned=True)
    archive = (await moving.take(ANN, None)).model_copy(update={"amendments": (corrected,)})

    there = FakeKnowledge()
    arrived = await Moving(stage.conversations, there, FakeOutbox()).put(ANN, archive, {})
    assert arrived.amendments == 1
    amended = await Knowing(there).amendments(ANN)
    assert list(amended) == [overheard(memory_of(ANN, "mira", talk, asked), ANN, asked).id]


async def test_a_file_of_a_group_brings_the_group_back(stage: Stage) -> None:
    talk = await group(stage, "round_robin", replies=2)
    await said(stage, talk, "All?", "Yes.", "Yes.")
    desk = Transcripts(conversing(stage), stage.conversations, stage.cast())
    back = (await desk.take(ANN, (await desk.give(ANN, talk, "json")).data)).whole
    old = (await conversing(stage).whole(ANN, talk)).conversation
    assert (back.conversation.members, back.conversation.replies) == (old.members, 2)
    assert {message.audience for message in back.tree.messages} == {tuple(THREE)}
