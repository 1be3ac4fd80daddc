"""Replies all over the tree: under any message, once more, going on; and when somebody else is quicker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from chatacter.chassis.errors import InvalidInput, NotFound
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.tree import Tree
from chattr.ports.sessions import COMPLETED, CREATED, Event
from chattr.usecases.scene import DELETED_MEANWHILE, GO_ON, Again, Ask, Onward, Place, Under
from tests.reply_stage import ANN, Stage, Talker, all_of

pytestmark = pytest.mark.unit


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage(Talker())
    yield made
    await made.live.close(5)


async def said(stage: Stage, text: str, answer: str, place: Place | None = None) -> list[Event]:
    stage.talker.words = (answer,)
    ask = Ask("ada", text, conversation_id="c", place=place)
    return await all_of((await stage.reply().start(ANN, ask, detached=True)).heard())


async def tree(stage: Stage) -> Tree:
    return Tree(await stage.conversations.messages(ANN, "c"))


async def active(stage: Stage) -> list[str]:
    found = await stage.conversations.get(ANN, "c")
    assert found is not None
    return [message.content for message in (await tree(stage)).path(found.head_id)]


async def named(stage: Stage, text: str) -> str:
    return next(message.id for message in (await tree(stage)).messages if message.content == text)


def asked(stage: Stage) -> list[str]:
    """What the model was asked last, without the persona."""
    return [message["content"] for message in stage.talker.asked[-1].messages[1:]]


async def test_something_else_is_said_in_the_middle(stage: Stage) -> None:
    await said(stage, "Q1", "A1")
    await said(stage, "Q2", "A2")
    opening = (await said(stage, "Q3", "A3", Under(await named(stage, "A1"))))[0]
    assert asked(stage) == ["Q1", "A1", "Q3"]
    assert await active(stage) == ["Q1", "A1", "Q3", "A3"]
    assert opening.data["parent_id"] == await named(stage, "Q3") == opening.data["user_message_id"]
    await said(stage, "Q4", "A4", Under(None))
    assert await active(stage) == ["Q4", "A4"]
    assert asked(stage) == ["Q4"]


async def test_a_reply_is_given_once_more(stage: Stage) -> None:
    await said(stage, "Q1", "A1")
    await said(stage, "Q2", "A2")
    events = await said(stage, "", "A2 again", Again(await named(stage, "A2")))
    assert asked(stage) == ["Q1", "A1", "Q2"]
    assert await active(stage) == ["Q1", "A1", "Q2", "A2 again"]
    again = (await tree(stage)).get(events[0].data["message_id"])
    assert again is not None
    assert list((await tree(stage)).siblings(again)) == [await named(stage, "A2"), again.id]
    await said(stage, "", "A1 again", Again(await named(stage, "Q1")))
    assert await active(stage) == ["Q1", "A1 again"]


async def test_a_turn_reads_the_window_alone_on_whichever_branch(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    messages = stage.conversations.messages

    async def counted(owner: Owner, conversation_id: str) -> Sequence[Message]:
        read.append(conversation_id)
        return await messages(owner, conversation_id)

    for number in range(3):
        await said(stage, f"Q{number}", f"A{number}")
    first = await named(stage, "A0")
    monkeypatch.setattr(stage.conversations, "messages", counted)
    await said(stage, "P1", "B1", Under(first))
    assert read == ["c"], "what leaves a branch reads where it goes"
    await said(stage, "P2", "B2")
    assert asked(stage) == ["Q0", "A0", "P1", "B1", "P2"]
    await said(stage, "", "B2 again", Again(await active_head(stage)))
    assert asked(stage) == ["Q0", "A0", "P1", "B1", "P2"]
    await said(stage, "P3", "B3")
    assert asked(stage) == ["Q0", "A0", "P1", "B1", "P2", "B2 again", "P3"]
    assert read == ["c"]
    await stage.conversations.update(ANN, replace(await conversation(stage), title="x"), "title")
    await said(stage, "P4", "B4")
    assert read == ["c", "c"], "whatever changed it, it is read once"


async def conversation(stage: Stage) -> Conversation:
    found = await stage.conversations.get(ANN, "c")
    assert found is not None
    return found


async def active_head(stage: Stage) -> str:
    return (await conversation(stage)).head_id or ""


async def test_a_reply_goes_on_beside_itself(stage: Stage) -> None:
    await said(stage, "Q1", "A1 and")
    events = await said(stage, "", " more", Onward(await named(stage, "A1 and")))
    request = stage.talker.asked[-1]
    assert request.goes_on
    assert [message["role"] for message in request.messages[1:]] == ["user", "assistant"]
    assert asked(stage) == ["Q1", "A1 and"]
    assert (events[0].data["begun"], events[1].data["text"]) == ("A1 and", " more")
    assert await active(stage) == ["Q1", "A1 and more"]
    assert len((await tree(stage)).messages) == 3


async def test_a_reply_that_has_nothing_to_add_adds_nothing(stage: Stage) -> None:
    await said(stage, "Q1", "A1")
    ending = (await said(stage, "", "", Onward(await named(stage, "A1"))))[-1]
    assert (ending.type, ending.data["stored"]) == (COMPLETED, False)
    assert await active(stage) == ["Q1", "A1"]


async def test_only_replies_go_on(stage: Stage) -> None:
    await said(stage, "Q1", "A1")
    with pytest.raises(InvalidInput):
        await said(stage, "", "", Onward(await named(stage, "Q1")))


async def test_a_greeting_may_be_given_anew_and_answered(stage: Stage) -> None:
    greeting = Message("hi", None, "assistant", "Welcome!", 1.0, "ada")
    await stage.conversations.create(ANN, Conversation("c", "ada", 1.0, head_id="hi"), [greeting])
    await said(stage, "Q1", "A1")
    assert asked(stage) == ["Hello!", "Welcome!", "Q1"]
    await said(stage, "", "Be welcome!", Again("hi"))
    assert asked(stage) == ["Hello!"]
    assert await active(stage) == ["Be welcome!"]


async def test_after_words_of_its_own_a_character_is_asked_to_go_on(stage: Stage) -> None:
    messages = [Message("hi", None, "assistant", "Welcome!", 1.0, "ada"), Message("so", "hi", "assistant", "So.", 2.0)]
    await stage.conversations.create(ANN, Conversation("c", "ada", 1.0, head_id="so"), messages)
    await said(stage, "", "Well.", Again("so"))
    assert asked(stage) == ["Hello!", "Welcome!", GO_ON]


async def test_what_is_not_there_is_not_answered(stage: Stage) -> None:
    for place in (Under("none"), Again("none"), Onward("none"), Under(None)):
        with pytest.raises(NotFound):
            await said(stage, "Q1", "A1", place)
    assert await stage.conversations.get(ANN, "c") is None
    await said(stage, "Q1", "A1")
    for place in (Under("none"), Again("none"), Onward("none")):
        with pytest.raises(NotFound):
            await said(stage, "Q2", "A2", place)
    assert await active(stage) == ["Q1", "A1"]


async def begun(stage: Stage, place: Place | None = None, text: str = "Q2") -> asyncio.Task[list[Event]]:
    """A reply whose first word was said and whose second one waits."""
    stage.talker.words, stage.talker.step = ("A2", "!"), asyncio.Semaphore(1)
    running = await stage.reply().start(ANN, Ask("ada", text, conversation_id="c", place=place), detached=True)
    heard = asyncio.Event()

    async def listen() -> list[Event]:
        events: list[Event] = []
        async with aclosing(running.heard()) as items:
            async for item in items:
                events += [item.event] if item.event else []
                if len(events) == 2:
                    heard.set()
        return events

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(5):
        await heard.wait()
    return listening


async def ended(stage: Stage, listening: asyncio.Task[list[Event]]) -> Event:
    assert stage.talker.step is not None
    stage.talker.step.release()
    async with asyncio.timeout(5):
        events = await listening
    stage.talker.step = None
    assert events[0].type == CREATED
    return events[-1]


async def test_a_late_reply_does_not_pull_the_person_back(stage: Stage) -> None:
    await said(stage, "Q1", "A1")
    late = await begun(stage)
    found = await stage.conversations.get(ANN, "c")
    assert found is not None
    elsewhere = Message("else", await named(stage, "A1"), "user", "Elsewhere", 2.0)
    await stage.conversations.append(ANN, "c", [elsewhere])
    assert (await ended(stage, late)).data["stored"]
    assert await active(stage) == ["Q1", "A1", "Elsewhere"]
    assert [m.content for m in (await tree(stage)).path(await named(stage, "A2!"))] == ["Q1", "A1", "Q2", "A2!"]


async def test_a_late_second_reply_does_not_either(stage: Stage) -> None:
    await said(stage, "Q1", "A1")
    late = await begun(stage, Again(await named(stage, "A1")), "")
    await stage.conversations.append(ANN, "c", [Message("else", None, "user", "Elsewhere", 2.0)])
    assert (await ended(stage, late)).data["stored"]
    assert await active(stage) == ["Elsewhere"]
    assert [m.content for m in (await tree(stage)).path(await named(stage, "A2!"))] == ["Q1", "A2!"]


async def test_a_reply_to_what_was_deleted_is_not_kept_and_says_so(stage: Stage) -> None:
    await said(stage, "Q1", "A1")
    late = await begun(stage)
    found = await stage.conversations.get(ANN, "c")
    assert found is not None
    before = await tree(stage)
    removed = before.under(await named(stage, "Q2"))
    cut = Conversation("c", "ada", 1.0, head_id=before.head_without(removed, found.head_id), revision=found.revision)
    assert await stage.conversations.prune(ANN, cut, removed)
    ending = await ended(stage, late)
    assert (ending.type, ending.data["stored"], ending.data["told"]) == (COMPLETED, False, [DELETED_MEANWHILE])
    assert await active(stage) == ["Q1", "A1"]
    assert [message.content for message in (await tree(stage)).messages] == ["Q1", "A1"]


async def test_two_who_speak_at_once_are_both_heard(stage: Stage) -> None:
    await said(stage, "Q1", "A1")
    stage.talker.words = ("Yes.",)
    asks = [Ask("ada", text, conversation_id="c") for text in ("Mine", "Yours")]
    both = await asyncio.gather(*(stage.reply().start(ANN, ask, detached=True) for ask in asks))
    for running in both:
        await all_of(running.heard())
    messages = (await tree(stage)).messages
    assert sorted(m.content for m in messages) == ["A1", "Mine", "Q1", "Yes.", "Yes.", "Yours"]
    for text in ("Mine", "Yours"):
        asked_for = await named(stage, text)
        assert [m.content for m in messages if m.parent_id == asked_for and m.role == "assistant"] == ["Yes."]
