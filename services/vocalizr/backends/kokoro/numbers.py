"""Numbers as they are said in English: years, dates, times, money, units, ordinals, fractions, and plain ones.

Each rule is a pattern and what is said for a match; the rules run in order, the particular before the general, and
each leaves words that no later rule touches. Digits are ASCII digits only; others are left for whoever removes them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from num2words import num2words

LONGEST: Final = 15
DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
MONTH: Final = "|".join(MONTHS)

# Symbol: one of them, many of them, a hundredth of it, hundredths of it.
MONEY: Final = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
SCALES: Final = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "bn": "billion", "B": "billion"}
UNITS: Final = {
    "km/h": ("kilometer per hour", "kilometers per hour"), "mph": ("mile per hour", "miles per hour"),
    "m/s": ("meter per second", "meters per second"), "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"), "°": ("degree", "degrees"), "%": ("percent", "percent"),
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"), "lbs": ("pound", "pounds"),
    "lb": ("pound", "pounds"), "oz": ("ounce", "ounces"), "ft": ("foot", "feet"), "ml": ("milliliter", "milliliters"),
    "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"),
    "Hz": ("hertz", "hertz"), "kW": ("kilowatt", "kilowatts"), "kB": ("kilobyte", "kilobytes"),
    "KB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"), "ms": ("millisecond", "milliseconds"), "min": ("minute", "minutes"),
    "hrs": ("hour", "hours"), "hr": ("hour", "hours"), "sec": ("second", "seconds"), "m": ("meter", "meters"),
    "g": ("gram", "grams"), "h": ("hour", "hours"), "s": ("second", "seconds"),
}  # fmt: skip
VULGAR: Final = {
    "½": "1/2",
    "¼": "1/4",
    "¾": "3/4",
    "⅓": "1/3",
    "⅔": "2/3",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}

# Not begun in the middle of another number, so that a long one is looked at once.
NUMBER: Final = r"(?<![0-9])(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
UNIT: Final = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))


class Rule(NamedTuple):
    """What is said for each match of a pattern."""

    pattern: re.Pattern[str]
    said: Callable[[re.Match[str]], str]


def spoken_numbers(text: str, *, british: bool) -> str:
    """Return the text with every number in words. `british` reads 3/4/2021 as the third of April."""
    for sign, fraction in VULGAR.items():
        text = re.sub(f"(?<=[0-9]){sign}", f" and {fraction}", text).replace(sign, fraction)
    for rule in (*CALENDAR, *slashed_dates(british=british), *QUANTITIES):
        text = rule.pattern.sub(rule.said, text)
    return text


def cardinal(digits: str) -> str:
    """Say a number, with or without decimals and commas; a very long one digit by digit."""
    plain = digits.replace(",", "")
    whole, _, decimals = plain.partition(".")
    if len(whole) > LONGEST or (len(whole) > 1 and whole.startswith("0")):
        said = one_by_one(whole)
    else:
        said = words(num2words(int(whole)))
    return f"{said} point {one_by_one(decimals)}" if decimals else said


def ordinal(digits: str) -> str:
    """Say which one in a row."""
    return words(num2words(int(digits), to="ordinal")) if len(digits) <= LONGEST else one_by_one(digits)


def one_by_one(digits: str) -> str:
    """Say each digit."""
    return " ".join(DIGITS[int(digit)] for digit in digits)


def words(said: str) -> str:
    """Write num2words' answer without hyphens and commas, which would be pauses."""
    return said.replace("-", " ").replace(",", "")


def year(digits: str) -> str:
    """Say a year: nineteen eighty four, two thousand and five, twenty twenty."""
    number = int(digits)
    century, rest = divmod(number, 100)
    if number % 1000 < 10:
        return words(num2words(number))
    if rest == 0:
        return f"{words(num2words(century))} hundred"
    return f"{words(num2words(century))} {two_digits(rest)}"


def two_digits(number: int) -> str:
    """Say the second half of a year or a time: oh five, forty five."""
    return f"oh {num2words(number)}" if number < 10 else words(num2words(number))


def decade(match: re.Match[str]) -> str:
    """Say 1990s, or '90s."""
    said = year(match["decade"]) if match["decade"] else words(num2words(int(match["short"])))
    return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"


def date(month: str, day: str, the_year: str | None) -> str:
    """Say a day: March fifth, twenty twenty one."""
    return f"{month} {ordinal(day)}" + (f", {year(the_year)}" if the_year else "")


def numbered_date(month: str, day: str, the_year: str, otherwise: str) -> str:
    """Say a day that is written in digits; what cannot be one is left as it was."""
    if 1 <= int(month) <= 12 and 1 <= int(day) <= 31:
        return date(MONTHS[int(month) - 1], str(int(day)), the_year)
    return otherwise


def clock(match: re.Match[str]) -> str:
    """Say a time: three forty five p m, ten o'clock, noon's twelve and all."""
    hour, minute, half = int(match["hour"]), int(match["minute"]), match["half"]
    if hour > 24 or minute > 59:
        return f"{cardinal(match['hour'])} to {cardinal(match['minute'])}"
    said = "zero" if hour == 0 else num2words(hour)
    if minute:
        said += f" {two_digits(minute)}"
    elif not half:
        said += " o'clock" if 0 < hour <= 12 else " hundred"
    return words(said) + (f" {half_of_day(match)}" if half else "")


def half_of_day(match: re.Match[str]) -> str:
    """Say A M or P M; its period may be the sentence's too."""
    half = match["half"]
    letters = " ".join(half.upper().replace(".", ""))
    after = match.string[match.end() :].lstrip(" ")
    return f"{letters}." if half.endswith(".") and (not after or after[0].isupper() or after[0] == "\n") else letters


def money(match: re.Match[str]) -> str:
    """Say an amount: three dollars and five cents, two million pounds."""
    one, many, small, smalls = MONEY[match["sign"]]
    amount, scale = match["amount"], match["scale"]
    if scale:
        return f"{cardinal(amount)} {SCALES.get(scale, scale)} {many}"
    whole, _, cents = amount.partition(".")
    if cents and len(cents) != 2:
        return f"{cardinal(amount)} {many}"
    parts = []
    if cardinal(whole) != "zero" or not int(cents or 0):
        parts.append(f"{cardinal(whole)} {one if whole == '1' else many}")
    if int(cents or 0):
        parts.append(f"{num2words(int(cents))} {small if int(cents) == 1 else smalls}")
    return words(" and ".join(parts))


def fraction(match: re.Match[str]) -> str:
    """Say a fraction: one half, three quarters, five eighths."""
    top, bottom = int(match["top"]), int(match["bottom"])
    if not 0 < top < bottom <= 100:
        return f"{cardinal(match['top'])} over {cardinal(match['bottom'])}"
    name = {2: "half", 4: "quarter"}.get(bottom) or ordinal(match["bottom"])
    plural = {"half": "halves"}.get(name, f"{name}s")
    return f"{cardinal(match['top'])} {name if top == 1 else plural}"


def measured(match: re.Match[str]) -> str:
    """Say an amount of something."""
    one, many = UNITS[match["unit"]]
    sign = "minus " if match["minus"] else ""
    return f"{sign}{cardinal(match['number'])} {one if match['number'] == '1' else many}"


CALENDAR: Final[Sequence[Rule]] = (
    Rule(
        re.compile(r"\b(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})\b"),
        lambda match: numbered_date(match["m"], match["d"], match["y"], match.group()),
    ),
    Rule(
        re.compile(rf"\b(?P<m>{MONTH}) (?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<y>[0-9]{{4}}))?\b"),
        lambda match: date(match["m"], match["d"], match["y"]),
    ),
    Rule(
        re.compile(rf"\b(?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<m>{MONTH})(?:,? (?P<y>[0-9]{{4}}))?\b"),
        lambda match: f"the {ordinal(match['d'])} of {match['m']}" + (f", {year(match['y'])}" if match["y"] else ""),
    ),
    Rule(
        re.compile(
            r"\b(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::[0-9]{2})?(?: ?(?P<half>[AaPp]\.?[Mm]\b\.?))?(?![0-9:])"
        ),
        clock,
    ),
    Rule(
        re.compile(r"\b(?P<hour>[0-9]{1,2}) ?(?P<half>[AaPp]\.?[Mm]\b\.?)"),
        lambda match: f"{cardinal(match['hour'])} {half_of_day(match)}",
    ),
    Rule(re.compile(r"(?:\b(?P<decade>1[0-9]{2}0|20[0-9]0)|(?<![0-9])'?(?P<short>[2-9]0))'?s\b"), decade),
)


def slashed_dates(*, british: bool) -> Sequence[Rule]:
    """Make the rule for 3/4/2021, which is March in America and April in Britain."""
    first, second = ("d", "m") if british else ("m", "d")
    pattern = rf"\b(?P<{first}>[0-9]{{1,2}})/(?P<{second}>[0-9]{{1,2}})/(?P<y>[0-9]{{4}})\b"
    return (Rule(re.compile(pattern), lambda match: numbered_date(match["m"], match["d"], match["y"], match.group())),)


QUANTITIES: Final[Sequence[Rule]] = (
    Rule(
        re.compile(
            rf"(?P<sign>[$£€¥₹]) ?(?P<amount>{NUMBER})"
            r"(?: ?(?P<scale>thousand|million|billion|trillion|bn|[kKmMB])\b)?"
        ),
        money,
    ),
    Rule(re.compile(r"\b(?P<n>[0-9]+)(?:st|nd|rd|th)\b"), lambda match: ordinal(match["n"])),
    Rule(
        re.compile(r"\b(?P<a>1[0-9]{3}|20[0-9]{2}) ?[-–—] ?(?P<b>1[0-9]{3}|20[0-9]{2})\b"),
        lambda match: f"{year(match['a'])} to {year(match['b'])}",
    ),
    Rule(
        re.compile(r"\b(?P<a>[0-9]{3})-(?P<b>[0-9]{3,4})(?:-(?P<c>[0-9]{4}))?\b"),
        lambda match: ", ".join(one_by_one(part) for part in match.groups() if part),
    ),
    Rule(
        re.compile(rf"(?P<minus>(?<![^\s(])[-−])?(?P<number>{NUMBER}) ?(?P<unit>{UNIT})(?![A-Za-z0-9])"),
        measured,
    ),
    Rule(re.compile(r"(?<![0-9./])(?P<top>[0-9]{1,3})/(?P<bottom>[0-9]{1,3})(?![0-9/])"), fraction),
    Rule(
        re.compile(r"\b(?P<v>[0-9]{1,4}(?:\.[0-9]{1,4}){2,5})\b"),
        lambda match: " point ".join(cardinal(part) for part in match["v"].split(".")),
    ),
    Rule(
        re.compile(rf"(?P<a>{NUMBER}) ?[-–—] ?(?P<b>{NUMBER})"),
        lambda match: f"{cardinal(match['a'])} to {cardinal(match['b'])}",
    ),
    Rule(re.compile(rf"(?<![^\s(])[-−](?P<n>{NUMBER})"), lambda match: f"minus {cardinal(match['n'])}"),
    Rule(
        re.compile(r"(?<![0-9.,])(?P<y>1[1-9][0-9]{2}|20[0-9]{2})(?![0-9]|[.,][0-9])"), lambda match: year(match["y"])
    ),
    Rule(re.compile(NUMBER), lambda match: f" {cardinal(match.group())} "),
)
