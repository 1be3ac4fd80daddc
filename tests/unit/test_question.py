"""What a question asks about."""

import pytest

from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Message, Role
from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, memory_of
from chattr.domain.question import Question, understood

pytestmark = pytest.mark.unit

ANN = Owner("acme", "ann")


def read(text: str, *speakers: str) -> Question:
    return understood(text, speakers, 1e9, english_stemmer())


def by(role: Role, speaker: str | None = None) -> Memory:
    return memory_of(ANN, "ada", "c1", Message("m", None, role, "words", 0.0), person=speaker)


def test_names_of_speakers_say_who_is_asked_about_and_are_no_words_to_look_for() -> None:
    question = read("When did Caroline paint Melanie's house?", "Caroline", "Melanie")
    assert question.names == {"caroline", "melanie"}
    assert question.stems == ("paint", "hous")
    assert question.as_told == "When did I paint my house?"
    assert read("Where does Caroline live?", "Caroline").about(by("user", "Caroline")) == 1.0
    assert read("Where does Caroline live?", "Caroline").about(by("user", "Melanie")) == 0.0


def test_whoever_did_not_speak_is_a_word_like_others() -> None:
    question = read("Where does Bob live?", "Caroline")
    assert question.names == frozenset()
    assert question.stems == ("bob", "live")


def test_a_question_of_nothing_but_a_name_looks_for_what_is_left() -> None:
    assert read("Who is Ada?", "Ada").stems == ("who", "is")
    assert read("Ada", "Ada").stems == ("ada",)


@pytest.mark.parametrize(
    ("text", "user", "assistant"),
    [
        ("What is my dog called?", 1.0, 0.0),
        ("Do you remember what I am afraid of?", 1.0, 0.0),
        ("What did you say about the sea?", 0.0, 1.0),
        ("What did I tell you about the sea?", 0.5, 0.5),
        ("Who built the harbour?", 0.5, 0.5),
    ],
)
def test_i_and_you_say_whose_turns_are_meant(text: str, user: float, assistant: float) -> None:
    question = read(text)
    assert (question.about(by("user")), question.about(by("assistant"))) == (user, assistant)


def test_of_several_names_nobody_is_preferred() -> None:
    assert read("What do Ann and Bo like?", "Ann", "Bo").about(by("user", "Ann")) == 0.5


@pytest.mark.parametrize(("text", "when"), [("When was it?", True), ("how long ago?", True), ("whenever", False)])
def test_knows_whether_a_time_is_asked_for(text: str, when: bool) -> None:
    assert read(text).when is when


@pytest.mark.parametrize("text", ["", "???", "ſ", "İ's", "\x00", "a" * 5000])
def test_reads_anything(text: str) -> None:
    assert read(text, "Ada", "", "(").as_told == text
