"""A chat completion request, read as a question to a character."""

from typing import Any

import pytest
from pydantic import ValidationError

from chatacter.chassis.errors import ChatacterError, InvalidInput, NotBuilt
from chatacter.contracts.chat import ChatCompletionRequest
from chattr.domain.prompt import OPENING, Turn
from chattr.routes.completion_request import WORDS_ARE_KEPT, ask_of

pytestmark = pytest.mark.unit

HELLO = {"role": "user", "content": "Hello"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
SHOWN = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}
TOOL = {"type": "function", "function": {"name": "rain", "parameters": {"type": "object"}}}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "rain", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "No rain."}
STATEFUL = {"metadata": {"conversation_id": "c"}}


def request(*messages: dict[str, Any], **more: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate({"model": "ada", "messages": messages or [HELLO], **more})


def test_history_instructions_and_sampling_are_told_apart() -> None:
    ask = ask_of(
        request(
            {"role": "system", "content": "Rhyme."},
            {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "and two"}]},
            {"role": "assistant", "content": "Three."},
            {"role": "user", "content": "Four?"},
            {"role": "developer", "content": "Briefly."},
            temperature=0.2,
            n=None,
        )
    )
    assert ask.text == "Four?"
    assert ask.raw is None
    assert ask.history == (Turn("user", "One\nand two"), Turn("assistant", "Three."))
    assert ask.instructions == "Rhyme.\nBriefly."
    assert ask.sampling == {"temperature": 0.2}


def test_within_a_conversation_the_history_is_the_servers() -> None:
    earlier = {"role": "user", "content": "Earlier"}
    ask = ask_of(request(earlier, {"role": "assistant", "content": "Yes."}, HELLO, **STATEFUL))
    assert (ask.conversation_id, ask.history) == ("c", ())


def test_what_is_more_than_text_stays_as_it_was_sent() -> None:
    ask = ask_of(request(SHOWN, CALL, RESULT, {**SHOWN, "name": "ann"}, tools=[TOOL]))
    assert ask.text == "What is this?"
    assert ask.raw == {**SHOWN, "name": "ann"}
    assert [turn.raw for turn in ask.history] == [SHOWN, CALL, RESULT]
    assert [turn.role for turn in ask.history] == ["user", "assistant", "tool"]
    assert ask.sampling == {"tools": [TOOL]}


def test_a_text_with_marks_for_the_provider_stays_as_it_was_sent() -> None:
    marked = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
    ask = ask_of(request({"role": "user", "content": [marked]}, {"role": "assistant", "content": "Yes."}, HELLO))
    assert ask.history[0] == Turn("user", "Long.", raw={"role": "user", "content": [marked]})


def test_results_of_tools_follow_the_question_that_they_answer() -> None:
    ask = ask_of(request(HELLO, CALL, RESULT, tools=[TOOL]))
    assert ask.text == "Hello"
    assert [turn.raw for turn in ask.since] == [CALL, RESULT]


def test_an_answer_may_be_begun_for_the_character() -> None:
    ask = ask_of(request(HELLO, {"role": "assistant", "content": "Good"}))
    assert (ask.text, ask.since) == ("Hello", (Turn("assistant", "Good"),))


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_where_nobody_asked_the_character_is_greeted(role: str) -> None:
    assert ask_of(request({"role": role, "content": "Welcome!"})).text == OPENING


def test_what_an_answer_brought_with_it_makes_no_message_special() -> None:
    """Clients send back `message.model_dump()`, with everything that was empty."""
    empty = {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None}
    ask = ask_of(request(HELLO, {"role": "assistant", "content": "Good day.", **empty}, HELLO))
    assert ask.history == (Turn("user", "Hello"), Turn("assistant", "Good day."))


@pytest.mark.parametrize(
    "nothing",
    [
        {"stop": [], "logit_bias": {}, "tools": [], "n": 1, "logprobs": False, "seed": None},
        {"tools": None, "tool_choice": "auto", "parallel_tool_calls": True},
        {"tools": [], "tool_choice": "none"},
        {"top_logprobs": 0},
        {"store": True, "user": "ann", "metadata": {"a": "b"}, "stream": True, "modalities": ["text"]},
        {"stream_options": None},
    ],
)
def test_what_says_nothing_and_what_is_ours_is_not_passed_on(nothing: dict[str, Any]) -> None:
    assert request(**nothing).sampling == {}


def test_everything_else_is_passed_on_as_it_came() -> None:
    asked: dict[str, Any] = {
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 40,
        "frequency_penalty": -1,
        "presence_penalty": 0.0,
        "max_completion_tokens": 5,
        "stop": ["a", "b"],
        "seed": -3,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "logit_bias": {"50256": -100},
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
        "tools": [{**TOOL, "strict": True}, {"type": "custom", "custom": {"name": "x"}}],
        "tool_choice": {"type": "function", "function": {"name": "rain"}},
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "include_reasoning": True,
        "service_tier": "flex",
        "prediction": {"type": "content", "content": "x"},
        "unheard_of": {"deep": [1, {"a": None}]},
    }
    assert request(**asked).sampling == asked


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (request({"role": "user", "content": "  "}), InvalidInput),
        (request(audio={"voice": "alloy", "format": "wav"}), NotBuilt),
        (request(modalities=["text", "audio"]), NotBuilt),
        (request(n=2, **STATEFUL), InvalidInput),
        (request(tools=[TOOL], **STATEFUL), InvalidInput),
        (request(HELLO, CALL, RESULT, **STATEFUL), InvalidInput),
        (request(HELLO, {"role": "assistant", "content": "Last."}, **STATEFUL), InvalidInput),
        (request({"role": "user", "content": [PICTURE]}, **STATEFUL), InvalidInput),
        (request({"role": "system", "content": "Rhyme."}, **STATEFUL), InvalidInput),
    ],
)
def test_what_cannot_be_is_refused_and_never_dropped(asked: ChatCompletionRequest, kind: type[ChatacterError]) -> None:
    with pytest.raises(ChatacterError) as caught:
        ask_of(asked)
    assert type(caught.value) is kind
    assert caught.value.param


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "tool", "content": "42"}]},
        {"messages": [{"role": "user", "content": [{"text": "no type"}]}]},
        {"messages": [{"role": "assistant", "tool_calls": ["rain"]}]},
        {"tools": [{"type": "function"}]},
        {"n": 0},
        {"temperature": "hot"},
        {"metadata": {"conversation_id": 5}},
        {"messages": []},
    ],
)
def test_what_no_provider_could_read_is_a_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChatCompletionRequest.model_validate({"model": "ada", "messages": [HELLO], **wrong})


def test_a_conversation_sees_a_picture_and_says_that_it_keeps_the_words() -> None:
    ask = ask_of(request(SHOWN, **STATEFUL))
    assert (ask.text, ask.raw, ask.told) == ("What is this?", SHOWN, (WORDS_ARE_KEPT,))
