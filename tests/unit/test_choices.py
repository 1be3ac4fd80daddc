"""Chunks put together into the choices that an answer has which is not streamed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattr.ports.language import finish_reason_of, text_of
from chattr.usecases.choices import Choices

pytestmark = pytest.mark.unit


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A chunk as a provider sends it."""
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": list(choices), **more}


def said(index: int = 0, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": reason}


def called(call: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return said(index, tool_calls=[call])


def whole(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    choices = Choices()
    for each in chunks:
        choices.take(each)
    return choices.whole()


def test_text_refusal_and_reasoning_come_in_pieces() -> None:
    (choice,) = whole(
        chunk(said(role="assistant", content="")),
        chunk(said(reasoning_content="Hm")),
        chunk(said(reasoning_content="m.")),
        chunk(said(content="Good ")),
        chunk(said(content="day.")),
        chunk(said(refusal="No")),
        chunk(said(refusal="pe.")),
        chunk(said(reason="stop")),
    )
    assert choice["message"] == {
        "role": "assistant",
        "content": "Good day.",
        "refusal": "Nope.",
        "reasoning_content": "Hmm.",
    }
    assert choice["finish_reason"] == "stop"
    assert choice["logprobs"] is None


def test_choices_that_come_in_any_order_are_told_apart() -> None:
    choices = whole(
        chunk(said(1, content="b")),
        chunk(said(0, content="a")),
        chunk(said(1, content="B"), said(0, content="A")),
        chunk(said(1, "length")),
        chunk(said(0, "stop")),
    )
    assert [(each["index"], each["message"]["content"], each["finish_reason"]) for each in choices] == [
        (0, "aA", "stop"),
        (1, "bB", "length"),
    ]


def test_tool_calls_grow_by_their_place_and_lose_it_in_the_whole() -> None:
    (choice,) = whole(
        chunk(said(role="assistant", content=None)),
        chunk(called({"index": 0, "id": "a", "type": "function", "function": {"name": "rain", "arguments": ""}})),
        chunk(called({"index": 0, "function": {"arguments": '{"city":'}})),
        chunk(called({"index": 1, "id": "b", "type": "function", "function": {"name": "wind", "arguments": "{}"}})),
        chunk(called({"index": 0, "function": {"arguments": '"York"}'}})),
        chunk(said(reason="tool_calls")),
    )
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "rain", "arguments": '{"city":"York"}'}},
        {"id": "b", "type": "function", "function": {"name": "wind", "arguments": "{}"}},
    ]


@pytest.mark.parametrize("place", [{}, {"index": 0}], ids=["no place", "always the first place"])
def test_whole_calls_of_careless_providers_are_told_apart_by_their_ids(place: dict[str, int]) -> None:
    (choice,) = whole(
        chunk(called({**place, "id": "a", "function": {"name": "rain", "arguments": "{}"}})),
        chunk(called({**place, "id": "b", "function": {"name": "wind", "arguments": "{}"}})),
    )
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["a", "b"]
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["rain", "wind"]


def test_what_is_repeated_with_every_piece_is_said_once() -> None:
    (choice,) = whole(
        chunk(called({"index": 0, "id": "a", "type": "function", "function": {"name": "rain", "arguments": "{"}})),
        chunk(called({"index": 0, "id": "a", "type": "function", "function": {"name": "rain", "arguments": "}"}})),
    )
    assert choice["message"]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "rain", "arguments": "{}"}}
    ]


def test_log_probabilities_are_gathered() -> None:
    first, second = {"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -2.0}
    (choice,) = whole(
        chunk({**said(content="a"), "logprobs": {"content": [first], "refusal": None}}),
        chunk({**said(content="b"), "logprobs": {"content": [second], "refusal": None}}),
        chunk({**said(reason="stop"), "logprobs": None}),
    )
    assert choice["logprobs"] == {"content": [first, second], "refusal": None}


def test_what_a_provider_says_beside_its_choices_is_kept() -> None:
    choices = Choices()
    choices.take(chunk({**said(content="a"), "stop_reason": None}, system_fingerprint="fp", service_tier=None))
    choices.take(chunk({**said(reason="stop"), "stop_reason": "###"}, service_tier="flex"))
    choices.take(chunk(usage={"total_tokens": 3}))
    assert choices.more == {"system_fingerprint": "fp", "service_tier": "flex"}
    assert choices.usage == {"total_tokens": 3}
    assert choices.whole()[0]["stop_reason"] == "###"


def test_thousands_of_log_probabilities_are_put_together_in_one_list_and_no_chunk_is_changed() -> None:
    chunks = [
        chunk({**said(content="a"), "logprobs": {"content": [{"token": str(number)}], "refusal": None}})
        for number in range(5000)
    ]
    choices = Choices()
    lists = set()
    for each in chunks:
        choices.take(each)
        lists.add(id(choices.whole()[0]["logprobs"]["content"]))
    assert len(lists) == 1, "a copy for each chunk costs the square of their number"
    assert [one["token"] for one in choices.whole()[0]["logprobs"]["content"]] == [
        str(number) for number in range(5000)
    ]
    assert all(len(each["choices"][0]["logprobs"]["content"]) == 1 for each in chunks)


def test_deprecated_function_calls_and_annotations_grow_too() -> None:
    (choice,) = whole(
        chunk(said(function_call={"name": "rain", "arguments": "{"})),
        chunk(said(function_call={"arguments": "}"}, annotations=[{"type": "url_citation"}])),
        chunk(said(annotations=[{"type": "url_citation"}])),
    )
    assert choice["message"]["function_call"] == {"name": "rain", "arguments": "{}"}
    assert len(choice["message"]["annotations"]) == 2


@given(st.lists(st.text(max_size=5), max_size=20), st.integers(1, 4))
def test_however_a_text_is_cut_it_is_the_same(pieces: list[str], choices: int) -> None:
    told = whole(*(chunk(*(said(index, content=piece) for index in range(choices))) for piece in pieces))
    assert [each["message"]["content"] for each in told] == ["".join(pieces)] * (choices if pieces else 0)


def test_a_log_holds_the_first_choice_alone_wherever_it_stands_in_a_chunk() -> None:
    both = chunk(said(1, "length", content="b"), said(0, "stop", content="a"))
    other = chunk(said(1, "stop", content="b"))
    assert (text_of(both), finish_reason_of(both)) == ("a", "stop")
    assert (text_of(other), finish_reason_of(other)) == ("", None)
    assert (text_of(chunk()), finish_reason_of(chunk())) == ("", None)
