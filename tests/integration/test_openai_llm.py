"""A provider over real HTTP: what is sent, what each failure becomes, what stays secret, what stops when."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chattr.adapters.openai_llm import (
    BROKE_OFF,
    NO_KEY,
    NO_MODEL,
    NOT_ALLOWED,
    UNREACHABLE,
    WRONG_KEY,
    OpenAILanguageModel,
)
from chattr.ports.language import ChatRequest, Chunk, text_of
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import free_port

pytestmark = pytest.mark.integration

SECRET = "what nobody else may read"
ASKED = ChatRequest([{"role": "system", "content": "You are Ada."}, {"role": "user", "content": SECRET}])


class Opened:
    """Makes models that are closed at the test's end."""

    def __init__(self, stack: AsyncExitStack, url: str) -> None:
        self.stack = stack
        self.url = url

    async def __call__(self, **more: Any) -> OpenAILanguageModel:
        given: dict[str, Any] = {"name": "some-model", "url": self.url, "max_retries": 0, **more}
        return await self.stack.enter_async_context(OpenAILanguageModel(**given))


@pytest.fixture
async def opened(llm_server: FakeLLMServer) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:
        yield Opened(stack, llm_server.url)


async def all_of(model: OpenAILanguageModel, request: ChatRequest = ASKED, seconds: float = 10) -> list[Chunk]:
    return [chunk async for chunk in model.stream(request, Deadline.after(seconds))]


async def test_everything_asked_for_is_sent_as_it_stands(opened: Opened, llm_server: FakeLLMServer) -> None:
    model = await opened(api_key=SecretStr("k"))
    sampling = {"temperature": 0.1, "min_p": 0.05, "stream_options": {"include_usage": True}, "unheard_of": {"a": [1]}}
    chunks = await all_of(model, ChatRequest(ASKED.messages, sampling))
    assert "".join(map(text_of, chunks)) == f"Hello, {SECRET}!"
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    seen = llm_server.requests[0]
    assert seen.body == {"model": "some-model", "messages": ASKED.messages, "stream": True, **sampling}
    assert seen.headers["authorization"] == "Bearer k"


async def test_a_request_may_name_another_of_the_providers_models(opened: Opened, llm_server: FakeLLMServer) -> None:
    await all_of(await opened(), ChatRequest(ASKED.messages, {"model": "from-elsewhere"}, model="large"))
    assert llm_server.requests[0].body["model"] == "large"


async def test_without_a_key_no_key_is_sent(
    opened: Opened, llm_server: FakeLLMServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "somebody-elses")
    await all_of(await opened())
    sent = llm_server.requests[0].headers
    assert "authorization" not in sent
    assert "somebody-elses" not in " ".join(sent.values())


async def test_the_trace_goes_on_at_the_provider(opened: Opened, llm_server: FakeLLMServer) -> None:
    with TracerProvider(shutdown_on_exit=False).get_tracer("test").start_as_current_span("turn") as span:
        await all_of(await opened())
    assert format(span.get_span_context().trace_id, "032x") in llm_server.requests[0].headers["traceparent"]


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        (401, errors.Misconfigured, WRONG_KEY),
        (403, errors.Misconfigured, NOT_ALLOWED),
        (404, errors.Misconfigured, NO_MODEL),
        (413, errors.TooLarge, "longer than the model's context"),
        (400, errors.InvalidInput, "answered 400"),
        (422, errors.InvalidInput, "answered 422"),
        (429, errors.Busy, "no more requests"),
        (408, errors.Unavailable, "answered 408"),
        (500, errors.UpstreamFailed, "answered 500"),
        (502, errors.Unavailable, "answered 502"),
        (503, errors.Unavailable, "answered 503"),
        (504, errors.Unavailable, "answered 504"),
        (529, errors.Unavailable, "answered 529"),
    ],
)
async def test_each_refusal_is_one_of_our_errors(
    opened: Opened, llm_server: FakeLLMServer, status: int, kind: type[errors.ChatacterError], sentence: str
) -> None:
    llm_server.play(status=status, error_body=json.dumps({"error": {"message": f"it said: {SECRET}"}}))
    model = await opened(api_key=SecretStr("k"))
    with pytest.raises(errors.ChatacterError) as caught:
        await all_of(model)
    assert type(caught.value) is kind
    assert sentence in caught.value.message
    assert SECRET not in caught.value.message
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("status", [401, 403])
async def test_a_provider_without_its_key_says_what_to_set(
    opened: Opened, llm_server: FakeLLMServer, status: int
) -> None:
    llm_server.play(status=status)
    model = await opened()
    with pytest.raises(errors.Misconfigured, match="Set MODEL__API_KEY") as caught:
        await all_of(model)
    assert caught.value.message == NO_KEY


@pytest.mark.parametrize("code", [{"code": "context_length_exceeded"}, {"type": "exceed_context_size_error"}])
async def test_a_prompt_that_is_too_long_is_said_to_be(
    opened: Opened, llm_server: FakeLLMServer, code: dict[str, str]
) -> None:
    llm_server.play(status=400, error_body=json.dumps({"error": {**code, "message": "x"}}))
    model = await opened()
    with pytest.raises(errors.TooLarge, match="longer than the model's context"):
        await all_of(model)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None)])
async def test_how_long_to_wait_is_handed_on(
    opened: Opened, llm_server: FakeLLMServer, header: str, seconds: float | None
) -> None:
    llm_server.play(status=429, headers={"retry-after": header})
    model = await opened()
    with pytest.raises(errors.Busy) as caught:
        await all_of(model)
    assert caught.value.retry_after == seconds


async def test_a_failure_before_the_first_byte_is_tried_once_more(opened: Opened, llm_server: FakeLLMServer) -> None:
    llm_server.play(status=503, failures=1, headers={"retry-after-ms": "1"})
    assert "".join(map(text_of, await all_of(await opened(max_retries=1)))) == f"Hello, {SECRET}!"
    assert len(llm_server.requests) == 2


@pytest.mark.parametrize("broken", [{"break_after": 2}, {"end_after": 2}, {"error_after": 2}])
async def test_an_answer_that_breaks_off_is_told_and_not_tried_again(
    opened: Opened, llm_server: FakeLLMServer, broken: dict[str, int]
) -> None:
    llm_server.play(**broken)
    model = await opened(max_retries=3)
    chunks = model.stream(ASKED, Deadline.after(10))
    heard = [text_of(await anext(chunks)) for _ in range(3)]
    assert heard == ["", "Hello", ", "]
    with pytest.raises(errors.UpstreamFailed) as caught:
        await anext(chunks)
    assert caught.value.message == BROKE_OFF
    assert len(llm_server.requests) == 1


async def test_nobody_at_the_address_is_told(opened: Opened) -> None:
    model = await opened(url=f"http://127.0.0.1:{free_port()}/v1")
    with pytest.raises(errors.Unavailable, match="Check MODEL__URL"):
        await all_of(model)
    assert await model.check() == UNREACHABLE


async def test_leaving_hangs_up_at_the_provider(opened: Opened, llm_server: FakeLLMServer) -> None:
    llm_server.play(*["word "] * 500, delay=0.01)
    model = await opened()
    async with aclosing(model.stream(ASKED, Deadline.after(10))) as chunks:
        async for chunk in chunks:
            if text_of(chunk):
                break
    assert await llm_server.reached("disconnected")
    assert llm_server.counts["deltas"] < 100
    assert llm_server.counts["finished"] == 0


@pytest.mark.parametrize("slow", [{"first_delay": 30.0}, {"delay": 30.0}])
async def test_the_deadline_holds_before_and_within_an_answer(
    opened: Opened, llm_server: FakeLLMServer, slow: dict[str, float]
) -> None:
    llm_server.play(**slow)
    model = await opened()
    with pytest.raises(errors.DeadlineExceeded):
        await all_of(model, seconds=0.2)
    assert await llm_server.reached("disconnected")


@pytest.mark.parametrize(
    ("script", "said"),
    [({}, None), ({"api_key": "right"}, NO_KEY)],
)
async def test_readiness_asks_the_provider(
    opened: Opened, llm_server: FakeLLMServer, script: dict[str, str], said: str | None
) -> None:
    llm_server.play(**script)
    model = await opened()
    assert await model.check() == said
    llm_server.play(api_key="another")
    assert await model.check() == said, "an answer is kept for a while"


async def test_what_nobody_asked_for_gives_way_once_and_is_remembered(
    opened: Opened, llm_server: FakeLLMServer
) -> None:
    llm_server.play("ok", untaken=("temperature", "max_tokens"))
    model = await opened()
    sampling = {"temperature": 0.7, "max_tokens": 60, "top_p": 0.9}
    asked = ChatRequest(ASKED.messages, sampling, yielding=frozenset(sampling))
    for _ in range(2):
        assert "".join(map(text_of, await all_of(model, asked))) == "ok"
    sent = [seen.body.keys() & {*sampling, "max_completion_tokens"} for seen in llm_server.requests]
    assert sent[0] == {"temperature", "max_tokens", "top_p"}
    assert sent[2:] == [{"max_completion_tokens", "top_p"}] * 2, "two refusals, one answer; then no refusal"
    assert llm_server.requests[-1].body["max_completion_tokens"] == 60


async def test_what_somebody_asked_for_is_refused_by_name(opened: Opened, llm_server: FakeLLMServer) -> None:
    llm_server.play("ok", untaken=("temperature",))
    model = await opened()
    asked = ChatRequest(ASKED.messages, {"temperature": 0.2, "top_p": 0.9}, yielding=frozenset({"top_p"}))
    with pytest.raises(errors.InvalidInput) as caught:
        await all_of(model, asked)
    assert caught.value.param == "temperature"
    assert len(llm_server.requests) == 1


@pytest.mark.parametrize(
    ("param", "told"), [("tools[0].function", "tools[0].function"), (f"{SECRET}", None), (["n"], None), (None, None)]
)
async def test_the_parameter_that_a_provider_does_not_take_is_named(
    opened: Opened, llm_server: FakeLLMServer, param: Any, told: str | None
) -> None:
    llm_server.play(status=400, error_body=json.dumps({"error": {"message": SECRET, "param": param}}))
    model = await opened()
    with pytest.raises(errors.InvalidInput) as caught:
        await all_of(model)
    assert caught.value.param == told
    assert (f"naming {told}" in caught.value.message) is (told is not None)
    assert SECRET not in caught.value.message
