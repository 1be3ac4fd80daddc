"""The times that a question names: dates, months, years, and those counted from the day on which it is asked. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

DAY: Final = 86_400.0
MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
COUNTS: Final = {"a": 1, "one": 1, "two": 2, "a couple of": 2, "three": 3, "a few": 3, "four": 4, "five": 5, "six": 6}
UNITS: Final = {"day": 1, "week": 7, "month": 30, "year": 365}
DATED: Final = re.compile(
    rf"\b(?:(?P<before>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? )?(?P<month>{'|'.join(MONTHS)})\b"
    r"(?: (?P<after>\d{1,2})(?:st|nd|rd|th)?\b)?(?:,? (?P<year>(?:19|20)\d\d)\b)?"
)
# Without one of these before it, or a number, "may" is a verb.
BEFORE_A_MONTH: Final = re.compile(r"\b(?:in|of|since|during|by|until|this|last|early|late) $")
YEAR: Final = re.compile(r"\bin ((?:19|20)\d\d)\b")
NAMED: Final = re.compile(
    r"\b(?:(?P<near>today|tonight|yesterday|the other day|recently|lately)"
    r"|(?P<which>last|this|past) (?P<unit>night|week|weekend|month|year|spring|summer|autumn|fall|winter"
    rf"|{'|'.join(WEEKDAYS)})"
    rf"|(?P<count>\d+|{'|'.join(sorted(COUNTS, key=len, reverse=True))}) (?P<ago>day|week|month|year)s? ago)\b"
)
SEASONS: Final = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
# What happened is told on the day or soon after.
TOLD_LATE: Final = {"day": 3, "week": 7, "month": 31, "year": 60}
BESIDE: Final = 0.4


@dataclass(frozen=True, slots=True)
class Span:
    """A time that is asked about, in Unix seconds, and until when what happened in it may have been told."""

    begin: float
    end: float
    late: float

    def fit(self, moment: float) -> float:
        """How well something said at that moment fits: 1 inside, less where it may be told late, else 0."""
        if self.begin <= moment < self.end:
            return 1.0
        return BESIDE if self.begin - DAY <= moment < self.late else 0.0


def spans(question: str, now: float) -> list[Span]:
    """Return the times that a question names; `now` is when it is asked."""
    text = question.lower()
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = [*dated(text, today), *named(text, today)]
    if not found:
        found = [year(int(match.group(1))) for match in YEAR.finditer(text)]
    return found


def dated(text: str, today: datetime) -> Iterator[Span]:
    """Find days and months. One without a year is the last such before today."""
    for match in DATED.finditer(text):
        month, named_day = MONTHS.index(match["month"]) + 1, int(match["before"] or match["after"] or 0)
        bare = not (named_day or match["year"])
        if match["month"] == "may" and bare and not BEFORE_A_MONTH.search(text, 0, match.start()):
            continue
        given = int(match["year"]) if match["year"] else today.year - ((month, named_day) > (today.month, today.day))
        try:
            begin = datetime(given, month, named_day or 1, tzinfo=UTC)
        except ValueError:
            continue
        yield span(begin, 1, "day") if named_day else span(begin, (following(begin) - begin).days, "month")


def named(text: str, today: datetime) -> Iterator[Span]:
    """Find what is counted from today."""
    for match in NAMED.finditer(text):
        if match["near"]:
            yield near(match["near"], today)
        elif match["unit"]:
            yield which(match["which"], match["unit"], today)
        else:
            count = int(match["count"]) if match["count"].isdigit() else COUNTS[match["count"]]
            if (size := UNITS[match["ago"]]) * count < 50 * UNITS["year"]:
                yield span(today - timedelta(days=size * count + size // 2), max(1, size), match["ago"])


def near(word: str, today: datetime) -> Span:
    """Read a time that is close by."""
    match word:
        case "today" | "tonight":
            return span(today, 1, "day")
        case "yesterday":
            return span(today - timedelta(days=1), 1, "day")
    return span(today - timedelta(days=21), 22, "day")


def which(word: str, unit: str, today: datetime) -> Span:
    """Read the last, or this, of something."""
    last = word != "this"
    if unit in WEEKDAYS:
        return span(today - timedelta(days=(today.weekday() - WEEKDAYS.index(unit) - 1) % 7 + 1), 1, "day")
    if unit in SEASONS:
        return season(SEASONS[unit], today)
    if unit == "night":
        return span(today - timedelta(days=1), 2, "day")
    if unit in {"week", "weekend"}:
        monday = today - timedelta(days=today.weekday())
        return span(monday - timedelta(days=7 * last), 7, "week")
    if unit == "month":
        first = today.replace(day=1)
        begin = (first - timedelta(days=1)).replace(day=1) if last else first
        return span(begin, (following(begin) - begin).days, "month")
    return year(today.year - last)


def season(month: int, today: datetime) -> Span:
    """Return the last season that has begun; `month` is its first."""
    begin = datetime(today.year - ((month, 1) > (today.month, today.day)), month, 1, tzinfo=UTC)
    return span(begin, 92, "month")


def year(number: int) -> Span:
    """Return a whole year."""
    return span(datetime(number, 1, 1, tzinfo=UTC), 366, "year")


def following(first: datetime) -> datetime:
    """Return the first day of the next month."""
    return (first.replace(day=1) + timedelta(days=32)).replace(day=1)


def span(begin: datetime, days: int, unit: str) -> Span:
    """Make a span of whole days."""
    end = begin.timestamp() + days * DAY
    return Span(begin.timestamp(), end, end + TOLD_LATE[unit] * DAY)
