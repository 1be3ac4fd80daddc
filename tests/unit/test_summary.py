"""Which part of a conversation is summed up, when, and which summaries hold."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Source
from chattr.domain.memory import Forgotten, Selection, memory_id
from chattr.domain.summary import (
    Summary,
    Window,
    along,
    asked,
    block_end,
    carried,
    made_of,
    read,
    standing,
    summary_id,
    summary_tokens,
)

pytestmark = pytest.mark.unit

ANN = Owner("acme", "ann")
NOTHING = Forgotten(())


def talk(messages: int, words: int = 10) -> list[Message]:
    """The person and Ada by turns."""
    return [
        Message(f"m{n}", f"m{n - 1}" if n else None, "assistant" if n % 2 else "user", "w " * words, float(n))
        for n in range(messages)
    ]


def window(tokens: int = 10_000, messages: int = 20) -> Window:
    return Window(tokens, messages, 100, lambda text: len(text.split()))


def chain(*ends: int) -> list[Summary]:
    """Summaries, each made of the one before; what each adds is the message that it ends with."""
    made: list[Summary] = []
    for end in ends:
        source = Source("c", f"m{end}", float(end))
        previous = made[-1].id if made else None
        made.append(
            Summary(summary_id("ada", f"m{end}"), "c", "ada", f"m{end}", float(end), "t", (source,), 0.0, previous)
        )
    return made


def test_half_a_window_is_summed_up_as_soon_as_a_quarter_stands_behind_it() -> None:
    assert block_end(talk(14), 0, window()) is None
    assert block_end(talk(15), 0, window()) == 10
    assert block_end(talk(15), 10, window()) is None
    assert block_end(talk(25), 10, window()) == 20


def test_tokens_fill_a_window_as_messages_do() -> None:
    small = window(tokens=20 * 16, messages=1000)  # ten words and the borders of a message
    assert block_end(talk(14), 0, small) is None
    assert block_end(talk(15), 0, small) == 10


def test_a_block_ends_with_an_answer() -> None:
    assert block_end(talk(30), 1, window()) == 12
    alone = [replace(message, role="user") for message in talk(30)]
    assert block_end(alone, 0, window()) == 13, "it does not go on for ever"


def test_a_message_longer_than_the_window_is_a_block() -> None:
    path = talk(6, words=5_000)
    assert block_end(path, 0, window(tokens=1_000)) == 1


@given(st.integers(0, 120), st.integers(0, 119))
@settings(max_examples=60, deadline=None)
def test_what_is_summed_up_follows_from_the_messages_alone(length: int, seen: int) -> None:
    """However far a conversation had come when somebody looked, it is cut at the same places."""

    def cuts(path: list[Message], at: int = 0) -> list[int]:
        found = []
        while (end := block_end(path, at, window())) is not None:
            found.append(at := end)
        return found

    path = talk(length)
    early = cuts(path[:seen])
    assert cuts(path) == [*early, *cuts(path, early[-1] if early else 0)]


def test_a_summary_of_something_that_was_forgotten_holds_no_more_nor_do_those_made_of_it() -> None:
    made = chain(1, 3, 5)
    assert list(standing(ANN, made[::-1], NOTHING)) == [one.id for one in made]
    gone = Forgotten([Selection(ids=(memory_id(ANN, "m3"),), until=10.0)])
    assert list(standing(ANN, made, gone)) == [made[0].id]
    in_a_group = Forgotten([Selection(ids=(memory_id(ANN, "m3/ada"),), until=10.0)])
    assert list(standing(ANN, made, in_a_group)) == [made[0].id]
    assert list(standing(ANN, made, Forgotten([Selection(character_id="ada", until=2.0)]))) == []
    assert list(standing(ANN, made, Forgotten([Selection(character_id="bo")]))) == [one.id for one in made]


def test_without_the_one_that_it_was_made_of_a_summary_does_not_hold() -> None:
    first, second, third = chain(1, 3, 5)
    assert list(standing(ANN, [first, third], NOTHING)) == [first.id]
    assert made_of([second.id], [third, second, first]) == [second.id, third.id]


def test_many_summaries_are_put_in_order_in_one_walk() -> None:
    many = [replace(one, sources=()) for one in chain(*range(20_000))]
    began = time.process_time()
    names = {f"m{n}": f"n{n}" for n in range(19_000)}
    assert len(carried(many[::-1], "d", names, {})) == 19_000
    assert len(standing(ANN, many[::-1], NOTHING)) == len(made_of([many[0].id], many[::-1])) == 20_000
    assert carried([replace(each, previous_id="unknown") for each in many], "d", names, {}) == []
    assert time.process_time() - began < 10


def test_where_nothing_was_forgotten_no_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chattr.domain.summary.remembered_as", None)
    assert len(standing(ANN, chain(1, 3), NOTHING)) == 2


def test_only_those_of_one_character_on_the_branch_are_found() -> None:
    made = [*chain(1, 3, 5), replace(chain(1)[0], character_id="bo")]
    assert [(place, one.through_id) for place, one in along(made, "ada", talk(5))] == [(2, "m1"), (4, "m3")]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("  Ann has\n a dog.  ", "Ann has a dog."),
        ("NEW SUMMARY: Ann has a dog.", "Ann has a dog."),
        ("Ann has a dog called Biscuit. She lives in", "Ann has a dog called Biscuit."),
        ("Ann has a dog called Biscuit and she", "Ann has a dog called Biscuit and she"),
        ("", ""),
    ],
)
def test_an_answer_is_read_as_a_paragraph_of_whole_sentences(answer: str, text: str) -> None:
    assert read(answer, window()) == text


def test_an_answer_longer_than_a_summary_may_be_is_cut_after_a_sentence() -> None:
    text = read("One two three. " * 60, window())
    assert text.endswith("three.")
    assert 50 < len(text.split()) <= window().summary
    assert read("x" * 9_000, Window(10, 10, 5, len)) == ""


def test_a_model_is_told_what_was_summed_up_before_and_who_said_what() -> None:
    system, user = asked("Ada", "Ann", "", ["Ann: hello\nthere", "Ada: " + "x" * 9_000], window())
    assert "60 words at most" in system["content"]
    assert "SUMMARY SO FAR:\n(nothing)" in user["content"]
    assert "Ann: hello there" in user["content"]
    assert len(user["content"]) < 2_200


def test_a_summary_takes_a_small_part_of_any_context() -> None:
    assert [summary_tokens(context) for context in (512, 1536, 8192, 128_000)] == [64, 153, 400, 400]
