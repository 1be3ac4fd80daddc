"""Macros: what each becomes, that nothing grows into one, and that any text is read quickly. Source: V3, "CBS"."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattr.domain.macros import MOST_CHARACTERS, Chance, Names, expanded

pytestmark = pytest.mark.unit

NAMES = Names("Ada", "Byron, George", Chance("conversation", "prompt"))
PIECES = ("{{", "}}", "{", "}", ",", "\\,", ":", "::", "//", " ", "char", "USER", "random", "pick", "roll", "reverse")
texts = st.lists(st.sampled_from((*PIECES, "hidden_key", "comment", "<bot>", "6", "é", "\n")) | st.text(max_size=5))


def told(text: str, **options: str) -> str:
    return expanded(text, NAMES, "here", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("{{char}} {{Char}} <BOT> <bot> <Char> {{ char }}", "Ada Ada Ada Ada Ada Ada"),
        ("{{user}} {{USER}} <USER>", "Byron, George Byron, George Byron, George"),
        ("{{// a}}b{{//c}}{{comment: d}}{{COMMENT:e}}", "b"),
        ("a{{hidden_key:b}}c", "ac"),
        ("{{reverse:Hello}}", "olleH"),
        ("{{reverse:{{char}}!}}", "!adA"),
        ("{{random:only}}{{pick::only}}", "onlyonly"),
        ("{{random:a\\,b}}", "a,b"),
        ("{{random:{{user}}}}", "Byron, George"),
        ("{{roll:1}}{{roll:d1}}{{roll:D1}}", "111"),
        ("{{roll:0}}{{roll:x}}{{roll:}}", "{{roll:0}}{{roll:x}}{{roll:}}"),
        ("{{original}}", "{{original}}"),
        ("{{nobody}} {{charm}} {{char:x}} {{}} {{random:}}", "{{nobody}} {{charm}} {{char:x}} {{}} {{random:}}"),
        ("{{nobody:{{char}}}}", "{{nobody:Ada}}"),
        ("{{{char}}} {{{{char}}}}", "{Ada} {{Ada}}"),
        ("{{char {{user}} char}}", "{{char Byron, George char}}"),
        ("{{random:a,b", "{{random:a,b"),
        ("a < b > c", "a < b > c"),
    ],
)
def test_each_macro(written: str, becomes: str) -> None:
    assert told(written) == becomes


def test_what_would_stand_there_is_given_by_the_caller() -> None:
    assert told("{{original}} And {{Original}}.", original="Ours") == "Ours And Ours."


def test_hidden_keys_are_seen_by_lorebooks_alone() -> None:
    assert told("a {{hidden_key:plum}}{{// x}}{{comment:y}}", purpose="keys") == "a plum"


@pytest.mark.parametrize("written", ["{{random:a,b,c}}", "{{random::a::b::c}}", "{{random::a,b,c}}"])
def test_each_value_is_drawn_at_times_and_nothing_else(written: str) -> None:
    drawn = {expanded(written, Names("A", "B", Chance("", str(seed))), "x") for seed in range(60)}
    assert drawn == {"a", "b", "c"}


def test_a_roll_is_between_one_and_its_sides() -> None:
    rolls = {int(expanded("{{roll:d6}}", Names("A", "B", Chance("", str(seed))), "x")) for seed in range(100)}
    assert rolls == {1, 2, 3, 4, 5, 6}


def test_a_pick_follows_the_conversation_and_its_place() -> None:
    many = "{{pick:" + ",".join(map(str, range(1000))) + "}}"
    first = expanded(many, Names("A", "B", Chance("one", "1")), "x")
    assert expanded(many, Names("A", "B", Chance("one", "2")), "x") == first
    assert expanded(many, Names("A", "B", Chance("two", "1")), "x") != first
    assert expanded(many, Names("A", "B", Chance("one", "1")), "y") != first
    assert len(set(expanded(f"{many} {many} {many}", NAMES, "x").split())) == 3


def test_still_chance_draws_the_same_in_every_prompt() -> None:
    many = "{{random:" + ",".join(map(str, range(1000))) + "}}"
    drawn = {expanded(many, Names("A", "B", Chance("one", fresh).still()), "x") for fresh in "abc"}
    assert len(drawn) == 1


@pytest.mark.parametrize("name", ["{{user}}", "{{random:a,b}}", "}}", "{{reverse:", "<bot>"])
def test_a_name_is_never_read_as_a_macro(name: str) -> None:
    assert expanded("{{char}}, {{user}}", Names(name, name), "x") == f"{name}, {name}"
    assert expanded("{{nobody:{{char}}", Names(name, "B"), "x") == f"{{{{nobody:{name}"
    assert expanded("{{random:{{char}}}}", Names("a,b", "B"), "x") == "a,b"


@given(texts)
def test_any_text_is_read_the_same_each_time(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert told(text) == told(text)
    assert told(text, purpose="keys") == told(text, purpose="keys")
    if "{{" not in text and "<" not in text:
        assert told(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 100_000,
        "}}" * 100_000,
        "{{char}}" * 50_000,
        "{{reverse:" * 5_000 + "x" * 50_000 + "}}" * 5_000,
        "{{random:" + "a," * 50_000 + "}}",
        "{{pick:" * 8 + "a," * 20_000 + "}}" * 8,
        "<user>" * 50_000,
        "{" * 200_000,
    ],
    ids=["open", "close", "names", "nested", "values", "nested values", "tags", "braces"],
)
def test_a_hostile_text_takes_no_time_and_little_room(text: str) -> None:
    began = time.perf_counter()
    assert len(told(text)) <= max(MOST_CHARACTERS, len(text))
    assert time.perf_counter() - began < 2
