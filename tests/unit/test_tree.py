"""What is read off a conversation's messages as a tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattr.domain.conversation import Message
from chattr.domain.tree import Tree

pytestmark = pytest.mark.unit


def grown(*parents: int | None) -> Tree:
    """A tree whose message number n stands under `parents[n]`."""
    return Tree(
        [
            Message(f"m{number}", None if parent is None else f"m{parent}", "user", str(number), float(number))
            for number, parent in enumerate(parents)
        ]
    )


# m0 ── m1 ─┬─ m2 ── m4
#           └─ m3 ── m5        m6 (another beginning)
TALK = grown(None, 0, 1, 1, 2, 3, None)


def ids(messages: list[Message]) -> list[str]:
    return [message.id for message in messages]


def test_a_path_and_what_stands_beside_it() -> None:
    assert ids(TALK.path("m5")) == ["m0", "m1", "m3", "m5"]
    assert ids(TALK.beside(TALK.path("m5"))) == ["m2", "m4", "m6"]


def test_siblings_answer_the_same_message() -> None:
    for message_id, siblings in (("m3", ["m2", "m3"]), ("m0", ["m0", "m6"]), ("m4", ["m4"])):
        message = TALK.get(message_id)
        assert message is not None
        assert list(TALK.siblings(message)) == siblings


@pytest.mark.parametrize(("chosen", "leaf"), [("m0", "m5"), ("m2", "m4"), ("m4", "m4"), ("m6", "m6")])
def test_choosing_a_message_leads_to_the_newest_leaf_under_it(chosen: str, leaf: str) -> None:
    assert TALK.newest_leaf(chosen) == leaf


@pytest.mark.parametrize(
    ("removed", "head", "then"),
    [
        ("m4", "m5", "m5"),
        ("m2", "m4", "m5"),
        ("m5", "m5", "m3"),
        ("m1", "m4", "m0"),
        ("m0", "m5", "m6"),
        ("m6", "m6", "m5"),
        ("m6", None, None),
    ],
)
def test_the_head_moves_to_what_remains(removed: str, head: str | None, then: str | None) -> None:
    assert TALK.head_without(TALK.under(removed), head) == then


def test_nothing_remains_of_a_conversation_whose_beginning_is_removed() -> None:
    tree = grown(None, 0, 1)
    assert tree.head_without(tree.under("m0"), "m2") is None


@given(st.lists(st.integers(0, 30), max_size=30), st.data())
def test_in_any_tree_a_cut_leaves_a_tree_and_a_leaf_of_it(parents: list[int], data: st.DataObject) -> None:
    tree = grown(None, *(min(parent, number) for number, parent in enumerate(parents)))
    chosen, head = (data.draw(st.sampled_from(ids(list(tree.messages)))) for _ in range(2))
    removed = tree.under(chosen)
    left = Tree([message for message in tree.messages if message.id not in removed])
    assert all(message.parent_id is None or left.get(message.parent_id) for message in left.messages)
    leaf = tree.newest_leaf(head)
    then = tree.head_without(removed, leaf)
    assert (then is None) == (not left.messages)
    if then is not None:
        assert left.newest_leaf(then) == then
        assert then == leaf or leaf in removed
