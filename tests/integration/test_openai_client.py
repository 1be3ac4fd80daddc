"""The official `openai` client at our door, with every parameter that it has: what the provider gets, what returns."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError, InternalServerError, OpenAI, UnprocessableEntityError
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.scripted_chattr import settings
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
BEGUN: Any = {"role": "assistant", "content": "Good"}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "rain",
            "description": "Whether it rains",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "rain", "arguments": ""}}
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 4,
    "total_tokens": 24,
    "completion_tokens_details": {"reasoning_tokens": 2},
}


class Weather(BaseModel):
    """What a structured answer is read as."""

    city: str
    rain: bool


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with running("chattr", tmp_path_factory.mktemp("one"), settings(redis_server, llm_server_of_this_run)) as process:
        yield process


@pytest.fixture
def client(chattr: ServiceProcess, redis_url: str, llm_server: FakeLLMServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{chattr.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def delta(index: int = 0, reason: str | None = None, **said: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": said, "finish_reason": reason}]}


def calls_rain(llm: FakeLLMServer) -> None:
    """Let the provider call a tool, in pieces."""
    llm.stream(
        delta(role="assistant", content=None, tool_calls=[CALL]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"city":'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ' "York"}'}}]),
        delta(reason="tool_calls"),
        {"choices": [], "usage": USAGE},
    )


def test_every_parameter_reaches_the_provider_as_it_was_given(client: OpenAI, llm_server: FakeLLMServer) -> None:
    given: dict[str, Any] = {
        "frequency_penalty": 0.5,
        "logit_bias": {"50256": -100},
        "logprobs": True,
        "max_completion_tokens": 9,
        "n": 2,
        "parallel_tool_calls": False,
        "prediction": {"type": "content", "content": "Hello"},
        "presence_penalty": -0.5,
        "prompt_cache_key": "key",
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "safety_identifier": "nobody",
        "seed": 7,
        "service_tier": "flex",
        "stop": ["###"],
        "temperature": 0.25,
        "tool_choice": "auto",
        "tools": TOOLS,
        "top_logprobs": 2,
        "top_p": 0.75,
        "verbosity": "low",
        "web_search_options": {"search_context_size": "low"},
    }
    ours: dict[str, Any] = {"metadata": {"a": "b"}, "modalities": ["text"], "store": True, "user": "ann"}
    client.chat.completions.create(model="ada", messages=HELLO, extra_body={"top_k": 5, "min_p": None}, **given, **ours)
    sent = llm_server.requests[-1].body
    assert sent.pop("messages")[-1]["content"].endswith("Hello")
    assert sent.pop("model") == "scripted"
    assert sent.pop("stream") is True
    assert sent.pop("stream_options") == {"include_usage": True}
    assert sent == {**given, "top_k": 5}


def test_max_tokens_is_the_request_s_else_the_character_s(client: OpenAI, llm_server: FakeLLMServer) -> None:
    client.chat.completions.create(model="ada", messages=HELLO, max_tokens=9)
    client.chat.completions.create(model="ada", messages=HELLO)
    assert llm_server.requests[0].body["max_tokens"] == 9
    assert llm_server.requests[1].body["max_tokens"] > 9


def test_several_answers_come_whole_each_with_its_end(client: OpenAI, llm_server: FakeLLMServer) -> None:
    logprobs = {"content": [{"token": "One", "logprob": -0.5, "bytes": None, "top_logprobs": []}], "refusal": None}
    first = {"index": 0, "delta": {"content": "One"}, "logprobs": logprobs, "finish_reason": None}
    llm_server.stream(
        {"choices": [first], "system_fingerprint": "fp_1", "service_tier": "flex"},
        delta(1, content="Two"),
        delta(1, refusal="No."),
        delta(0, content="!", reasoning_content="Hm."),
        delta(1, "length"),
        delta(0, "stop"),
        {"choices": [], "usage": USAGE},
    )
    answer = client.chat.completions.create(model="ada", messages=HELLO, n=2, logprobs=True)
    one, two = answer.choices
    assert (one.index, one.message.content, one.finish_reason) == (0, "One!", "stop")
    assert (two.index, two.message.content, two.finish_reason) == (1, "Two", "length")
    assert two.message.refusal == "No."
    assert one.logprobs is not None
    assert one.logprobs.content is not None
    assert one.logprobs.content[0].token == "One"
    assert two.logprobs is None
    assert (one.message.model_extra or {})["reasoning_content"] == "Hm."
    assert (answer.system_fingerprint, answer.service_tier, answer.model) == ("fp_1", "flex", "ada")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 24
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2


def test_a_stream_keeps_what_the_provider_says(client: OpenAI, llm_server: FakeLLMServer) -> None:
    options: Any = {"include_usage": True, "include_obfuscation": True}
    llm_server.stream(
        {**delta(role="assistant", content=""), "system_fingerprint": "fp_1", "service_tier": "flex"},
        delta(reasoning_content="Hm."),
        {**delta(content="Good day."), "obfuscation": "xyz"},
        {**delta(reason="stop"), "usage": USAGE},
    )
    chunks = list(
        client.chat.completions.create(
            model="ada",
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True, "include_obfuscation": True},
        )
    )
    assert llm_server.requests[-1].body["stream_options"] == options
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert {(chunk.model, chunk.object) for chunk in chunks} == {("ada", "chat.completion.chunk")}
    assert (chunks[0].system_fingerprint, chunks[0].service_tier) == ("fp_1", "flex")
    assert chunks[0].choices[0].delta.role == "assistant"
    assert (chunks[1].choices[0].delta.model_extra or {})["reasoning_content"] == "Hm."
    assert chunks[2].to_dict()["obfuscation"] == "xyz"
    assert chunks[3].choices[0].finish_reason == "stop"
    assert [chunk.usage is not None for chunk in chunks] == [False] * 4 + [True]
    assert chunks[-1].choices == []


def test_usage_is_told_in_a_stream_only_when_asked_for(client: OpenAI, llm_server: FakeLLMServer) -> None:
    chunks = list(client.chat.completions.create(model="ada", messages=HELLO, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).endswith("Hello!")


def test_a_tool_is_called_and_its_result_comes_back(client: OpenAI, llm_server: FakeLLMServer) -> None:
    calls_rain(llm_server)
    asked: list[Any] = [{"role": "user", "content": "Does it rain in York?"}]
    answer = client.chat.completions.create(model="ada", messages=asked, tools=TOOLS, tool_choice="auto").choices[0]
    assert answer.finish_reason == "tool_calls"
    assert answer.message.tool_calls is not None
    (call,) = answer.message.tool_calls
    assert call.type == "function"
    assert (call.id, call.function.name) == ("call_1", "rain")
    assert json.loads(call.function.arguments) == {"city": "York"}
    question = llm_server.requests[-1].messages[-1]
    llm_server.play("It does not.")
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"rain": false}'}
    said = client.chat.completions.create(model="ada", messages=[*asked, answer.message, result], tools=TOOLS)
    assert said.choices[0].message.content == "It does not."
    *_, again, called, returned = llm_server.requests[-1].messages
    assert again == question
    assert called["tool_calls"][0]["function"] == {"name": "rain", "arguments": '{"city": "York"}'}
    assert returned == result
    client.chat.completions.create(
        model="ada",
        messages=[*asked, answer.message, result, {"role": "assistant", "content": "It does not."}, *HELLO],
        tools=TOOLS,
    )
    assert [message["role"] for message in llm_server.requests[-1].messages[-5:]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


def test_the_stream_helper_puts_tool_calls_together(client: OpenAI, llm_server: FakeLLMServer) -> None:
    calls_rain(llm_server)
    with client.chat.completions.stream(
        model="ada", messages=HELLO, tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    assert final.choices[0].message.tool_calls is not None
    assert json.loads(final.choices[0].message.tool_calls[0].function.arguments) == {"city": "York"}
    assert final.usage is not None
    assert final.usage.total_tokens == 24


def test_an_answer_is_parsed_as_a_model(client: OpenAI, llm_server: FakeLLMServer) -> None:
    llm_server.play('{"city": "York",', ' "rain": false}')
    answer = client.chat.completions.parse(model="ada", messages=HELLO, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="York", rain=False)
    sent = llm_server.requests[-1].body["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"]["required"] == ["city", "rain"]
    with client.chat.completions.stream(model="ada", messages=HELLO, response_format=Weather) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.parsed == Weather(city="York", rain=False)


def test_pictures_reach_the_provider(client: OpenAI, llm_server: FakeLLMServer) -> None:
    picture: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    asked: Any = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}
    client.chat.completions.create(model="ada", messages=[asked, {"role": "assistant", "content": "A cat."}, *HELLO])
    client.chat.completions.create(model="ada", messages=[asked])
    assert asked in llm_server.requests[0].messages
    assert llm_server.requests[1].messages[-1]["content"][-2:] == asked["content"]


def test_a_conversation_sees_a_picture_and_keeps_the_words(client: OpenAI, llm_server: FakeLLMServer) -> None:
    picture: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    asked: Any = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}
    llm_server.play("A cat.")
    answer = client.chat.completions.create(model="ada", messages=[asked], metadata={"conversation_id": "seen"})
    assert llm_server.requests[-1].messages[-1]["content"][-1] == picture
    assert "keeps its words" in (answer.model_extra or {})["chatacter"]["told"][0]
    client.chat.completions.create(model="ada", messages=HELLO, metadata={"conversation_id": "seen"})
    assert "What is it?" in llm_server.requests[-1].prompt
    assert "image_url" not in llm_server.requests[-1].prompt


def test_an_answer_that_was_begun_is_sent_last(client: OpenAI, llm_server: FakeLLMServer) -> None:
    llm_server.play(" day", ".")
    answer = client.chat.completions.create(model="ada", messages=[*HELLO, BEGUN])
    assert answer.choices[0].message.content == " day."
    sent = llm_server.requests[-1]
    assert sent.messages[-1] == BEGUN
    assert sent.body["continue_final_message"] is True
    client.chat.completions.create(model="ada", messages=[*HELLO, {**BEGUN, "prefix": True}])
    assert llm_server.requests[-1].messages[-1] == {**BEGUN, "prefix": True}
    assert "continue_final_message" not in llm_server.requests[-1].body


def test_a_provider_that_refuses_to_go_on_is_asked_to(client: OpenAI, llm_server: FakeLLMServer) -> None:
    llm_server.play(" day", ".", status=400, failures=1)
    answer = client.chat.completions.create(model="ada", messages=[*HELLO, BEGUN])
    assert answer.choices[0].message.content == " day."
    refused, asked = llm_server.requests
    assert "continue_final_message" in refused.body
    assert "continue_final_message" not in asked.body
    assert asked.messages[-2] == BEGUN


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2, "metadata": {"conversation_id": "c"}}, "n"),
        ({"tools": TOOLS, "metadata": {"conversation_id": "c"}}, "tools"),
        (
            {"messages": [*HELLO, {"role": "assistant", "content": "Good"}], "metadata": {"conversation_id": "c"}},
            "messages",
        ),
        ({"temperature": 3}, "temperature"),
        ({"messages": [{"role": "tool", "content": "42"}]}, "messages.0"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(client: OpenAI, more: dict[str, Any], param: str) -> None:
    with pytest.raises(UnprocessableEntityError) as caught:
        client.chat.completions.create(**{"model": "ada", "messages": HELLO, **more})
    assert caught.value.param == param


def test_spoken_answers_are_not_built(client: OpenAI) -> None:
    with pytest.raises(InternalServerError, match="POST /v1/audio/speech") as caught:
        client.chat.completions.create(
            model="ada", messages=HELLO, modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}
        )
    assert caught.value.status_code == 501


def test_a_parameter_that_the_provider_refuses_is_named_and_its_words_are_not_told(
    client: OpenAI, llm_server: FakeLLMServer
) -> None:
    error = {"message": "secret: you wrote Hello", "param": "reasoning_effort", "type": "invalid_request_error"}
    llm_server.play(status=400, error_body=json.dumps({"error": error}))
    with pytest.raises((BadRequestError, UnprocessableEntityError)) as caught:
        client.chat.completions.create(model="ada", messages=HELLO, reasoning_effort="high")
    assert caught.value.param == "reasoning_effort"
    assert "reasoning_effort" in caught.value.message
    assert "secret" not in str(caught.value)


def test_a_reply_that_takes_too_long_says_so_in_the_stream(
    redis_server: RedisServer, llm_server: FakeLLMServer, tmp_path: Any
) -> None:
    llm_server.play("Good ", "day.", delay=30)
    slow = settings(redis_server, llm_server, MODEL__TIMEOUT="2")
    with running("chattr", tmp_path, slow) as process, OpenAI(base_url=f"{process.url}/v1", api_key="none") as client:
        chunks = list(client.chat.completions.create(model="ada", messages=HELLO, stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks[:2]] == ["", "Good "]
    assert chunks[-1].choices[0].finish_reason == "length"


async def test_the_asynchronous_client_does_the_same(
    chattr: ServiceProcess, redis_url: str, llm_server: FakeLLMServer
) -> None:
    async with AsyncOpenAI(base_url=f"{chattr.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id async for model in client.models.list()][:1] == ["ada"]
        assert (await client.models.retrieve("mira")).owned_by == "chatacter"
        answer = await client.chat.completions.create(model="ada", messages=HELLO)
        assert answer.choices[0].message.content == "Hello, Hello!"
        stream = await client.chat.completions.create(model="ada", messages=HELLO, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hello, Hello!"
        calls_rain(llm_server)
        async with client.chat.completions.stream(model="ada", messages=HELLO, tools=TOOLS) as events:
            final = await events.get_final_completion()
        assert final.choices[0].message.tool_calls


def test_raw_answers_have_the_shape_of_the_reference(
    chattr: ServiceProcess, redis_url: str, llm_server: FakeLLMServer
) -> None:
    answer = httpx.post(f"{chattr.url}/v1/chat/completions", json={"model": "ada", "messages": HELLO}, timeout=60)
    body = answer.json()
    assert sorted(body) == ["choices", "created", "id", "model", "object", "usage"]
    assert body["object"] == "chat.completion"
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello, Hello!", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert "cache-status" not in answer.headers
