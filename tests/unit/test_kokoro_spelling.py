"""Numbers, abbreviations and signs in words."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vocalizr.backends.kokoro.numbers import cardinal, ordinal, year
from vocalizr.backends.kokoro.spelling import roman, spelled_out

pytestmark = pytest.mark.unit

SPELLED = [
    ("in 1984", "in nineteen eighty four"),
    ("in 2005 and 2024", "in two thousand and five and twenty twenty four"),
    ("the 1900s, the 1990s and the '80s", "the nineteen hundreds, the nineteen nineties and the eighties"),
    ("1914–1918", "nineteen fourteen to nineteen eighteen"),
    ("10-20 people", "ten to twenty people"),
    ("1,234,567 stars", "one million two hundred and thirty four thousand five hundred and sixty seven stars"),
    ("3.14", "three point one four"),
    ("version 1.2.3", "version one point two point three"),
    ("the 1st, 22nd and 3rd", "the first, twenty second and third"),
    ("1/2 or 3/4 or 5/8", "one half or three quarters or five eighths"),
    ("2½ cups", "two and one half cups"),
    ("24/7", "twenty four over seven"),
    ("$12.50", "twelve dollars and fifty cents"),
    ("$1", "one dollar"),
    ("$0.99", "ninety nine cents"),
    ("$3 million", "three million dollars"),
    ("£2.01", "two pounds and one penny"),
    ("€5k", "five thousand euros"),
    ("50%", "fifty percent"),
    ("-5°C", "minus five degrees Celsius"),
    ("1 km, 5km, 100 km/h", "one kilometer, five kilometers, one hundred kilometers per hour"),
    ("at 3:45 pm", "at three forty five P M"),
    ("at 9 p.m. We left", "at nine P M. We left"),
    ("at 10:00", "at ten o'clock"),
    ("at 14:05", "at fourteen oh five"),
    ("at 00:30", "at zero thirty"),
    ("March 3, 2021", "March third, twenty twenty one"),
    ("3rd of March 2021", "the third of March, twenty twenty one"),
    ("2021-03-05", "March fifth, twenty twenty one"),
    ("call 555-1234", "call five five five, one two three four"),
    ("agent 007", "agent zero zero seven"),
    ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),
    ("No. 5 and #7", "number five and number seven"),
    ("No. That is all.", "No. That is all."),
    ("Dr. Smith met Mrs. Jones.", "Doctor Smith met Missis Jones."),
    ("St. Paul on Baker St.", "Saint Paul on Baker Street"),
    ("e.g. this, i.e. that, etc.", "for example this, that is that, et cetera"),
    ("the U.S.A. won", "the U S A won"),
    ("made in the U.S.", "made in the U S."),
    ("cats & dogs + birds = joy", "cats and dogs plus birds equals joy"),
    ("https://www.example.com/a_b.", "www dot example dot com slash a b."),
    ("me.too@example.com", "me dot too at example dot com"),
    ("example.org is up", "example dot org is up"),
    ("**bold** and _thin_ `code`", "bold and thin 'code'"),
    ("wait... what?!", "wait… what?!"),
    ("one -- two — three - four", "one — two — three — four"),
    ("‘quoted’ “text”", "'quoted' \"text\""),
    ("Henry VIII and Louis XIV", "Henry the eighth and Louis the fourteenth"),
    ("World War II", "World War two"),
    ("iPhone15", "i Phone fifteen"),
    ("a\n\n\nb", "a\nb"),
    ("Mr and Mrs", "Mr and Mrs"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), SPELLED, ids=[text for text, _ in SPELLED])
def test_spelled_out(text: str, said: str) -> None:
    assert re.sub(r" +([.,])", r"\1", spelled_out(text, british=False)) == said


def test_a_date_of_slashes_is_american_or_british() -> None:
    assert spelled_out("3/4/2021", british=False) == "March fourth, twenty twenty one"
    assert spelled_out("3/4/2021", british=True) == "April third, twenty twenty one"


@pytest.mark.parametrize(
    ("digits", "said"),
    [
        ("1066", "ten sixty six"),
        ("1100", "eleven hundred"),
        ("1907", "nineteen oh seven"),
        ("2000", "two thousand"),
        ("2009", "two thousand and nine"),
        ("2010", "twenty ten"),
    ],
)
def test_years(digits: str, said: str) -> None:
    assert year(digits) == said


def test_roman_numerals() -> None:
    assert [roman(numeral) for numeral in ("II", "IV", "VIII", "IX", "XIV")] == [2, 4, 8, 9, 14]


@given(st.text() | st.text(st.sampled_from("0123456789.,:/-–$£%°½ aApPmMkKGB#&@'s")))
@example("٣/٤ ² ½½ 99:99pm 1990's0s 00/00/0000")
@example("$" * 50 + "9" * 5000)
def test_any_text_can_be_spelled_out(text: str) -> None:
    for british in (False, True):
        assert not re.search(r"[0-9]", spelled_out(text, british=british))


@given(st.from_regex(r"[0-9]{1,30}(,[0-9]{3}){0,3}(\.[0-9]{1,10})?", fullmatch=True))
def test_any_number_can_be_said(digits: str) -> None:
    assert re.fullmatch(r"[a-z ]+", cardinal(digits))
    assert re.fullmatch(r"[a-z ]+", ordinal(digits.replace(",", "").partition(".")[0]))
