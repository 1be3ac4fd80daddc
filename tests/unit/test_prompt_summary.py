"""The summary of a long conversation in the prompt, and the facts: sections of their own, each with its budget."""

from itertools import pairwise

import pytest

from chattr.domain.character import Character, Example
from chattr.domain.prompt import Budget, Digest, Past, Prompt, Turn, assemble

pytestmark = pytest.mark.unit

ADA = Character(id="ada", name="Ada", personality="Curious.", examples=(Example(user="Hi?", assistant="Hello!"),))
BUDGET = Budget(context_tokens=512, max_tokens=64, slow=True)


def turns(count: int) -> list[Turn]:
    return [Turn("assistant" if n % 2 else "user", f"number {n} of what was said here") for n in range(count)]


def digest(after: int, text: str = "Ann has a dog called Biscuit.") -> Digest:
    return Digest(f"d{after}", text, after)


def prompt(history: list[Turn], *digests: Digest, whole: bool = True, budget: Budget = BUDGET) -> Prompt:
    return assemble(ADA, history, "And now?", past=Past(digests, whole), budget=budget)


def part(made: Prompt, name: str) -> tuple[int, int]:
    found = next(one for one in made.parts if one.name == name)
    return found.kept, found.dropped


def test_while_all_fits_nothing_is_summed_up() -> None:
    made = prompt(turns(8), digest(4))
    assert made.summary is None
    assert made.messages == prompt(turns(8)).messages
    assert part(made, "summary") == (0, 0)


def test_the_shortest_summary_stands_behind_which_everything_fits() -> None:
    history = turns(40)
    made = prompt(history, digest(4), digest(30), digest(36))
    assert made.summary == digest(30)
    first = made.messages[made.prefix]
    assert first["role"] == "user"
    assert first["content"].startswith("[What was said before this, in short:\nAnn has a dog called Biscuit.]\n")
    assert first["content"].endswith("number 30 of what was said here")
    assert [message["role"] for message in made.messages[1:]] == ["user", "assistant"] * 6 + ["user"]
    assert part(made, "summary")[0] == 1
    assert part(made, "history") == (10, 30)
    assert next(one.why for one in made.parts if one.name == "history") == ("the oldest 30 messages are summed up",)
    assert made.tokens == BUDGET.of(made.messages)


def test_the_beginning_stays_the_same_until_the_next_summary_takes_over() -> None:
    beginnings = []
    for count in range(10, 60, 2):
        made = prompt(turns(count), *(digest(place, f"Up to {place}.") for place in range(8, count - 4, 8)))
        beginnings.append([made.messages[made.prefix]["content"], made.summary])
        assert made.tokens <= BUDGET.context_tokens
        assert not any(one.why and "did not fit" in one.why[0] for one in made.parts)
    changes = sum(one != other for one, other in pairwise(beginnings))
    assert changes == len({str(one) for one in beginnings}) - 1 <= 7


def test_the_stable_prefix_is_the_same_with_and_without() -> None:
    bare, summed = prompt(turns(4)), prompt(turns(40), digest(30))
    assert bare.prefix == summed.prefix == 3
    assert bare.messages[:3] == summed.messages[:3]


def test_where_no_summary_reaches_far_enough_the_longest_stands_and_the_gap_is_told() -> None:
    made = prompt(turns(60), digest(2), digest(4))
    assert made.summary == digest(4)
    assert part(made, "history")[1] > 40
    assert "did not fit" in next(one.why for one in made.parts if one.name == "history")[0]
    assert made.tokens <= BUDGET.context_tokens


def test_a_history_that_begins_later_is_told_what_was_before_it_even_where_it_fits() -> None:
    made = prompt(turns(4), digest(0), whole=False)
    assert made.summary == digest(0)
    assert "Biscuit" in made.messages[made.prefix]["content"]


def test_a_summary_of_all_stands_with_the_new_message() -> None:
    made = prompt(turns(40), digest(40))
    assert made.messages[-1]["content"].startswith("[What was said before this")
    assert made.messages[-1]["content"].endswith("And now?")
    assert part(made, "history") == (0, 40)


def test_one_that_says_nothing_is_not_shown_and_what_it_sums_up_is_not_either() -> None:
    made = prompt(turns(40), digest(30, ""))
    assert made.summary is None
    assert "in short" not in str(made.messages)
    assert "number 30" in made.messages[made.prefix]["content"]
    assert "number 28" not in str(made.messages)


def test_one_too_long_for_the_room_is_left_out() -> None:
    made = prompt(turns(60), digest(50, "long " * 2_000))
    assert made.summary is None
    assert made.tokens <= BUDGET.context_tokens


def test_what_waits_for_its_answer_is_asked_again_and_no_part_of_the_summed_up() -> None:
    history = [*turns(40), Turn("user", "Are you there?")]
    made = prompt(history, digest(30))
    assert made.messages[-1]["content"] == "Are you there?\nAnd now?"
    assert made.messages[-2]["content"] == "number 39 of what was said here"


def test_facts_stand_apart_from_what_was_said_and_have_a_budget_of_their_own() -> None:
    facts = [f"since 2026-01-0{n}: Ann has {n} dogs." for n in range(1, 8)]
    made = assemble(ADA, (), "And now?", facts=facts, recalled=['2026-01-01, user: "hello"'], budget=BUDGET)
    content = made.messages[-1]["content"]
    known, remembered = content.index("[What Ada knows from talking with"), content.index("[What Ada remembers")
    assert known < remembered
    assert content.index("Ann has 1 dogs") < remembered
    kept, dropped = part(made, "facts")
    assert kept + dropped == 7
    assert dropped > 0
    assert sum(one.tokens for one in made.parts if one.name == "facts") <= BUDGET.facts
    assert part(made, "memories") == (1, 0)
    assert next(one.why for one in made.parts if one.name == "facts")[-1] == "fact 7 did not fit"
    assert made.facts == tuple(facts[:kept])


def test_what_is_pinned_comes_before_all_else_and_takes_all_of_the_room() -> None:
    pins = [f"since 2026-01-0{n}: {'She likes tea and walks. ' * 11}" for n in range(1, 9)]
    other, said = "since 2026-01-09: Ann has a dog.", '2026-01-01, user: "my pinned words"'
    budget = Budget(context_tokens=4_096, slow=True)
    told = ['2026-01-02, user: "hello"', said]
    made = assemble(ADA, (), "And now?", facts=[other, *pins], recalled=told, pinned={*pins, said}, budget=budget)
    flat = [" ".join(one.split()) for one in pins]
    assert made.facts == (*flat, other)
    assert made.memories == (said, told[0])
    assert sum(one.tokens for one in made.parts if one.name == "facts") > budget.facts
    assert made.tokens == budget.of(made.messages) <= budget.context_tokens
    tight = assemble(ADA, turns(60), "And now?", facts=[other, *pins], recalled=told, pinned=set(pins), budget=BUDGET)
    assert tight.facts[0] == flat[0]
    assert tight.tokens <= BUDGET.context_tokens
