"""The talk around a turn: a function of the messages that there are."""

import random
from dataclasses import replace

import pytest

from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, memory_of
from chattr.domain.talk import AFTER, BEFORE, Talk, in_their_talk

pytestmark = pytest.mark.unit

ANN = Owner("acme", "ann")


def said(number: int, parent: int | None, *, conversation: str = "c1", character: str = "ada") -> Memory:
    before = None if parent is None else f"m{parent}"
    return memory_of(ANN, character, conversation, Message(f"m{number}", before, "user", f"{number}", float(number)))


def around(talk: Talk, memory: Memory) -> list[tuple[str, float]]:
    return [(one.text, weight) for one, weight in talk.around(memory)]


CHAIN = [said(number, number - 1 if number else None) for number in range(6)]


def test_two_turns_before_and_two_after_count_the_nearer_more() -> None:
    assert around(Talk(CHAIN), CHAIN[3]) == [
        ("3", 1.0),
        ("2", BEFORE[0]),
        ("1", BEFORE[1]),
        ("4", AFTER[0]),
        ("5", AFTER[1]),
    ]
    assert around(Talk(CHAIN), CHAIN[0]) == [("0", 1.0), ("1", AFTER[0]), ("2", AFTER[1])]


def test_of_several_answers_the_newest_counts_and_each_has_its_path() -> None:
    other = said(9, 2)
    talk = Talk([*CHAIN, other])
    assert around(talk, CHAIN[2])[3:] == [("9", AFTER[0])]
    assert around(talk, CHAIN[3])[1:3] == around(talk, other)[1:3] == [("2", BEFORE[0]), ("1", BEFORE[1])]


def test_the_order_of_arrival_changes_nothing() -> None:
    turns = [*CHAIN, said(9, 2), said(10, 9)]
    mixed = random.Random(3).sample(turns, len(turns))
    assert [around(Talk(turns), one) for one in turns] == [around(Talk(mixed), one) for one in turns]


def test_a_missing_turn_ends_the_talk_before_it() -> None:
    assert around(Talk([CHAIN[0], CHAIN[2], CHAIN[3]]), CHAIN[3]) == [("3", 1.0), ("2", BEFORE[0])]


def test_other_conversations_and_characters_are_not_around() -> None:
    assert around(Talk([CHAIN[0], said(1, 0, conversation="c2")]), CHAIN[0]) == [("0", 1.0)]
    assert around(Talk([CHAIN[0], said(1, 0, character="bo")]), CHAIN[0]) == [("0", 1.0)]


def test_of_several_answers_that_on_the_active_branch_counts_first() -> None:
    left = replace(said(9, 2), branch="left")
    assert around(Talk([*CHAIN, left]), CHAIN[2])[3:] == [("3", AFTER[0]), ("4", AFTER[1])]


def test_memories_tell_one_talk_around_them_from_another() -> None:
    before = in_their_talk({one.id: one for one in CHAIN})
    after = in_their_talk({one.id: replace(one, text="corrected") if one is CHAIN[5] else one for one in CHAIN})
    changed = [one.text for one in CHAIN if before[one.id].talk != after[one.id].talk]
    assert changed == ["3", "4"]
    assert len({one.talk for one in before.values()}) == len(CHAIN)
    assert in_their_talk({CHAIN[0].id: CHAIN[0]})[CHAIN[0].id].talk == ""


def test_facts_stand_alone_and_are_in_nobodys_talk() -> None:
    fact = replace(CHAIN[2], id="fact", kind="fact", text="fact")
    talk = Talk([*CHAIN, fact])
    assert around(talk, fact) == [("fact", 1.0)]
    assert around(talk, CHAIN[1]) == around(Talk(CHAIN), CHAIN[1])


def test_a_turn_that_answers_itself_ends() -> None:
    assert around(Talk([said(1, 1)]), said(1, 1))[0] == ("1", 1.0)
