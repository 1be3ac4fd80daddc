"""How recall chooses: terms, the sum of both scores, and what reaches the prompt."""

from dataclasses import dataclass

import pytest

from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, Recalled, memory_id, memory_of
from chattr.domain.recall import (
    MAX_WRITTEN,
    WORDS_WEIGHT,
    chosen,
    line,
    query_terms,
    ranked,
    shortened,
    term_id,
    turn_terms,
    words,
)

pytestmark = pytest.mark.unit

ANN = Owner("acme", "ann")
STEM = english_stemmer()


@dataclass(frozen=True)
class Found:
    memory: Memory
    dense: float | None
    sparse: float | None


def said(number: int, text: str) -> Memory:
    return memory_of(ANN, "ada", "c1", Message(f"m{number}", None, "user", text, 86_400.0 * number))


def test_words_are_stems_without_those_that_carry_no_meaning() -> None:
    assert words("What are my dogs' names? I'm walking the dog's friend", STEM) == [
        "dog",
        "name",
        "walk",
        "dog",
        "friend",
    ]


def test_a_text_of_common_words_keeps_them() -> None:
    assert words("Who are you?", STEM) == ["who", "are", "you"]


def test_words_of_other_scripts_count_and_signs_do_not() -> None:
    assert words("Mein Hund heißt Strolch 🙂 _-_ 東京", STEM)[-1] == "東京"
    assert words("🙂 !!", STEM) == []
    assert turn_terms("", STEM) == {}


def test_term_ids_are_the_same_on_every_machine_and_fit_the_engine() -> None:
    assert term_id("biscuit") == 0xC82EC243
    assert all(0 <= term_id(str(number)) < 2**32 for number in range(1000))


def test_a_repeated_word_weighs_more_but_less_than_twice_and_a_long_turn_dilutes() -> None:
    once = turn_terms("boat", STEM)[term_id("boat")]
    twice = turn_terms("boat boat", STEM)[term_id("boat")]
    diluted = turn_terms("boat " + " ".join(f"word{n}" for n in range(60)), STEM)[term_id("boat")]
    assert once < twice < 2 * once
    assert diluted < once
    assert set(query_terms("boats and boats", STEM).values()) == {1.0}


def order(found: list[Found], question: str) -> list[Recalled]:
    return ranked(found, question, STEM)


def test_ranks_by_meaning_plus_words() -> None:
    both, near, word, nothing = said(0, "my dog"), said(1, "my pet"), said(2, "a dog's name"), said(3, "tea")
    found = [Found(nothing, 0.1, None), Found(near, 0.7, None), Found(word, None, 4.0), Found(both, 0.6, 2.0)]
    best = order(found, "dog name")
    assert [one.memory for one in best] == [word, both, near, nothing]
    assert best[0].score == pytest.approx(WORDS_WEIGHT)
    assert best[1].score == pytest.approx(0.6 + WORDS_WEIGHT / 2)


def test_words_count_less_where_even_the_best_has_few_of_the_questions() -> None:
    half = order([Found(said(1, "raising dogs"), None, 9.0)], "what is the dog's name")
    assert half[0].score == pytest.approx(WORDS_WEIGHT / 2)


def test_of_equals_the_newer_comes_first() -> None:
    older, newer = said(1, "tea"), said(2, "coffee")
    assert [one.memory for one in order([Found(older, 0.5, None), Found(newer, 0.5, None)], "?")] == [newer, older]
    assert order([], "tea") == []


def test_chooses_at_most_five_without_repetitions_the_question_or_noise() -> None:
    texts = ["My dog is Biscuit", "my dog is biscuit!", "What is my dog?", *(f"dog walk number {n}" for n in range(9))]
    found = [Found(said(n, text), 0.9 - n / 100, 5.0 - n / 10) for n, text in enumerate(texts)]
    found.append(Found(said(99, "unrelated"), 0.2, None))
    best = chosen(order(found, "What's my dog?"), "What's my dog?", STEM)
    assert len(best) == 5
    assert [one.memory.text for one in best][:2] == ["My dog is Biscuit", "dog walk number 0"]
    noise = chosen(order([found[0], found[-1]], "What's my dog?"), "What's my dog?", STEM)
    assert [one.memory.text for one in noise] == ["My dog is Biscuit"]


def test_a_place_is_kept_for_the_best_by_meaning() -> None:
    found = [Found(said(n, f"raising dogs number {n}"), 0.1, 5.0) for n in range(9)]
    found.append(Found(said(10, "My retriever is called Biscuit"), 0.5, None))
    texts = [one.memory.text for one in chosen(order(found, "dog raise"), "dog raise", STEM)]
    assert len(texts) == 5
    assert texts[-1] == "My retriever is called Biscuit"


def test_nothing_related_recalls_nothing() -> None:
    assert chosen(order([Found(said(1, "tea"), 0.05, None)], "boats"), "boats", STEM) == []


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
