"""Times that questions name, asked on Saturday, 28 November 2026."""

from datetime import UTC, datetime

import pytest

from chattr.domain.moments import DAY, spans

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 28, 15, 30, tzinfo=UTC)


def named(question: str) -> list[tuple[str, str]]:
    """The first and the last day of each time that is named."""
    return [(day(one.begin), day(one.end - 1)) for one in spans(question, NOW.timestamp())]


def day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("What did I do yesterday?", "2026-11-27", "2026-11-27"),
        ("What have I eaten today?", "2026-11-28", "2026-11-28"),
        ("Where was I last week?", "2026-11-16", "2026-11-22"),
        ("Whom did I meet this week?", "2026-11-23", "2026-11-29"),
        ("What did I buy last month?", "2026-10-01", "2026-10-31"),
        ("Where did I go last summer?", "2026-06-01", "2026-08-31"),
        ("What did I say on last Monday?", "2026-11-23", "2026-11-23"),
        ("What was last Saturday?", "2026-11-21", "2026-11-21"),
        ("What did I tell you three days ago?", "2026-11-25", "2026-11-25"),
        ("What did I write two weeks ago?", "2026-11-11", "2026-11-17"),
        ("Where was I on 5 July?", "2026-07-05", "2026-07-05"),
        ("Where was I on July 5th, 2024?", "2024-07-05", "2024-07-05"),
        ("What did I do in December?", "2025-12-01", "2025-12-31"),
        ("What did I do in May 2023?", "2023-05-01", "2023-05-31"),
        ("What did I plan in May?", "2026-05-01", "2026-05-31"),
        ("Where did I live in 2019?", "2019-01-01", "2020-01-01"),
    ],
)
def test_names_a_time(question: str, first: str, last: str) -> None:
    assert named(question) == [(first, last)]


@pytest.mark.parametrize(
    "question",
    [
        "What is my dog's name?",
        "May I ask you something?",
        "You may have heard of it",
        "on 31 February",
        "9999999 years ago",
        "How long ago was it?",
    ],
)
def test_names_none(question: str) -> None:
    assert named(question) == []


def test_what_was_said_in_it_fits_what_was_said_soon_after_fits_less() -> None:
    (yesterday,) = spans("what did I do yesterday", NOW.timestamp())
    assert [yesterday.fit(yesterday.begin + days * DAY) for days in (-5, 0.5, 2, 30)] == [0.0, 1.0, 0.4, 0.0]
