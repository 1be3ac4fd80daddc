"""Words as weighted terms."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.terms import plain_words, query_terms, term_id, weighted_terms, words

pytestmark = pytest.mark.unit

STEM = english_stemmer()


def alone(text: str) -> dict[int, float]:
    return weighted_terms([(text, 1.0)], STEM)


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
    assert alone("") == {}


def test_term_ids_are_the_same_on_every_machine_and_fit_the_engine() -> None:
    assert term_id("biscuit") == 0xC82EC243
    assert all(0 <= term_id(str(number)) < 2**32 for number in range(1000))


def test_a_repeated_word_weighs_more_but_less_than_twice_and_a_long_turn_dilutes() -> None:
    once = alone("boat")[term_id("boat")]
    twice = alone("boat boat")[term_id("boat")]
    diluted = alone("boat " + " ".join(f"word{n}" for n in range(60)))[term_id("boat")]
    assert once < twice < 2 * once
    assert diluted < once
    assert set(query_terms(["boat", "boat"]).values()) == {1.0}


def test_words_of_the_talk_around_count_by_its_weight() -> None:
    terms = weighted_terms([("boat", 1.0), ("harbour", 0.5), ("boat", 0.2)], STEM)
    assert terms[term_id("boat")] > terms[term_id("harbour")] > 0
    assert terms[term_id("harbour")] < alone("harbour")[term_id("harbour")]


@given(st.text(string.printable))
def test_plain_words_are_the_same_whatever_else_a_text_holds(text: str) -> None:
    assert plain_words(f"{text} é") == [*plain_words(text), "é"]
