"""Cutting a text where a speaker breathes."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vocalizr.clauses import clauses, stretches

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello.", ["Hello."]),
        ("", []),
        ("  \n ", []),
        ("One sentence here. Another one here!", ["One sentence here.", "Another one here!"]),
        ("Yes. No. Maybe so, my friend.", ["Yes. No. Maybe so, my friend."]),
        ("A line without a mark\nThe next line", ["A line without a mark", "The next line"]),
        (
            "The storm rolled in from the western sea, and every lantern on the airship began to sway.",
            ["The storm rolled in from the western sea,", "and every lantern on the airship began to sway."],
        ),
        (
            "I walked all the way to the harbour because the old captain had asked me to come at dawn.",
            ["I walked all the way to the harbour", "because the old captain had asked me to come at dawn."],
        ),
        (
            "Of course I remember you, and I kept the old map safe.",
            ["Of course I remember you,", "and I kept the old map safe."],
        ),
        ('"Are you sure?" she asked me then.', ['"Are you sure?"', "she asked me then."]),
        ("It costs 3.14 in total, or so.", ["It costs 3.14 in total, or so."]),
    ],
)
def test_pieces(text: str, pieces: list[str]) -> None:
    assert list(clauses(text)) == pieces


def test_the_first_piece_is_short_and_the_others_are_sentences() -> None:
    text = "Well now, " + "this goes on and on without an end in sight for quite a while, " * 3 + "and ends. Then this."
    pieces = list(clauses(text))
    assert len(pieces[0]) <= 60
    assert pieces[-1] == "Then this."


@pytest.mark.parametrize(
    "sentence", ["我昨天去了城里的图书馆，借了三本书。", "彼は「今日は、もう帰ろう！」と静かに言った。"]
)
def test_chinese_and_japanese_are_cut_after_their_marks_which_no_space_follows(sentence: str) -> None:
    pieces = list(clauses(sentence * 60))
    assert "".join(pieces).replace(" ", "") == sentence * 60
    assert {piece[-1] for piece in pieces} <= set("。，、！」")
    assert all(part[-1] in "。」" for part in stretches(sentence * 300))


def test_a_long_sentence_of_chinese_is_cut_at_a_clause() -> None:
    assert {piece[-1] for piece in clauses("我们沿着河边慢慢地走，" * 40)} == {"，"}


def test_a_text_without_spaces_is_cut_all_the_same() -> None:
    assert [len(piece) for piece in clauses("x" * 500)] == [180, 180, 140]


@given(st.text(st.sampled_from("ab ,.!?\n;—\"'é")) | st.text())
@example("a. " * 1000)
@example("\u2028.\x85, \x1c")
def test_no_letter_is_lost_and_no_piece_is_long(text: str) -> None:
    pieces = list(clauses(text))
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)
    assert all(0 < len(piece) <= 180 for piece in pieces)
    assert all(piece == piece.strip() for piece in pieces)


@given(st.text(st.sampled_from("ab ,.!?\n;—\"'é")) | st.text(), st.integers(1, 40))
def test_a_stretch_is_no_longer_than_asked_and_no_letter_is_lost(text: str, most: int) -> None:
    found = list(stretches(text, most))
    assert re.sub(r"\s", "", "".join(found)) == re.sub(r"\s", "", text)
    assert all(0 < len(part) <= most and part == part.strip() for part in found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two three. Four five six.", ["One. Two three.", "Four five six."]),
        ("One two three\nfour. Five six", ["One two three", "four. Five six"]),
        ("One two three four five", ["One two three four", "five"]),
        ("x" * 45, ["x" * 20, "x" * 20, "x" * 5]),
    ],
)
def test_stretches_end_at_lines_else_sentences_else_words(text: str, found: list[str]) -> None:
    assert list(stretches(text, 20)) == found


@pytest.mark.parametrize("unit", [".", ",", "。", "、", "。」", " ", "a", ". ", ".'", "\n", " and"])
def test_the_longest_text_is_cut_in_a_moment_whatever_it_is_made_of(unit: str) -> None:
    began = time.process_time()
    list(clauses("x " + unit * (250_000 // len(unit))))
    assert time.process_time() - began < 2
