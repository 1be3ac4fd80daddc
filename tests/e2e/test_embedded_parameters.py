"""OpenAI's parameters at the embedded language model: each works, or is refused with a sentence."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chatacter.models.store import ModelStore
from chattr.adapters.local_llm import LocalLanguageModel
from chattr.ports.language import ChatRequest
from chattr.usecases.choices import Choices

pytestmark = pytest.mark.e2e

HELLO = {"role": "user", "content": "Say hello and tell me a story."}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "rain", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "rain", "arguments": "{}"}}
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["good", "bad"]}, "stars": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["mood", "stars"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def model(models_home: Path, home: Path) -> AsyncIterator[LocalLanguageModel]:
    local = LocalLanguageModel(store=ModelStore(models_home), name="smollm2-135m-instruct", home=home, slot_tokens=512)
    async with local:
        yield local


async def answered(model: LocalLanguageModel, *messages: dict[str, Any], **sampling: Any) -> list[dict[str, Any]]:
    """The choices of an answer, streamed as everything is and put together."""
    choices = Choices()
    given = {"max_tokens": 12, "temperature": 0.0, **sampling}
    async for chunk in model.stream(ChatRequest(messages or [HELLO], given, "talk"), Deadline.after(120)):
        choices.take(chunk)
    return choices.whole()


def text(choice: dict[str, Any]) -> str:
    return str(choice["message"]["content"])


async def test_an_answer_ends_before_a_stop(model: LocalLanguageModel) -> None:
    (free,) = await answered(model)
    word = text(free).split()[2]
    (stopped,) = await answered(model, stop=[word])
    assert text(stopped) == text(free)[: text(free).index(word)]
    assert (free["finish_reason"], stopped["finish_reason"]) == ("length", "stop")


async def test_a_seed_makes_chance_repeat_itself(model: LocalLanguageModel) -> None:
    told = [text(choice) for seed in (7, 7, 8) for choice in await answered(model, seed=seed, temperature=1.5)]
    assert told[0] == told[1]
    assert told[1] != told[2]


async def test_several_answers_come_at_a_time(model: LocalLanguageModel) -> None:
    choices = await answered(model, n=3, temperature=1.5, seed=5)
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({text(choice) for choice in choices}) > 1
    assert {choice["finish_reason"] for choice in choices} <= {"length", "stop"}


@pytest.mark.parametrize("limit", [{"max_tokens": 3}, {"max_tokens": None, "max_completion_tokens": 3}])
async def test_either_limit_holds_and_every_token_has_its_probability(
    model: LocalLanguageModel, limit: dict[str, int | None]
) -> None:
    (choice,) = await answered(model, logprobs=True, top_logprobs=2, **limit)
    told = choice["logprobs"]["content"]
    assert len(told) == 3
    assert "".join(each["token"] for each in told) == text(choice)
    assert all(len(each["top_logprobs"]) == 2 and each["logprob"] <= 0 for each in told)


async def test_a_token_can_be_forbidden(model: LocalLanguageModel) -> None:
    (choice,) = await answered(model, logprobs=True, max_tokens=1)
    first = choice["logprobs"]["content"][0]
    (other,) = await answered(model, max_tokens=1, logit_bias={str(first["id"]): -100})
    assert text(other) != text(choice)


async def test_a_schema_is_obeyed(model: LocalLanguageModel) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "review", "strict": True, "schema": SCHEMA}}
    (choice,) = await answered(model, response_format=asked, max_tokens=100)
    told = json.loads(text(choice))
    assert told["mood"] in {"good", "bad"}
    assert 1 <= told["stars"] <= 5


async def test_json_is_begun_where_json_is_asked_for(model: LocalLanguageModel) -> None:
    (choice,) = await answered(model, response_format={"type": "json_object"})
    assert text(choice).lstrip().startswith("{")


async def test_an_answer_that_is_begun_goes_on(model: LocalLanguageModel) -> None:
    begun = {"role": "assistant", "content": "Once upon a"}
    (choice,) = await answered(model, {"role": "user", "content": "Tell me a tale."}, begun)
    assert text(choice).startswith(" time")


async def test_tools_that_may_not_be_called_are_left_out(model: LocalLanguageModel) -> None:
    assert text((await answered(model, tools=[TOOL], tool_choice="none"))[0])


@pytest.mark.parametrize(
    ("messages", "sampling", "says"),
    [
        ([], {"tools": [TOOL]}, "too small to call tools"),
        ([], {"functions": [TOOL["function"]]}, "too small to call tools"),
        ([HELLO, {"role": "assistant", "tool_calls": [CALL]}], {}, "too small to call tools"),
        ([HELLO, {"role": "tool", "tool_call_id": "c", "content": "No."}], {}, "too small to call tools"),
        ([{"role": "user", "content": [PICTURE]}], {}, "sees or hears nothing"),
        ([], {"n": 6}, "`n` of 5 or fewer"),
    ],
)
async def test_what_it_cannot_do_is_said_with_what_it_can(
    model: LocalLanguageModel, messages: list[dict[str, Any]], sampling: dict[str, Any], says: str
) -> None:
    with pytest.raises(errors.Unsupported, match=says) as caught:
        await answered(model, *messages, **sampling)
    assert caught.value.param


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nonsense"}}}},
        {"top_k": "many"},
        {"n": 0},
    ],
)
async def test_what_llama_cpp_refuses_is_the_caller_s_mistake(model: LocalLanguageModel, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidInput, match="does not take this request"):
        await answered(model, **wrong)
