"""JSON without loss: numbers keep their spelling, keys their order; what readers disagree about is refused."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from chatacter.chassis.errors import InvalidInput, TooLarge
from chattr.domain.card.limits import Limits

FILE: Final = "file"
# It always matches where a quotation mark stands, so that an unfinished string is not tried twice: linear time.
STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
BRACKET: Final = re.compile(r"[\[\]{}]")
SURROGATE: Final = re.compile("[\ud800-\udfff]")

TOO_LONG: Final = "The card's JSON is over {most} bytes."
TOO_DEEP: Final = "The card's JSON is nested deeper than {most} levels."
TOO_MANY: Final = "The card's JSON has more than {most} values."
LONG_NUMBER: Final = "A number in the card's JSON has more than {most} characters."
HUGE_NUMBER: Final = "A number in the card's JSON is beyond what a 64-bit float holds."
NOT_A_NUMBER: Final = "The card's JSON says NaN or Infinity, which JSON does not have."
TWICE: Final = "An object in the card's JSON has the same key twice."
NOT_UTF8: Final = "The card's JSON is not UTF-8 (byte {place})."
NOT_JSON: Final = "The card's JSON is broken at line {line}, column {column}."


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written: 1, 1.0 and 1e3 stay apart, and no digit is lost."""

    text: str


def parse(data: bytes, limits: Limits) -> Any:
    """Read JSON. Raises `TooLarge` and `InvalidInput`, saying what is wrong and never what was written."""
    if len(data) > limits.json_bytes:
        raise TooLarge(TOO_LONG.format(most=limits.json_bytes), param=FILE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(NOT_UTF8.format(place=error.start), param=FILE) from error
    measure(text, limits)

    def number(written: str) -> Number:
        if len(written) > limits.number_chars:
            raise TooLarge(LONG_NUMBER.format(most=limits.number_chars), param=FILE)
        if math.isinf(float(written)):
            raise InvalidInput(HUGE_NUMBER, param=FILE)
        return Number(written)

    try:
        return json.loads(
            text, parse_int=number, parse_float=number, parse_constant=no_constant, object_pairs_hook=object_of
        )
    except json.JSONDecodeError as error:
        raise InvalidInput(NOT_JSON.format(line=error.lineno, column=error.colno), param=FILE) from error


def measure(text: str, limits: Limits) -> None:
    """Refuse text that would take too much memory or stack to parse. Linear in its length."""
    bare = STRING.sub("", text)
    if bare.count(",") + bare.count("[") + bare.count("{") > limits.json_values:
        raise TooLarge(TOO_MANY.format(most=limits.json_values), param=FILE)
    depth = 0
    for bracket in BRACKET.finditer(bare):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > limits.json_depth:
            raise TooLarge(TOO_DEEP.format(most=limits.json_depth), param=FILE)


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; readers differ about which of two equal keys counts, so there may be no two."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise InvalidInput(TWICE, param=FILE)
    return made


def no_constant(_: str) -> NoReturn:
    """Refuse NaN and its kin."""
    raise InvalidInput(NOT_A_NUMBER, param=FILE)


def plain(value: Any) -> Any:
    """Return what `parse` read with Python's own numbers, and no halves of surrogate pairs, which no UTF-8 carries."""
    if isinstance(value, dict):
        return {whole(name): plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, str):
        return whole(value)
    return numeric(value.text) if isinstance(value, Number) else value


def numeric(text: str) -> int | float:
    """Read a number: whole where it is written so."""
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def whole(text: str) -> str:
    """Replace halves of surrogate pairs."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def write(value: Any) -> bytes:
    """Write what `parse` reads, and Python's own numbers. The depth is that of what was parsed, and bounded by it."""
    return "".join(parts(value)).encode()


def parts(value: Any) -> Iterator[str]:
    """Yield the pieces of a value's text."""
    if isinstance(value, dict):
        yield from joined("{", ((f"{quoted(key)}:", each) for key, each in value.items()), "}")
    elif isinstance(value, list):
        yield from joined("[", (("", each) for each in value), "]")
    elif isinstance(value, str):
        yield quoted(value)
    else:
        yield value.text if isinstance(value, Number) else json.dumps(value, allow_nan=False)


def joined(opening: str, items: Iterator[tuple[str, Any]], closing: str) -> Iterator[str]:
    """Yield a container's pieces."""
    yield opening
    for index, (before, each) in enumerate(items):
        yield f",{before}" if index else before
        yield from parts(each)
    yield closing


def quoted(text: str) -> str:
    """Write a string; half a surrogate pair, which UTF-8 cannot carry, stays the escape that it came as."""
    return json.dumps(text, ensure_ascii=SURROGATE.search(text) is not None)
