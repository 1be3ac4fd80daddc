"""Who a request may name as its person."""

import pytest

from chattr.domain.identity import EVERYONE, PERSON

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", ["ann", "ann@example.org", "a-b_c.d", "7", "--"])
def test_people_have_plain_names(name: str) -> None:
    assert PERSON.fullmatch(name)


@pytest.mark.parametrize("name", ["", EVERYONE, "a b", "a/b", "{x}", "a:b", "é", "x" * 129, "ann\n"])
def test_nobody_is_named_as_everyone_or_breaks_a_key(name: str) -> None:
    assert not PERSON.fullmatch(name)
