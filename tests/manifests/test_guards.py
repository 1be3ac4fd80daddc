"""What cannot work is refused with a sentence: each refusal in the templates is tripped by a row of guards.yaml."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scripts.manifests import helm
from tests.manifests.guards import guards

pytestmark = pytest.mark.manifests

ROWS: list[dict[str, Any]] = helm.objects(Path(__file__).with_name("guards.yaml").read_text("utf-8"))[0]


@cache
def refusal(number: int) -> str:
    """Helm's words about a row's values."""
    with pytest.raises(helm.Refused) as refused:
        helm.template((), helm.merged(helm.LEAST, ROWS[number]["values"]))
    return str(refused.value)


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda number: ROWS[number]["says"][:60])
def test_what_cannot_work_is_refused_with_a_sentence(number: int) -> None:
    assert ROWS[number]["says"] in refusal(number)


def test_each_refusal_has_a_row() -> None:
    shown = [refusal(number) for number in range(len(ROWS))]
    assert [guard for guard in guards() if not any(guard.said_in(words) for words in shown)] == []


def test_each_refusal_is_a_sentence() -> None:
    assert [guard for guard in guards() if not guard.sentence.endswith(".") or " " not in guard.sentence] == []
