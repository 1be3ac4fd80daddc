"""Messages that are more than text: what a prompt does with tool calls, their results and pictures."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatacter.chassis.errors import TooLarge
from chattr.domain.character import Character, Example
from chattr.domain.prompt import (
    MESSAGE_TOKENS,
    PICTURE_TOKENS,
    SMALL_PICTURE_TOKENS,
    Budget,
    Turn,
    assemble,
    cut,
    estimated_tokens,
    merged,
)

pytestmark = pytest.mark.unit

ADA = Character(
    id="ada",
    name="Ada",
    system_prompt="You play Ada.",
    examples=(Example(user="Tea?", assistant="Always."),),
    post_history_instructions="Answer in one sentence.",
)
PICTURE: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
REMINDED = "[What Ada remembers of earlier talks:\n- They: I like tea.]\nAnswer in one sentence."
LOW: dict[str, Any] = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}


def call(number: int, text: str | None = None) -> Turn:
    """A turn that calls a tool."""
    function = {"name": "weather", "arguments": json.dumps({"city": f"Town {number}"})}
    made = {"id": f"call_{number}", "type": "function", "function": function}
    return Turn("assistant", text or "", raw={"role": "assistant", "content": text, "tool_calls": [made]})


def result(number: int) -> Turn:
    """What the tool said."""
    return Turn("tool", "Rain.", raw={"role": "tool", "tool_call_id": f"call_{number}", "content": "Rain."})


def shown(text: str, *parts: dict[str, Any]) -> dict[str, Any]:
    """A user's message with pictures."""
    return {"role": "user", "content": [{"type": "text", "text": text}, *parts]}


def test_raw_messages_are_sent_as_they_stand_and_never_merged() -> None:
    history = [
        Turn("user", "Look"),
        Turn("user", "this", raw=shown("this", LOW)),
        Turn("assistant", "Nice."),
        call(1),
        result(1),
    ]
    assert merged(history) == history
    prompt = assemble(ADA, history, "And now?", budget=Budget())
    assert prompt.messages[3:-1] == [
        {"role": "user", "content": "Look"},
        shown("this", LOW),
        {"role": "assistant", "content": "Nice."},
        call(1).raw,
        result(1).raw,
    ]


def test_a_call_without_words_is_no_empty_turn() -> None:
    assert merged([Turn("user", "Rain?"), call(1), result(1), Turn("assistant", " ")]) == [
        Turn("user", "Rain?"),
        call(1),
        result(1),
    ]


def test_pictures_follow_what_is_remembered_and_the_instructions_to_repeat() -> None:
    raw = {**shown("What is it?", LOW), "name": "bo"}
    last = assemble(ADA, (), "What is it?", raw=raw, recalled=["- They: I like tea."], budget=Budget()).messages[-1]
    assert last == {
        "role": "user",
        "name": "bo",
        "content": [
            {
                "type": "text",
                "text": "[What Ada remembers of earlier talks:\n- They: I like tea.]\nAnswer in one sentence.",
            },
            {"type": "text", "text": "What is it?"},
            LOW,
        ],
    }


def test_what_came_since_the_message_follows_it_whole_and_the_message_stays_the_same() -> None:
    since = [call(1, "Let me see."), result(1)]
    asked = assemble(ADA, (), "Rain?", recalled=["- They: I live in York."], budget=Budget())
    answered = assemble(ADA, (), "Rain?", since=since, recalled=["- They: I live in York."], budget=Budget())
    assert answered.messages == [*asked.messages, since[0].raw, since[1].raw]


def test_what_came_since_is_never_cut() -> None:
    since = [turn for number in range(40) for turn in (call(number), result(number))]
    with pytest.raises(TooLarge):
        assemble(ADA, (), "Rain?", since=since, budget=Budget(context_tokens=512))


def test_tokens_are_those_of_text_and_json_and_a_fixed_number_a_picture() -> None:
    budget = Budget()
    assert budget.of([shown("Hi", PICTURE, LOW)]) == (
        MESSAGE_TOKENS + estimated_tokens("Hi") + PICTURE_TOKENS + SMALL_PICTURE_TOKENS
    )
    raw = call(1).raw or {}
    told = json.dumps({"tool_calls": raw["tool_calls"]})
    assert budget.of([raw]) == MESSAGE_TOKENS + estimated_tokens(told)


def test_pictures_leave_less_room_for_memories() -> None:
    recalled = [f"- They: {'word ' * 20}{number}" for number in range(30)]
    budget = Budget(context_tokens=4000)
    plain = assemble(ADA, (), "Hi", recalled=recalled, budget=budget)
    beside = assemble(ADA, (), "Hi", raw=shown("Hi", PICTURE, PICTURE), recalled=recalled, budget=budget)
    assert beside.tokens <= 4000
    assert kept(beside.messages[-1]) < kept(plain.messages[-1])


def kept(message: dict[str, Any]) -> int:
    """How many memories a message holds."""
    return json.dumps(message).count("- They:")


exchanges = st.lists(st.sampled_from(["talk", "call", "two calls", "call, said between"]), min_size=1, max_size=30)


def history_of(kinds: Sequence[str]) -> list[Turn]:
    """Exchanges of several kinds, the last of them one that a careless client might send."""
    turns: list[Turn] = []
    for number, kind in enumerate(kinds):
        turns.append(Turn("user", f"Question {number}"))
        if kind == "talk":
            turns.append(Turn("assistant", f"Answer {number}"))
        elif kind == "call":
            turns += [call(number), result(number), Turn("assistant", "Rain, I fear.")]
        elif kind == "two calls":
            turns += [call(number), result(number), call(1000 + number), result(1000 + number)]
        else:
            turns += [call(number), Turn("user", "Hurry!"), result(number)]
    return turns


@example(["call, said between"], 40)
@given(exchanges, st.integers(0, 1500))
def test_a_result_is_never_kept_without_its_call(kinds: Sequence[str], room: int) -> None:
    turns = history_of(kinds)
    behind = turns[cut(turns, Budget(), room) :]
    called = {made["id"] for turn in behind if turn.raw for made in turn.raw.get("tool_calls", ())}
    answered = {turn.raw["tool_call_id"] for turn in behind if turn.raw and turn.role == "tool"}
    assert answered == called
    assert Budget().of(turn.raw or {"content": turn.content} for turn in behind) <= room
