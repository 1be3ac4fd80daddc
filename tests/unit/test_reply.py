"""A character's reply over fakes: what is stored, logged, cancelled, told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest

from chatacter.chassis.errors import (
    ChatacterError,
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    Misconfigured,
    NotFound,
    Unavailable,
)
from chattr.adapters.fakes.sessions import FakeSessionLog
from chattr.domain.identity import Owner
from chattr.ports.sessions import CANCELLED, COMPLETED, CREATED, DELTA, FAILED, Event
from chattr.usecases.scene import Ask
from tests.reply_stage import ANN, Stage, Talker, all_of

pytestmark = pytest.mark.unit


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage(Talker())
    yield made
    await made.live.close(5)


async def test_a_reply_is_heard_logged_and_stored(stage: Stage) -> None:
    running = await stage.reply().start(ANN, Ask("ada", "Hello", conversation_id="c"), detached=True)
    heard = await all_of(running.heard())
    logged = [event async for event in stage.log.follow(ANN, running.reply_id)]
    assert [event.type for event in heard] == [CREATED, DELTA, DELTA, DELTA, COMPLETED]
    assert logged == heard
    messages = await stage.conversations.messages(ANN, "c")
    assert [(message.role, message.content) for message in messages] == [("user", "Hello"), ("assistant", "Good day!")]
    assert messages[1].parent_id == messages[0].id
    conversation = await stage.conversations.get(ANN, "c")
    assert conversation is not None
    assert (conversation.head_id, conversation.live_reply_id) == (messages[1].id, None)


async def test_the_next_prompt_holds_what_was_said(stage: Stage) -> None:
    for text in ("My dog is called Biscuit.", "What is my dog called?"):
        running = await stage.reply().start(ANN, Ask("ada", text, conversation_id="c"), detached=True)
        await all_of(running.heard())
    said = [message["content"] for message in stage.talker.asked[-1].messages]
    assert said[-3:] == ["My dog is called Biscuit.", "Good day!", "What is my dog called?"]


async def test_history_comes_from_the_records_when_short_term_memory_forgot(stage: Stage) -> None:
    for text in ("One", "Two"):
        running = await stage.reply().start(ANN, Ask("ada", text, conversation_id="c"), detached=True)
        await all_of(running.heard())
        await stage.short_term.drop(ANN, "c")
    assert "One" in [message["content"] for message in stage.talker.asked[-1].messages]


async def test_a_stateless_question_stores_nothing(stage: Stage) -> None:
    running = await stage.reply().start(ANN, Ask("ada", "Hello"), detached=False)
    await all_of(running.heard())
    assert not await stage.conversations.list(ANN, before=None, limit=10)


async def test_leaving_an_attached_reply_stops_the_model_and_keeps_what_was_said(stage: Stage) -> None:
    stage.talker.step = asyncio.Semaphore(1)
    running = await stage.reply().start(ANN, Ask("ada", "Hello", conversation_id="c"), detached=False)
    async with aclosing(running.heard()) as heard:
        async for item in heard:
            if item.event and item.event.type == DELTA:
                break
    assert stage.talker.closed == 1
    messages = await stage.conversations.messages(ANN, "c")
    assert (messages[-1].content, messages[-1].status) == ("Good ", "cancelled")


async def test_leaving_a_detached_reply_lets_it_finish(stage: Stage) -> None:
    stage.talker.step = asyncio.Semaphore(1)
    running = await stage.reply().start(ANN, Ask("ada", "Hello", conversation_id="c"), detached=True)
    async with aclosing(running.heard()) as heard:
        await anext(heard)
    for _ in stage.talker.words:
        stage.talker.step.release()
    await stage.live.close(5)
    assert (await stage.conversations.messages(ANN, "c"))[-1].content == "Good day!"


async def test_a_cancel_by_message_ends_the_reply(stage: Stage) -> None:
    stage.talker.step = asyncio.Semaphore(1)
    running = await stage.reply().start(ANN, Ask("ada", "Hello", conversation_id="c"), detached=True)
    events: list[Event] = []
    async with asyncio.timeout(5), aclosing(running.heard()) as heard:
        async for item in heard:
            events += [item.event] if item.event else []
            if item.event and item.event.type == DELTA:
                await stage.log.cancel(ANN, running.reply_id)
    assert [event.type for event in events] == [CREATED, DELTA, CANCELLED]
    assert stage.talker.closed == 1


async def test_an_error_before_the_first_text_is_raised_and_logged(stage: Stage) -> None:
    stage.talker.error = Misconfigured("Set MODEL__API_KEY.")
    running = await stage.reply().start(ANN, Ask("ada", "Hello", conversation_id="c"), detached=True)
    with pytest.raises(Misconfigured):
        await all_of(running.heard())
    await stage.live.close(5)
    logged = [event async for event in stage.log.follow(ANN, running.reply_id)]
    assert [event.type for event in logged] == [CREATED, FAILED]
    assert [message.content for message in await stage.conversations.messages(ANN, "c")] == ["Hello"]


async def test_an_error_after_text_is_told_in_the_stream(stage: Stage) -> None:
    stage.talker.error, stage.talker.fails_after = Unavailable("Gone."), 2
    running = await stage.reply().start(ANN, Ask("ada", "Hello"), detached=True)
    events = await all_of(running.heard())
    assert [event.type for event in events] == [CREATED, DELTA, DELTA, FAILED]
    assert events[-1].data == {"code": "unavailable", "message": "Gone.", "retryable": True}


async def test_what_was_said_before_a_failure_is_kept(stage: Stage) -> None:
    stage.talker.error, stage.talker.fails_after = Unavailable("Gone."), 2
    running = await stage.reply().start(ANN, Ask("ada", "Hello", conversation_id="c"), detached=True)
    await all_of(running.heard())
    last = (await stage.conversations.messages(ANN, "c"))[-1]
    assert (last.role, last.content, last.status) == ("assistant", "Good day", "interrupted")


async def test_what_was_said_before_the_process_ends_is_kept_and_told(stage: Stage) -> None:
    stage.talker.step = asyncio.Semaphore(2)
    running = await stage.reply().start(ANN, Ask("ada", "Hello", conversation_id="c"), detached=True)
    async with asyncio.timeout(10), aclosing(running.heard()) as heard:
        while (item := await anext(heard)).event is None or item.event.data.get("text") != "day":
            pass
        await stage.live.close(0)
        assert [event.type async for event in stage.log.follow(ANN, running.reply_id)][-1] == FAILED
        assert (last := (await anext(heard)).event)
        assert (last.type, last.data["code"]) == (FAILED, "unavailable")
    conversation = await stage.conversations.get(ANN, "c")
    assert conversation is not None
    assert conversation.live_reply_id is None
    said = (await stage.conversations.messages(ANN, "c"))[-1]
    assert (said.content, said.status) == ("Good day", "interrupted")


class BrokenLog(FakeSessionLog):
    """A log with a mistake in it."""

    async def append(self, owner: Owner, reply_id: str, events: Sequence[Event]) -> bool:
        raise ValueError("a mistake")


async def test_a_writer_that_fails_leaves_no_listener_waiting(stage: Stage) -> None:
    stage.log = BrokenLog()
    running = await stage.reply().start(ANN, Ask("ada", "Hello"), detached=True)
    async with asyncio.timeout(10):
        with pytest.raises(ChatacterError, match="trace id"):
            await all_of(running.heard())


async def test_without_a_character_the_conversation_s_own_answers_else_the_default(stage: Stage) -> None:
    for conversation, character in (("new", None), ("old", "mira"), ("old", None)):
        ask = Ask(character, "Hello", conversation_id=conversation)
        events = await all_of((await stage.reply().start(ANN, ask, detached=True)).heard())
        assert events[0].data["character_id"] == ("mira" if conversation == "old" else "ada")


async def test_a_model_that_never_answers_is_told_in_time(stage: Stage) -> None:
    stage.talker.step, stage.timeout = asyncio.Semaphore(0), 0.05
    running = await stage.reply().start(ANN, Ask("ada", "Hello"), detached=True)
    with pytest.raises(DeadlineExceeded):
        await all_of(running.heard())
    assert stage.talker.closed == 1


async def test_what_cannot_be_asked_is_refused_before_anything_begins(stage: Stage) -> None:
    reply = stage.reply()
    with pytest.raises(NotFound, match="ada, leo, mira"):
        await reply.start(ANN, Ask("nobody", "Hello"), detached=True)
    with pytest.raises(InvalidInput):
        await reply.start(ANN, Ask("ada", "Hello", conversation_id="no spaces allowed"), detached=True)
    await all_of((await reply.start(ANN, Ask("ada", "Hello", conversation_id="c"), detached=True)).heard())
    with pytest.raises(Conflict, match="ada"):
        await reply.start(ANN, Ask("mira", "Hello", conversation_id="c"), detached=True)
