"""Prompt assembly: the order, the budget, and a beginning that does not change."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatacter.chassis.errors import TooLarge
from chattr.domain.character import Character, Example
from chattr.domain.prompt import Budget, Prompt, Turn, assemble, cut, estimated_tokens, merged, stable_prefix

pytestmark = pytest.mark.unit

ADA = Character(
    id="ada",
    name="Ada",
    system_prompt="You play Ada.",
    personality="Curious and exact.",
    scenario="London, 1843.",
    examples=(Example(user="Hello?", assistant="Good day!"), Example(user="Tea?", assistant="Always.")),
    post_history_instructions="Answer in one sentence.",
)
SMALL = Budget(context_tokens=400, max_tokens=60, temperature=0.6, disclosure=False, slow=True)
LARGE = Budget()

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=200)
said = words.filter(lambda text: bool(text.strip()))
turns = st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), words), max_size=40)


def long_talk(pairs: int) -> list[Turn]:
    """A conversation of turns that differ, about 40 tokens a pair."""
    return [
        turn
        for number in range(pairs)
        for turn in (
            Turn("user", f"Question number {number}, what do you say to it?"),
            Turn("assistant", f"Answer number {number}: as always, it depends on the engine."),
        )
    ]


def roles(prompt: Prompt) -> list[str]:
    return [message["role"] for message in prompt.messages]


def part(prompt: Prompt, name: str) -> tuple[int, int]:
    return next((one.kept, one.dropped) for one in prompt.parts if one.name == name)


def test_the_order_is_persona_examples_history_memories_message() -> None:
    history = [Turn("user", "Who are you?"), Turn("assistant", "Ada.")]
    prompt = assemble(ADA, history, "And then?", recalled=["- They: I like tea."], budget=SMALL)
    assert [message["content"] for message in prompt.messages] == [
        "You play Ada.\nCurious and exact.\nLondon, 1843.",
        "Hello?",
        "Good day!",
        "Tea?",
        "Always.",
        "Who are you?",
        "Ada.",
        "[What Ada remembers of earlier talks:\n- They: I like tea.]\nAnswer in one sentence.\nAnd then?",
    ]
    assert prompt.prefix == 5
    assert prompt.sampling == {"temperature": 0.6, "max_tokens": 60}


def test_a_large_model_is_told_to_say_that_it_is_an_ai() -> None:
    assert "an AI playing Ada" in assemble(ADA, [], "Hi", budget=LARGE).messages[0]["content"]
    assert "an AI" not in assemble(ADA, [], "Hi", budget=SMALL).messages[0]["content"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Are you human?", True),
        ("hey, are you really an AI", True),
        ("R u a bot?", True),
        ("Am I talking to a real person?", True),
        ("Are you happy?", False),
        ("Can a machine think?", False),
        ("I am human.", False),
    ],
)
def test_a_small_model_is_shown_the_honest_answer_when_asked_what_it_is(text: str, shown: bool) -> None:
    contents = [message["content"] for message in assemble(ADA, [], text, budget=SMALL).messages]
    assert ("I am an AI that plays Ada, not a human being." in contents) == shown
    assert not any("an AI that plays" in one["content"] for one in assemble(ADA, [], text, budget=LARGE).messages)


def test_a_character_may_sample_in_its_own_way_within_the_models_limit() -> None:
    calm = ADA.model_copy(update={"temperature": 0.0, "max_tokens": 30})
    wordy = ADA.model_copy(update={"max_tokens": 9000})
    assert assemble(calm, [], "Hi", budget=SMALL).sampling == {"temperature": 0.0, "max_tokens": 30}
    assert assemble(wordy, [], "Hi", budget=SMALL).sampling["max_tokens"] == 60


def test_what_a_character_says_of_sampling_is_sent_and_nothing_else() -> None:
    own = {"top_p": 0.9, "frequency_penalty": 0.0, "presence_penalty": -1.0, "seed": 0}
    particular = ADA.model_copy(update={**own, "stop": ("\n\n", "User:")})
    sampling = assemble(particular, [], "Hi", budget=SMALL).sampling
    assert sampling == {"temperature": 0.6, "max_tokens": 60, **own, "stop": ["\n\n", "User:"]}


def test_a_clients_instructions_are_added_to_the_persona() -> None:
    prompt = assemble(ADA, [], "Hi", instructions="Speak of the weather.", budget=SMALL)
    assert prompt.messages[0]["content"].startswith("You play Ada.")
    assert prompt.messages[0]["content"].endswith("Speak of the weather.")
    assert prompt.prefix == 0


@given(turns, said, st.lists(words, max_size=6), st.integers(150, 3000))
def test_no_prompt_is_over_its_budget(history: list[Turn], text: str, recalled: list[str], tokens: int) -> None:
    budget = Budget(context_tokens=tokens, disclosure=False)
    try:
        prompt = assemble(ADA, history, text, recalled=recalled, budget=budget)
    except TooLarge:
        assert budget.of([{"content": text}]) + 60 > tokens
        return
    assert budget.of(prompt.messages) <= tokens
    assert prompt.tokens == budget.of(prompt.messages)


@given(turns, said, st.lists(words, max_size=6))
def test_the_newest_message_is_always_in(history: list[Turn], text: str, recalled: list[str]) -> None:
    prompt = assemble(ADA, history, text, recalled=recalled, budget=Budget(context_tokens=600))
    assert prompt.messages[-1]["role"] == "user"
    assert prompt.messages[-1]["content"].endswith(text)


@given(turns, said, st.lists(words, max_size=6))
def test_the_prefix_is_the_same_bytes_whatever_is_said(history: list[Turn], text: str, recalled: list[str]) -> None:
    budget = Budget(context_tokens=900)
    prompt = assemble(ADA, history, text, recalled=recalled, budget=budget)
    assert prompt.messages[: prompt.prefix] == stable_prefix(ADA, budget)


@given(turns, said)
def test_roles_alternate_after_one_system_message(history: list[Turn], text: str) -> None:
    found = roles(assemble(ADA, history, text, budget=LARGE))
    assert found[0] == "system"
    assert found[1::2] == ["user"] * len(found[1::2])
    assert found[2::2] == ["assistant"] * len(found[2::2])


def test_a_message_that_cannot_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(TooLarge, match=r"need \d+ tokens of 400"):
        assemble(ADA, [], "word " * 1000, budget=SMALL)


def test_examples_go_before_the_message_does() -> None:
    prompt = assemble(ADA, [], "word " * 254, budget=SMALL)
    assert part(prompt, "examples") == (0, 2)
    assert roles(prompt) == ["system", "user"]


def test_memories_that_do_not_fit_are_counted() -> None:
    recalled = ["short", "long " * 200, "tiny"]
    prompt = assemble(ADA, [], "Hi", recalled=recalled, budget=SMALL)
    assert part(prompt, "memories") == (2, 1)
    assert "short\ntiny]" in prompt.messages[-1]["content"]


def test_a_memory_stays_on_its_line() -> None:
    prompt = assemble(ADA, [], "Hi", recalled=["one\ntwo"], budget=SMALL)
    assert "\none two]\n" in prompt.messages[-1]["content"]


def test_a_greeting_gets_somebody_to_greet() -> None:
    assert merged([Turn("assistant", "Welcome!")]) == [Turn("user", "Hello!"), Turn("assistant", "Welcome!")]


def test_where_several_talk_the_name_stands_before_the_words() -> None:
    said = [Turn("user", "Good day.", speaker="Ann"), Turn("user", "Hello!", speaker="Mira"), Turn("assistant", "Yes?")]
    assert merged(said) == [Turn("user", "Ann: Good day.\nMira: Hello!"), Turn("assistant", "Yes?")]


def test_a_question_without_an_answer_is_asked_again_with_the_new_one() -> None:
    history = [Turn("user", "One?"), Turn("assistant", "1"), Turn("user", "Two?")]
    bare = ADA.model_copy(update={"post_history_instructions": ""})
    assert assemble(bare, history, "Three?", budget=SMALL).messages[-1]["content"] == "Two?\nThree?"
    assert assemble(bare, history, "Two?", budget=SMALL).messages[-1]["content"] == "Two?"


def kept_from(history: Sequence[Turn], budget: Budget) -> str | None:
    """The first thing of the history that a prompt still has."""
    prompt = assemble(ADA, history, "Next?", budget=budget)
    rest = prompt.messages[prompt.prefix : -1]
    return rest[0]["content"] if rest else None


@pytest.mark.parametrize("window", [1000, 50], ids=["all of it", "the newest 50 messages"])
def test_a_long_history_is_cut_in_blocks(window: int) -> None:
    budget = Budget(context_tokens=1000, disclosure=False, slow=True)
    starts = [kept_from(long_talk(pairs)[-window:], budget) for pairs in range(1, 200)]
    cuts = sum(before != after for before, after in pairwise(starts))
    # About 19 pairs fit; a history that slid with each turn would be cut 180 times.
    assert 10 <= cuts <= 60


def test_a_cut_history_still_uses_half_of_its_room() -> None:
    budget = Budget(context_tokens=1000, disclosure=False)
    for pairs in range(40, 80):
        prompt = assemble(ADA, long_talk(pairs), "Next?", budget=budget)
        history = next(one for one in prompt.parts if one.name == "history")
        assert 300 <= history.tokens <= 750


def test_the_cut_is_at_a_users_turn() -> None:
    history = long_talk(30)
    assert history[cut(history, SMALL, 200)].role == "user"
    assert cut(history, SMALL, 5) == len(history)
    assert cut(history, SMALL, 100_000) == 0


@pytest.mark.parametrize(
    ("text", "least"), [("", 0), ("The quick brown fox jumps over the lazy dog.", 10), ("日本語", 3), ("🙂", 3)]
)
def test_tokens_are_rather_over_than_underestimated(text: str, least: int) -> None:
    assert estimated_tokens(text) >= least
