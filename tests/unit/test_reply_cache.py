"""The response cache in front of the language model: when it answers, what it keeps, what it does when it is away."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, UpstreamFailed
from chattr.adapters.fakes.replies import FakeReplyCache
from chattr.domain.identity import Owner
from chattr.ports.language import ChatRequest, Chunk
from chattr.ports.replies import KeptReply
from chattr.usecases.caching import CacheStatus, CacheUse, Caching, chunks_of, fingerprint
from chattr.usecases.choices import Choices
from chattr.usecases.draft import Running
from chattr.usecases.scene import Again, Ask
from tests.reply_stage import ANN, Stage, Talker, all_of

pytestmark = pytest.mark.unit

MISS, RENEWED, BYPASSED = (CacheStatus(forwarded=why) for why in ("miss", "request", "bypass"))
HELLO = ChatRequest([{"role": "user", "content": "Hello"}], {"temperature": 0.5})


class Counting(Talker):
    """Says another number each time it is asked."""

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        self.words = (f"Answer {len(self.asked)}", ".")
        async for chunk in super().stream(request, deadline):
            yield chunk


class Asked:
    """Asks a character over one cache, and tells what was heard."""

    def __init__(self, talker: Talker | None = None, cache: FakeReplyCache | None = None) -> None:
        self.stage = Stage(talker or Counting())
        self.cache = cache or FakeReplyCache(ttl=60)
        self.reply = self.stage.reply(replies=self.cache)

    async def __call__(
        self, text: str = "Hello", owner: Owner = ANN, cache: CacheUse = "use", **more: Any
    ) -> tuple[str, CacheStatus | None]:
        running = await self.reply.start(owner, Ask("ada", text, cache=cache, **more), detached=False)
        return (await running.whole()).text, running.cache


async def test_the_same_question_gets_the_same_answer_and_the_model_is_asked_once() -> None:
    asked = Asked()
    assert await asked() == ("Answer 0.", MISS)
    text, status = await asked()
    assert text == "Answer 0."
    assert status is not None
    assert status.forwarded is None
    assert status.ttl is not None
    assert 55 <= status.ttl <= 60
    assert len(asked.stage.talker.asked) == 1


async def test_anything_that_differs_is_asked_anew() -> None:
    asked = Asked()
    await asked()
    assert (await asked("Hello?"))[1] == MISS
    assert (await asked(sampling={"temperature": 0.1}))[1] == MISS
    assert (await asked(instructions="Rhyme."))[1] == MISS
    assert (await asked(sampling={"response_format": {"type": "json_object"}}))[1] == MISS
    assert (await asked(sampling={"stream_options": {"include_obfuscation": False}}))[0] == "Answer 0."


@pytest.mark.parametrize("stranger", [Owner("acme", "bob"), Owner("evil", "ann")])
async def test_nobody_gets_another_ones_answer(stranger: Owner) -> None:
    asked = Asked()
    await asked()
    assert await asked(owner=stranger) == ("Answer 1.", MISS)


async def test_no_store_neither_reads_nor_writes() -> None:
    asked = Asked()
    assert await asked(cache="never") == ("Answer 0.", BYPASSED)
    assert await asked() == ("Answer 1.", MISS)
    assert await asked(cache="never") == ("Answer 2.", BYPASSED)
    assert (await asked())[0] == "Answer 1."


async def test_no_cache_does_not_read_and_writes() -> None:
    asked = Asked()
    await asked()
    assert await asked(cache="renew") == ("Answer 1.", RENEWED)
    assert (await asked())[0] == "Answer 1."


async def test_a_kept_answer_goes_the_whole_way_of_a_reply() -> None:
    asked = Asked()
    await asked("Hello", conversation_id="one")
    running = await asked.reply.start(ANN, Ask("ada", "Hello", conversation_id="two"), detached=True)
    events = await all_of(running.heard())
    assert running.cache is not None
    assert running.cache.ttl is not None
    assert events == [event async for event in asked.stage.log.follow(ANN, running.reply_id)]
    assert events[-1].data["usage"] == {"completion_tokens": 3}
    assert events[-1].data["finish_reason"] == "stop"
    messages = await asked.stage.conversations.messages(ANN, "two")
    assert [message.content for message in messages] == ["Hello", "Answer 0."]


async def test_another_reply_is_never_the_kept_one() -> None:
    asked = Asked()
    await asked("Hello", conversation_id="one")
    conversation = await asked.stage.conversations.get(ANN, "one")
    assert conversation is not None
    assert conversation.head_id is not None
    again = Again(conversation.head_id)
    assert await asked("", conversation_id="one", place=again) == ("Answer 1.", RENEWED)
    assert await asked("", conversation_id="one", place=again, cache="never") == ("Answer 2.", BYPASSED)


@pytest.mark.parametrize("kind", ["fails", "filtered", "silent about its end"])
async def test_what_is_no_whole_answer_is_not_kept(kind: str) -> None:
    talker = Counting()
    asked = Asked(talker)
    if kind == "fails":
        talker.error, talker.fails_after = UpstreamFailed("scripted"), 1
        with pytest.raises(ChatacterError):
            await asked()
        talker.error = None
    else:
        talker.reason = "content_filter" if kind == "filtered" else None
        await asked()
    assert (await asked())[1] == MISS


async def test_a_reply_that_was_cancelled_is_not_kept() -> None:
    talker = Counting(step=asyncio.Semaphore(1))
    asked = Asked(talker)
    running = await asked.reply.start(ANN, Ask("ada", "Hello"), detached=False)
    heard = running.heard()
    await anext(heard)
    await heard.aclose()
    talker.step = None
    assert (await asked())[1] == MISS


async def test_a_cache_that_is_away_is_told_and_costs_nothing() -> None:
    cache = FakeReplyCache()
    cache.away = True
    asked = Asked(cache=cache)
    assert await asked() == ("Answer 0.", CacheStatus(forwarded="bypass", away=True))
    assert await asked(cache="renew") == ("Answer 1.", RENEWED)


class Hanging(FakeReplyCache):
    """A cache that takes connections and answers nothing."""

    async def find(self, owner: Owner, fingerprint: str) -> KeptReply | None:
        await asyncio.Event().wait()
        raise AssertionError("nothing wakes it")


async def test_a_cache_that_hangs_is_not_waited_for() -> None:
    asked = Asked(cache=Hanging())
    async with asyncio.timeout(3):
        assert await asked() == ("Answer 0.", CacheStatus(forwarded="bypass", away=True))


async def test_without_a_cache_nothing_is_told() -> None:
    stage = Stage(Talker())
    running: Running = await stage.reply().start(ANN, Ask("ada", "Hello"), detached=False)
    await running.whole()
    assert running.cache is None
    looked = await Caching(None).look(ANN, "m", HELLO, "use")
    assert (looked.status, looked.chunks, looked.heard) == (None, None, None)


def test_a_fingerprint_takes_numbers_that_no_machine_word_holds_and_no_order_of_fields() -> None:
    one = ChatRequest(HELLO.messages, {"seed": 10**30, "a": 1})
    two = ChatRequest(HELLO.messages, {"a": 1, "seed": 10**30})
    assert fingerprint("m", one) == fingerprint("m", two)
    assert fingerprint("m", one) != fingerprint("n", one)


def test_what_is_given_again_says_all_that_was_said() -> None:
    said = Choices()
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "rain", "arguments": "{}"}}
    logprobs = {"content": [{"token": "Good day.", "logprob": -1.0}]}
    said.take(
        {"choices": [{"index": 0, "delta": {"content": "Good "}, "logprobs": logprobs}], "system_fingerprint": "f"}
    )
    said.take({"choices": [{"index": 0, "delta": {"content": "day.", "reasoning_content": "Hm."}}]})
    said.take({"choices": [{"index": 1, "delta": {"tool_calls": [call]}}]})
    said.take({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    said.take({"choices": [{"index": 1, "delta": {}, "finish_reason": "tool_calls"}], "usage": {"total_tokens": 9}})
    again = Choices()
    for chunk in chunks_of(said):
        again.take(chunk)
    assert again.whole() == said.whole()
    assert (again.usage, again.more) == (said.usage, said.more)
