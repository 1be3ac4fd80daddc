"""What a model's answer may and may not make known, and how facts take each other's place."""

import json
from dataclasses import replace

import pytest

from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Message
from chattr.domain.extraction import Drawn, Lesson, learned
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Fact, Source, standing
from chattr.domain.memory import Selection

pytestmark = pytest.mark.unit

ANN = Owner("acme", "ann")
STEM = english_stemmer()
DOG = Message("m1", None, "user", "My dog is called Biscuit.", 1.0)
NICE = Message("m2", "m1", "assistant", "I love dogs.", 2.0)
KNOWN = Fact("f1", "ada", "person", "The person has a cat.", (Source("c", "m0", 0.5),), 0.5)
LESSON = Lesson("Ada", (), (DOG, NICE), (KNOWN,))


def answer(**changes: object) -> str:
    fact = {"text": "The person's dog is called Biscuit.", "about": "person", "lines": [1], "replaces": None, **changes}
    return json.dumps({"facts": [fact]})


def test_the_lesson_shows_what_is_known_and_numbers_what_is_new() -> None:
    system, asked = LESSON.messages()
    assert "Ada" in system["content"]
    assert "1. The person has a cat." in asked["content"]
    assert "1. person: My dog is called Biscuit.\n2. Ada: I love dogs." in asked["content"]


def test_an_answer_is_read_also_with_words_around_it() -> None:
    (drawn,) = LESSON.read(f"Sure! ```json\n{answer(replaces=1)}\n``` Done.")
    assert drawn == Drawn("person", "The person's dog is called Biscuit.", (DOG,), "f1")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "no json",
        "{",
        "{" * 5000 + "}" * 5000,
        '{"facts": 3}',
        '{"facts": [3, null, "x"]}',
        answer(text=""),
        answer(text="x" * 301),
        answer(text=None),
        answer(about="weather"),
        answer(lines=[]),
        answer(lines=[0]),
        answer(lines=[3]),
        answer(lines=[True]),
        answer(lines="1"),
        answer(lines=[2]),
        answer(about="self", lines=[1]),
    ],
)
def test_what_is_not_as_it_was_asked_for_is_left_out(given: str) -> None:
    assert LESSON.read(given) == []


@pytest.mark.parametrize("replaces", [0, 2, "1", True, [1]])
def test_only_a_fact_that_was_shown_is_replaced(replaces: object) -> None:
    (drawn,) = LESSON.read(answer(replaces=replaces))
    assert drawn.replaces is None


def test_views_of_the_character_come_from_its_own_lines() -> None:
    (drawn,) = LESSON.read(answer(text="Ada loves dogs.", about="self", lines=[1, 2]))
    assert drawn.stated == (NICE,)


def draw(text: str, message: Message = DOG, replaces: str | None = None) -> Drawn:
    return Drawn("person", text, (message,), replaces)


def test_what_says_the_same_stands_on_one_more_message() -> None:
    first = learned(ANN, "ada", "c", [], [draw("The person's dog is called Biscuit.")], STEM)
    later = replace(DOG, id="m9", created_at=9.0)
    (fact,) = learned(ANN, "ada", "c", first, [draw("The dog of the person is called Biscuit", later)], STEM)
    assert {source.message_id for source in fact.sources} == {"m1", "m9"}
    assert fact.valid_from == 1.0


def test_what_changed_is_replaced_and_its_history_kept() -> None:
    facts = learned(ANN, "ada", "c", [], [draw("The person lives in Leipzig.")], STEM)
    moved = replace(DOG, id="m9", created_at=9.0)
    both = learned(ANN, "ada", "c", facts, [draw("The person lives in Porto.", moved, facts[0].id)], STEM)
    (now,) = standing(both)
    assert (now.text, now.supersedes) == ("The person lives in Porto.", facts[0].id)
    (old,) = [fact for fact in both if fact.id == facts[0].id]
    assert old.valid_to == 9.0


def test_another_characters_facts_are_left_alone() -> None:
    facts = learned(ANN, "ada", "c", [], [draw("The person's dog is called Biscuit.")], STEM)
    both = learned(ANN, "mira", "d", facts, [draw("The person's dog is called Biscuit.")], STEM)
    assert sorted(fact.character_id for fact in standing(both)) == ["ada", "mira"]


def test_the_same_answer_twice_is_one_fact() -> None:
    once = learned(ANN, "ada", "c", [], [draw("The person's dog is called Biscuit.")], STEM)
    assert learned(ANN, "ada", "c", once, [draw("The person's dog is called Biscuit.")], STEM) == once


def test_a_fact_is_a_memory_of_its_newest_message() -> None:
    (fact,) = learned(ANN, "ada", "c", [], [draw("The person's dog is called Biscuit.")], STEM)
    memory = replace(fact, sources=(*fact.sources, Source("d", "m5", 5.0))).memory()
    assert (memory.conversation_id, memory.message_id, memory.kind) == ("d", "m5", "fact")
    assert Selection(kind="fact").covers(memory)
