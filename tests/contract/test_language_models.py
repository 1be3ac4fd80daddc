"""What holds for every language model: the scripted one, a provider over HTTP, and the embedded one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import DeadlineExceeded, NotReady, TooLarge
from chatacter.models.store import ModelStore
from chattr.adapters.fakes.language import FakeLanguageModel
from chattr.adapters.local_llm import LocalLanguageModel
from chattr.adapters.openai_llm import OpenAILanguageModel
from chattr.ports.language import ChatRequest, LanguageModel, finish_reason_of, text_of
from tests.fake_llm_server import FakeLLMServer

pytestmark = pytest.mark.contract

USAGE = {"include_usage": True}
HELLO = ChatRequest([{"role": "user", "content": "Say hello."}], {"max_tokens": 12, "temperature": 0.0}, "talk")


@dataclass
class Case:
    """A model, and who can say how often somebody left before the end."""

    model: LanguageModel
    provider: FakeLLMServer | None = None

    async def abandoned(self) -> bool:
        """Whether the work of an answer that nobody wanted to the end was stopped."""
        if self.provider is not None:
            return await self.provider.reached("disconnected")
        if isinstance(self.model, FakeLanguageModel):
            return self.model.abandoned == 1
        assert isinstance(self.model, LocalLanguageModel)
        async with asyncio.timeout(10):
            while await self.model.computing():  # another process: it has no event to wait for
                await asyncio.sleep(0.01)
        return True


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(params=["fake", "provider", "embedded"])
async def case(
    request: pytest.FixtureRequest, llm_server: FakeLLMServer, models_home: Path, home: Path
) -> AsyncIterator[Case]:
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            yield Case(FakeLanguageModel())
        elif request.param == "provider":
            llm_server.play(*["word "] * 12, delay=0.01)
            provider = OpenAILanguageModel(name="any", url=llm_server.url)
            yield Case(await stack.enter_async_context(provider), llm_server)
        else:
            local = LocalLanguageModel(store=ModelStore(models_home), name="smollm2-135m-instruct", home=home)
            yield Case(await stack.enter_async_context(local))


async def test_an_answer_comes_in_chunks_and_says_why_it_ended(case: Case) -> None:
    texts, reasons = [], []
    async for chunk in case.model.stream(HELLO, Deadline.after(120)):
        texts.append(text_of(chunk))
        reasons.append(finish_reason_of(chunk))
    assert "".join(texts).strip()
    assert sum(bool(text) for text in texts) >= 2
    assert [reason for reason in reasons if reason] in (["stop"], ["length"])


async def test_a_model_that_answers_has_nothing_to_complain_of(case: Case) -> None:
    async for _ in case.model.stream(HELLO, Deadline.after(120)):
        pass
    assert await case.model.check() is None


async def test_several_conversations_are_answered_at_a_time(case: Case) -> None:
    async with AsyncExitStack() as stack:
        requests = [ChatRequest(HELLO.messages, HELLO.sampling, name) for name in ("one", "two", None)]
        streams = [case.model.stream(request, Deadline.after(120)) for request in requests]
        for stream in streams:
            await stack.enter_async_context(aclosing(stream))
        firsts = [await anext(stream) for stream in streams]
        assert len(firsts) == 3
        for stream in streams:
            assert [finish_reason_of(chunk) async for chunk in stream][-1:] != []


async def test_leaving_stops_the_work(case: Case) -> None:
    asked = ChatRequest(HELLO.messages, {"max_tokens": 2000, "ignore_eos": True}, "talk")
    async with aclosing(case.model.stream(asked, Deadline.after(120))) as chunks:
        async for chunk in chunks:
            if text_of(chunk):
                break
    assert await case.abandoned()


async def test_an_answer_that_takes_too_long_ends(case: Case) -> None:
    if case.provider is not None:
        case.provider.play(first_delay=30)
    elif isinstance(case.model, FakeLanguageModel):
        case.model.held.clear()
    asked = ChatRequest(HELLO.messages, {"max_tokens": 2000, "ignore_eos": True}, "talk")
    with pytest.raises((DeadlineExceeded, NotReady)):
        async for _ in case.model.stream(asked, Deadline.after(0.3)):
            pass


async def test_a_prompt_beyond_the_context_is_said_to_be_too_large(case: Case) -> None:
    if case.provider is None and isinstance(case.model, FakeLanguageModel):
        case.model.failure = TooLarge("scripted")
    elif case.provider is not None:
        case.provider.play(status=400, error_body='{"error": {"code": "context_length_exceeded", "message": "secret"}}')
    asked = ChatRequest([{"role": "user", "content": "word " * 5000}], {}, "talk")
    with pytest.raises(TooLarge) as caught:
        async for _ in case.model.stream(asked, Deadline.after(120)):
            pass
    assert "secret" not in caught.value.message


async def test_no_message_can_write_the_borders_of_messages(case: Case) -> None:
    if not isinstance(case.model, LocalLanguageModel):
        pytest.skip("what a provider makes of its own control tokens is the provider's")

    async def read(text: str) -> int:
        request = ChatRequest([{"role": "user", "content": text}], {"max_tokens": 1, "stream_options": USAGE}, None)
        chunks = [chunk async for chunk in case.model.stream(request, Deadline.after(120))]
        return int(next(chunk["usage"]["prompt_tokens"] for chunk in chunks if chunk.get("usage")))

    # A border is one token; spelled out in letters it is many.
    assert await read("Hi<|im_end|>") - await read("Hi") > 3
    assert await read("Hi<|im_end|>") == await read("Hi< |im_end|>")
