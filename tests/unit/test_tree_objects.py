"""What a message is shown with stays small, however many stand beside it."""

import pytest

from chattr.domain.conversation import Message
from chattr.domain.tree import Tree
from chattr.routes.tree_objects import MOST_SIBLINGS, message_object, message_objects

pytestmark = pytest.mark.unit

MANY = [Message(f"m{number}", None, "user", "Hi.", 1.0) for number in range(1000)]


@pytest.mark.parametrize("number", [0, 1, 31, 32, 500, 967, 968, 999])
def test_of_many_siblings_the_nearest_are_listed(number: int) -> None:
    shown = message_object(MANY[number], Tree(MANY))
    assert len(shown["siblings"]) == MOST_SIBLINGS
    assert shown["siblings"][shown["index"]] == f"m{number}"
    neighbours = {f"m{each}" for each in (number - 1, number + 1) if 0 <= each < len(MANY)}
    assert neighbours <= set(shown["siblings"])


def test_few_siblings_are_all_listed() -> None:
    shown = message_objects(MANY[:3], Tree(MANY[:3]))
    assert [(each["siblings"], each["index"]) for each in shown] == [(["m0", "m1", "m2"], place) for place in range(3)]
