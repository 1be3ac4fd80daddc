"""A card's JSON: nothing is lost, and what readers disagree about or choke on is refused."""

import json
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatacter.chassis.errors import InvalidInput, TooLarge
from chattr.domain.card.json_text import (
    HUGE_NUMBER,
    LONG_NUMBER,
    NOT_A_NUMBER,
    NOT_UTF8,
    TOO_DEEP,
    TOO_LONG,
    TOO_MANY,
    TWICE,
    measure,
    parse,
    write,
)
from chattr.domain.card.limits import LIMITS
from tests.card_material import JSON

pytestmark = pytest.mark.unit

SMALL = replace(LIMITS, json_bytes=2_000, json_values=50, json_depth=8, number_chars=30)


@pytest.mark.parametrize(
    "text",
    [
        "[1,1.0,1e3,1E+3,-0,0.10,123456789012345678901234567890,1e-999]",
        '{"z":1,"a":2,"m":{"y":[],"b":{}}}',
        '{"":null,"t":true,"f":false,"é":"ü\\n\\u0000\\"\\\\"}',
        '["\\ud83d","\\ud83d\\ude00"]',
    ],
)
def test_what_is_read_is_written_again(text: str) -> None:
    read = parse(text.encode(), LIMITS)
    again = parse(write(read), LIMITS)
    assert again == read
    assert json.loads(write(read)) == json.loads(text)
    assert list(again) == list(read)


def test_numbers_keep_their_spelling_and_keys_their_order() -> None:
    text = '{"b":[1,1.0,1e3,1E+3,-0,0.10,123456789012345678901234567890],"a":0}'
    assert write(parse(text.encode(), LIMITS)).decode() == text


@given(value=JSON)
def test_any_json_survives(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    again = write(parse(text.encode(), LIMITS)).decode()
    assert json.loads(again) == value
    assert again == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b'{"a":1,"a":2}', InvalidInput, TWICE),
        (b'{"a":[{"b":1,"b":1}]}', InvalidInput, TWICE),
        (b"[NaN]", InvalidInput, NOT_A_NUMBER),
        (b"[-Infinity]", InvalidInput, NOT_A_NUMBER),
        (b"[1e999]", InvalidInput, HUGE_NUMBER),
        (b"[" + b"9" * 31 + b"]", TooLarge, LONG_NUMBER.format(most=30)),
        (b"[0." + b"9" * 31 + b"]", TooLarge, LONG_NUMBER.format(most=30)),
        (b'["\xff"]', InvalidInput, NOT_UTF8.format(place=2)),
        (b'["\xed\xa0\x80"]', InvalidInput, NOT_UTF8.format(place=2)),
        (b"[" * 9 + b"]" * 9, TooLarge, TOO_DEEP.format(most=8)),
        (b'{"a":' * 9 + b"1" + b"}" * 9, TooLarge, TOO_DEEP.format(most=8)),
        (b"[" + b"0," * 60 + b"0]", TooLarge, TOO_MANY.format(most=50)),
        (b'["' + b"a" * 2_000 + b'"]', TooLarge, TOO_LONG.format(most=2_000)),
        (b'{"a":', InvalidInput, "The card's JSON is broken at line 1, column 6."),
        (b'["\\ud8"]', InvalidInput, "The card's JSON is broken at line 1, column 4."),
        (b'{"a":1} x', InvalidInput, "The card's JSON is broken at line 1, column 9."),
    ],
)
def test_what_cannot_be_trusted_is_refused(data: bytes, error: type[InvalidInput], reason: str) -> None:
    with pytest.raises(error) as refused:
        parse(data, SMALL)
    assert refused.value.message == reason
    assert refused.value.param == "file"


def test_brackets_within_strings_are_no_depth() -> None:
    text = json.dumps(["[" * 5_000, '"[' * 50, "\\" * 9])
    assert json.loads(write(parse(text.encode(), LIMITS))) == json.loads(text)


@given(data=st.binary(max_size=200) | st.text(alphabet='[]{}",:\\0123456789eE+-. \tn', max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(InvalidInput):
        read = parse(data, SMALL)
        assert json.loads(write(read)) == json.loads(data)


@pytest.mark.parametrize("unit", [b'"\\"', b'"', b"\\", b'"\\\\', b"[", b"{}", b'"a",'])
def test_measuring_is_linear_and_small(unit: bytes) -> None:
    """A quadratic one would take minutes on 8 MiB, and be stopped by the suite's time limit."""
    data = unit * (LIMITS.json_bytes // len(unit))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput):
            parse(data, LIMITS)
        assert tracemalloc.get_traced_memory()[1] < 16 * LIMITS.json_bytes
    finally:
        tracemalloc.stop()


def test_the_most_values_fit_in_bounded_memory() -> None:
    text = "[" + "[1]," * (LIMITS.json_values // 2 - 2) + "0]"
    measure(text, LIMITS)
    tracemalloc.start()
    try:
        write(parse(text.encode(), LIMITS))
        assert tracemalloc.get_traced_memory()[1] < 128 * 1024 * 1024
    finally:
        tracemalloc.stop()
