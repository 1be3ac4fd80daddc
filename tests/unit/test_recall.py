"""How recall chooses: the parts of the sum, and what reaches the prompt."""

from dataclasses import dataclass

import pytest

from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, Recalled, memory_id, memory_of
from chattr.domain.question import understood
from chattr.domain.recall import (
    AT_THE_TIME,
    MAX_WRITTEN,
    NEAR,
    NEAR_WITH_TALK,
    SHARED_WORDS,
    chosen,
    line,
    ranked,
    shortened,
)

pytestmark = pytest.mark.unit

ANN = Owner("acme", "ann")
STEM = english_stemmer()
DAY = 86_400.0


@dataclass(frozen=True)
class Found:
    memory: Memory
    near: float | None = None
    near_with_talk: float | None = None
    sharing: float | None = None


def said(number: int, text: str, role: str = "user") -> Memory:
    message = Message(f"m{number}", None, "user" if role == "user" else "assistant", text, DAY * number)
    return memory_of(ANN, "ada", "c1", message)


def order(found: list[Found], question: str, *, now: float = 1e9) -> list[Recalled]:
    return ranked(found, understood(question, (), now, STEM))


def test_the_parts_of_a_score_add_up() -> None:
    (one,) = order([Found(said(1, "my dog is Rex"), 0.6, 0.5, 4.0)], "dog")
    assert one.meaning == pytest.approx(NEAR * 0.6 + NEAR_WITH_TALK * 0.5)
    assert one.words == pytest.approx(SHARED_WORDS * 4.0)
    assert one.score == pytest.approx(one.meaning + one.words + one.speaker + one.time + one.form)
    assert one.bearing == pytest.approx(one.meaning + one.words)


def test_ranks_by_meaning_and_words_of_the_turn_and_of_its_talk() -> None:
    both, near, talk, nothing = said(0, "first one"), said(1, "second one"), said(2, "third one"), said(3, "fourth one")
    found = [Found(nothing, 0.1, 0.1), Found(near, 0.7, 0.1), Found(talk, 0.1, 0.7), Found(both, 0.7, 0.7, 3.0)]
    assert [one.memory for one in order(found, "dog name")] == [both, talk, near, nothing]


def test_what_a_way_of_searching_missed_is_as_far_as_the_last_that_it_found() -> None:
    missed, last = order([Found(said(1, "one two"), None, None, 1.0), Found(said(1, "two one"), 0.3, 0.2)], "x")
    assert missed.meaning == last.meaning == pytest.approx(NEAR * 0.3 + NEAR_WITH_TALK * 0.2)


def test_the_askers_own_turns_answer_what_is_asked_about_them() -> None:
    mine, yours = said(1, "I like tea", "user"), said(1, "I like tea", "assistant")
    found = [Found(mine, 0.5, 0.5), Found(yours, 0.5, 0.5)]
    assert order(found, "What do I like?")[0].memory == mine
    assert order(found, "What do you like?")[0].memory == yours


def test_turns_of_the_time_that_is_asked_about_come_first() -> None:
    then, later = said(10, "I was at the sea"), said(40, "I was at the sea")
    best, other = order([Found(later, 0.5, 0.5), Found(then, 0.5, 0.5)], "Where was I yesterday?", now=11.4 * DAY)
    assert best.memory == then
    assert best.time == pytest.approx(other.time + AT_THE_TIME)


def test_turns_that_tell_of_times_answer_when_something_was() -> None:
    timed, plain = said(1, "I moved here last year"), said(1, "I moved here with my cat")
    assert order([Found(plain, 0.5, 0.5), Found(timed, 0.5, 0.5)], "When did I move?")[0].memory == timed


def test_a_turn_that_tells_comes_before_one_that_asks() -> None:
    asks, tells = said(1, "Do you like tea?"), said(1, "You do like tea.")
    assert order([Found(asks, 0.5, 0.5), Found(tells, 0.5, 0.5)], "tea")[0].memory == tells


def test_of_equals_the_newer_comes_first() -> None:
    older, newer = said(1, "tea"), said(2, "coffee")
    assert [one.memory for one in order([Found(older, 0.5), Found(newer, 0.5)], "?")] == [newer, older]
    assert order([], "tea") == []


def test_chooses_at_most_five_without_repetitions_the_question_or_noise() -> None:
    texts = ["My dog is Biscuit", "my dog is biscuit!", "What is my dog?", *(f"dog walk number {n}" for n in range(9))]
    found = [Found(said(n, text), 0.9 - n / 50, 0.9 - n / 50, 5.0 - n / 2) for n, text in enumerate(texts)]
    found.append(Found(said(99, "unrelated"), 0.1, 0.1))
    best = chosen(order(found, "What's my dog?"), "What's my dog?", STEM)
    assert len(best) == 5
    assert [one.memory.text for one in best][:2] == ["My dog is Biscuit", "dog walk number 0"]
    noise = chosen(order([found[0], found[-1]], "What's my dog?"), "What's my dog?", STEM)
    assert [one.memory.text for one in noise] == ["My dog is Biscuit"]


def test_a_place_is_kept_for_the_best_by_meaning() -> None:
    found = [Found(said(n, f"raising dogs number {n}"), 0.2, 0.2, 9.0) for n in range(9)]
    found.append(Found(said(10, "My retriever is called Biscuit"), 0.7, 0.5))
    texts = [one.memory.text for one in chosen(order(found, "dog raise"), "dog raise", STEM)]
    assert len(texts) == 5
    assert texts[-1] == "My retriever is called Biscuit"


def test_nothing_related_recalls_nothing() -> None:
    assert chosen(order([Found(said(1, "tea"), 0.05, 0.05)], "boats"), "boats", STEM) == []


def test_writes_a_turn_with_its_day_and_speaker_and_cuts_long_ones() -> None:
    assert line(said(3, "I like\n tea")) == '1970-01-04, user: "I like tea"'
    answer = memory_of(ANN, "ada", "c1", Message("m", None, "assistant", "Noted.", 0.0))
    assert line(answer) == '1970-01-01, you: "Noted."'
    long = shortened("word " * 200)
    assert len(long) <= MAX_WRITTEN + 2
    assert long.endswith("word …")


def test_a_memory_is_the_same_for_the_same_message_and_never_another_persons() -> None:
    assert memory_id(ANN, "m1") == memory_id(Owner("acme", "ann"), "m1")
    assert len({memory_id(owner, "m1") for owner in (ANN, Owner("acme", "bob"), Owner("evil", "ann"))}) == 3
