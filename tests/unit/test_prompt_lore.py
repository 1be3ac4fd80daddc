"""Lore, macros and the person in a prompt: where each stands, what has room, and what stays the same."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattr.domain.character import Character, Example
from chattr.domain.lorebook.rules import Shelf
from chattr.domain.person import Persona
from chattr.domain.prompt import Budget, Prompt, Setting, Turn, assemble, stable_prefix
from tests.lore_material import book, entry

pytestmark = pytest.mark.unit

WORDS = Budget(context_tokens=400, disclosure=False, count=lambda text: len(text.split()))
SLOW = Budget(context_tokens=1000, disclosure=False, slow=True, count=lambda text: len(text.split()))
BEA = Persona(name="Bea", description="A baker who knows {{char}}.")
TALK = [Turn("user", "One?"), Turn("assistant", "1."), Turn("user", "Two?"), Turn("assistant", "2.")]


def rowan(*entries: dict[str, Any], **fields: Any) -> Character:
    """A gardener with a lorebook."""
    known = {"lorebook": book(*entries)} if entries else {}
    given = {"system_prompt": "System.", "personality": "Persona.", "scenario": "Scene.", **known, **fields}
    return Character(id="rowan", name="Rowan", **given)


def texts(prompt: Prompt) -> list[str]:
    return [message["content"] for message in prompt.messages]


def roles(prompt: Prompt) -> list[str]:
    return [message["role"] for message in prompt.messages]


def part(prompt: Prompt, name: str) -> Any:
    return next(one for one in prompt.parts if one.name == name)


def everywhere(**more: Any) -> list[dict[str, Any]]:
    """An entry at each place of the system message."""
    return [
        entry("BEFORE", position="before_char", **more),
        entry("AFTER", position="after_char", **more),
        *(entry(f"@@position {at}\n{at}", **more) for at in ("before_desc", "after_desc", "personality", "scenario")),
    ]


def test_lore_stands_where_its_entry_says() -> None:
    prompt = assemble(rowan(*everywhere(keys=["k"])), [], "k", budget=WORDS)
    assert texts(prompt)[0].split() == [
        *("BEFORE", "System.", "before_desc", "Persona.", "after_desc", "personality", "Scene.", "scenario", "AFTER"),
    ]
    assert prompt.prefix == 0


def test_where_reading_is_slow_lore_that_was_called_up_stands_beside_the_memories() -> None:
    deep = entry("@@depth 3\ndeep", "k")
    character = rowan(*everywhere(keys=["k"]), deep, entry("always", constant=True))
    prompt = assemble(character, TALK, "k", recalled=["- tea"], budget=SLOW)
    known = "BEFORE\nAFTER\nbefore_desc\nafter_desc\npersonality\nscenario\ndeep"
    assert texts(prompt)[0] == "System.\nPersona.\nScene.\nalways"
    assert texts(prompt)[-1] == (f"[What Rowan knows:\n{known}]\n[What Rowan remembers of earlier talks:\n- tea]\nk")
    assert texts(prompt)[1:-1] == ["One?", "1.", "Two?", "2."]
    assert prompt.prefix == 1


@pytest.mark.parametrize(
    ("decorators", "messages"),
    [
        ("@@depth 0", ["One?", "1.", "Two?", "2.", "k\n[deep]"]),
        ("@@depth 1", ["One?", "1.", "Two?", "2.", "[deep]\nk"]),
        ("@@depth 2", ["One?", "1.", "Two?\n[deep]", "2.", "k"]),
        ("@@depth 3", ["One?", "1.", "[deep]\nTwo?", "2.", "k"]),
        ("@@depth 99", ["[deep]\nOne?", "1.", "Two?", "2.", "k"]),
        ("@@depth -1", ["One?", "1.", "Two?", "2.", "k\n[deep]"]),
        ("@@reverse_depth 0", ["[deep]\nOne?", "1.", "Two?", "2.", "k"]),
        ("@@reverse_depth 1", ["One?\n[deep]", "1.", "Two?", "2.", "k"]),
        ("@@depth 2\n@@role user", ["One?", "1.", "Two?\ndeep", "2.", "k"]),
        ("@@depth 2\n@@role assistant", ["One?", "1.", "Two?", "deep\n2.", "k"]),
        ("@@depth 3\n@@role assistant", ["One?", "1.\ndeep", "Two?", "2.", "k"]),
        ("@@depth 99\n@@role assistant", ["[deep]\nOne?", "1.", "Two?", "2.", "k"]),
        ("@@depth 2\n@@position scenario", ["One?", "1.", "Two?", "2.", "k"]),
    ],
)
def test_depth_counts_messages(decorators: str, messages: list[str]) -> None:
    prompt = assemble(rowan(entry(f"{decorators}\ndeep", "k")), TALK, "k", budget=WORDS)
    assert texts(prompt)[1:] == messages
    assert roles(prompt)[1:] == ["user", "assistant", "user", "assistant", "user"]


def test_depth_in_a_conversation_that_begins() -> None:
    for depth in range(4):
        prompt = assemble(rowan(entry(f"@@depth {depth}\ndeep", "k")), [], "k", budget=WORDS)
        assert roles(prompt) == ["system", "user"]
        assert sorted(texts(prompt)[1].split()) == ["[deep]", "k"]


def test_lore_comes_not_between_a_call_and_its_result() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "x"}}]}
    result = {"role": "tool", "content": "sun", "tool_call_id": "1"}
    history = [
        Turn("user", "Weather?"),
        Turn("assistant", "", raw=call),
        Turn("tool", "sun", raw=result),
        Turn("assistant", "Sunny."),
    ]
    for depth in range(7):
        prompt = assemble(rowan(entry(f"@@depth {depth}\ndeep", "k")), history, "k", budget=WORDS)
        place = prompt.messages.index(call)
        assert prompt.messages[place + 1] == result
        assert sum("deep" in str(message["content"]) for message in prompt.messages) == 1


def test_lore_beside_a_picture_is_a_part_of_its_message() -> None:
    raw = {"role": "user", "content": [{"type": "text", "text": "k"}]}
    character = rowan(entry("@@depth 0\nbehind", "k"), entry("@@depth 1\nahead", "k"))
    message = assemble(character, [], "k", raw=raw, budget=WORDS).messages[-1]
    assert [one["text"] for one in message["content"]] == ["[ahead]", "k", "[behind]"]


def test_macros_are_replaced_in_what_a_card_says_and_nowhere_else() -> None:
    character = rowan(
        entry("Lore of {{char}}.", "k"),
        nickname="Row",
        system_prompt="{{original}}|{{user}}",
        personality="I am {{char}}.",
        scenario="<BOT> meets <USER>.",
        examples=(Example(user="{{user}}?", assistant="{{char}}!"),),
        greetings=("Hello {{user}}.",),
        post_history_instructions="{{original}}Be {{char}}.",
    )
    history = [Turn("assistant", "Hello {{user}}."), Turn("user", "I write {{user}}."), Turn("assistant", "{{char}}")]
    prompt = assemble(character, history, "k {{char}}", instructions="{{user}}", setting=Setting(BEA), budget=WORDS)
    ours = "This is a role-play. You play Rowan. Stay in character and answer in the first person."
    assert texts(prompt) == [
        f"{ours}|Bea\nI am Row.\nRow meets Bea.\nLore of Row.\nYou talk with Bea. A baker who knows Row.\n{{{{user}}}}",
        "Bea?",
        "Row!",
        "Hello!",
        "Hello Bea.",
        "I write {{user}}.",
        "{{char}}",
        "Be Row.\nk {{char}}",
    ]


@pytest.mark.parametrize("prompted", ["", "{{// nothing}}"])
def test_an_empty_system_prompt_is_ours(prompted: str) -> None:
    assert "You play Rowan." in texts(assemble(rowan(system_prompt=prompted), [], "k", budget=WORDS))[0]


def test_a_greetings_entry_is_told_after_its_greeting() -> None:
    character = rowan(entry("@@is_greeting 1\nsecond", constant=True), greetings=("First.", "Second, {{user}}."))
    for said, found in (("First.", 0), ("Second, {{user}}.", 1), ("Second, Bea.", 1), ("Something else.", 1)):
        prompt = assemble(character, [Turn("assistant", said)], "k", setting=Setting(BEA), budget=WORDS)
        assert len(prompt.lore.active) == found


def test_the_beginning_is_the_same_in_every_conversation_unless_it_speaks_of_one() -> None:
    plain = rowan(entry("always", constant=True), entry("called", "k"))
    begun = stable_prefix(plain, SLOW)
    assert begun
    for setting in (Setting(), Setting(conversation="a", occasion="1"), Setting(conversation="b")):
        prompt = assemble(plain, TALK, "k", setting=setting, budget=SLOW)
        assert prompt.messages[: prompt.prefix] == begun
    assert assemble(plain, TALK, "k", setting=Setting(BEA), budget=SLOW).prefix == 0
    for varying in (rowan(personality="{{random:a,b}}"), rowan(entry("{{pick:a,b}}", constant=True))):
        assert assemble(varying, [], "k", setting=Setting(conversation="a"), budget=SLOW).prefix == 0
        assert assemble(varying, [], "k", budget=SLOW).prefix == 1


def test_the_beginning_stays_the_same_all_through_a_conversation() -> None:
    many = "{{random:" + ",".join(map(str, range(500))) + "}}"
    character = rowan(entry(many, constant=True), personality=many, examples=(Example(user=many, assistant=many),))
    drawn = [
        assemble(character, [], "k", setting=Setting(conversation="a", occasion=str(n)), budget=SLOW).messages[:3]
        for n in range(3)
    ]
    assert drawn[0] == drawn[1] == drawn[2]
    other = assemble(character, [], "k", setting=Setting(conversation="b", occasion="0"), budget=SLOW)
    assert other.messages[:3] != drawn[0]


def test_named_books_come_after_the_characters_own() -> None:
    shared = (Shelf("one", book(entry("shared", "k"))), Shelf("two", book(entry("too", "k", insertion_order=-1))))
    prompt = assemble(rowan(entry("own", "k")), [], "k", setting=Setting(shared=shared), budget=WORDS)
    assert [(one.source, one.content) for one in prompt.lore.active] == [
        ("two", "too"),
        ("character", "own"),
        ("one", "shared"),
    ]


def test_examples_make_room_for_the_history_unless_reading_is_slow() -> None:
    examples = tuple(Example(user=f"{n} " * 20, assistant="words " * 20) for n in range(4))
    long = [turn for n in range(6) for turn in (Turn("user", f"q{n} " * 10), Turn("assistant", f"a{n} " * 10))]
    character = rowan(examples=examples)
    counts = [part(assemble(character, long[: 2 * n], "k", budget=WORDS), "examples").kept for n in range(7)]
    assert counts[0] == 4
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 4
    pruned = assemble(character, long, "k", budget=WORDS)
    assert part(pruned, "history").dropped == 0
    assert part(pruned, "examples").why[-1] == "example 4 did not fit"
    assert {part(assemble(character, long[: 2 * n], "k", budget=SLOW), "examples").kept for n in range(7)} == {4}


def test_lore_gives_way_to_the_message() -> None:
    entries = [entry("word " * 60, "k", priority=n) for n in range(3)]
    kept = [
        len(assemble(rowan(*entries), [], f"k {'more ' * words}", budget=WORDS).lore.active) for words in (0, 250, 330)
    ]
    assert kept == [1, 1, 0]


def test_what_was_left_out_is_told_with_its_reason() -> None:
    character = rowan(entry("word " * 90, "k"), entry("word " * 90, "k", priority=-1))
    long = [turn for n in range(30) for turn in (Turn("user", f"q{n} " * 5), Turn("assistant", f"a{n} " * 5))]
    prompt = assemble(character, long, "k", recalled=["- tea", "- " + "long " * 300], budget=WORDS)
    assert part(prompt, "lore").why == ("entry 2: over the 100 tokens that this model has for lore",)
    assert part(prompt, "memories").why == ("memory 2 did not fit",)
    (sentence,) = part(prompt, "history").why
    assert sentence == f"the oldest {part(prompt, 'history').dropped} messages did not fit"
    assert prompt.tokens == WORDS.of(prompt.messages)


lines = st.sampled_from(
    ["", "@@depth 0\n", "@@depth 1\n", "@@depth 3\n", "@@depth 3\n@@role assistant\n", "@@position scenario\n"]
)
entries = st.lists(
    st.builds(
        lambda line, text, constant, place: entry(line + text, "a", constant=constant, position=place),
        lines,
        st.text(st.sampled_from("ab {}"), min_size=1, max_size=60),
        st.booleans(),
        st.sampled_from(["before_char", "after_char"]),
    ),
    max_size=6,
)
turns = st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), st.text("ab ", max_size=40)), max_size=12)


@given(entries, turns, st.integers(120, 600), st.booleans(), st.lists(st.text("ab", max_size=20), max_size=3))
def test_no_lore_breaks_the_budget_the_roles_or_the_beginning(
    books: list[dict[str, Any]], history: Sequence[Turn], tokens: int, slow: bool, recalled: list[str]
) -> None:
    budget = Budget(context_tokens=tokens, disclosure=False, slow=slow)
    character = rowan(*books, examples=(Example(user="Tea?", assistant="Always."),))
    prompt = assemble(character, history, "a", recalled=recalled, budget=budget)
    assert budget.of(prompt.messages) <= tokens
    assert prompt.tokens == budget.of(prompt.messages)
    assert all(one.tokens >= 0 for one in prompt.parts)
    assert roles(prompt)[0] == "system"
    assert roles(prompt)[1::2] == ["user"] * len(roles(prompt)[1::2])
    assert roles(prompt)[2::2] == ["assistant"] * len(roles(prompt)[2::2])
    if slow:
        assert prompt.messages[: prompt.prefix] == stable_prefix(character, budget)
    for one in prompt.lore.active:
        assert any(one.content.strip() in text for text in texts(prompt))
