"""Lorebooks of their own: one suite over the fake and a real Redis."""

from collections.abc import AsyncIterator

import pytest

from chattr.adapters.fakes.lorebooks import FakeLorebooks
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_lorebooks import RedisLorebooks
from chattr.domain.identity import Owner
from chattr.domain.lorebook.shared import SharedLorebook
from chattr.ports.lorebooks import Lorebooks
from tests.lore_material import book, entry

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
EVE = Owner("evil", "ann")


@pytest.fixture(params=["fake", "redis"])
async def lorebooks(request: pytest.FixtureRequest) -> AsyncIterator[Lorebooks]:
    if request.param == "fake":
        yield FakeLorebooks()
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisLorebooks(redis)


def lorebook(name: str, *contents: str, at: float = 1.0) -> SharedLorebook:
    """A book with a field that nobody knows."""
    entries = [entry(content, "plum", x_unknown={"a": [1, 1.5, None]}) for content in contents]
    made = book(*entries, name=name.title(), x_other=True)
    return SharedLorebook(id=name, created_at=at, updated_at=at, lorebook=made)


async def test_a_book_comes_back_as_it_was_stored(lorebooks: Lorebooks) -> None:
    assert await lorebooks.get(ANN, "garden") is None
    assert await lorebooks.add(ANN, lorebook("garden", "One.", "Two."))
    found = await lorebooks.get(BOB, "garden")
    assert found == lorebook("garden", "One.", "Two.")
    assert found is not None
    assert found.lorebook.written() == lorebook("garden", "One.", "Two.").lorebook.written()


async def test_books_belong_to_a_tenant(lorebooks: Lorebooks) -> None:
    assert await lorebooks.add(ANN, lorebook("garden"))
    assert await lorebooks.get(EVE, "garden") is None
    assert await lorebooks.some(EVE, ["garden"]) == []
    assert await lorebooks.list(EVE) == []
    assert not await lorebooks.replace(EVE, lorebook("garden"))
    assert not await lorebooks.delete(EVE, "garden")
    assert await lorebooks.add(EVE, lorebook("garden", "Hers."))
    assert await lorebooks.get(ANN, "garden") == lorebook("garden")


async def test_an_id_is_taken_once(lorebooks: Lorebooks) -> None:
    assert await lorebooks.add(ANN, lorebook("garden", "First."))
    assert not await lorebooks.add(BOB, lorebook("garden", "Second."))
    assert await lorebooks.get(ANN, "garden") == lorebook("garden", "First.")


async def test_a_book_is_replaced_where_there_is_one(lorebooks: Lorebooks) -> None:
    assert not await lorebooks.replace(ANN, lorebook("garden"))
    assert await lorebooks.get(ANN, "garden") is None
    await lorebooks.add(ANN, lorebook("garden", "First."))
    assert await lorebooks.replace(BOB, lorebook("garden", "One.", "Two.", at=2.0))
    assert await lorebooks.get(ANN, "garden") == lorebook("garden", "One.", "Two.", at=2.0)
    assert [(one.id, one.name, one.entries, one.updated_at) for one in await lorebooks.list(ANN)] == [
        ("garden", "Garden", 2, 2.0)
    ]


async def test_a_change_holds_for_what_it_was_made_on(lorebooks: Lorebooks) -> None:
    first, second = lorebook("garden", "One.", at=1764363600.1234567), lorebook("garden", "Two.", at=1764363600.1234569)
    await lorebooks.add(ANN, first)
    assert await lorebooks.replace(ANN, second, over=first)
    assert not await lorebooks.replace(BOB, lorebook("garden", "Three.", at=3.0), over=first)
    assert not await lorebooks.delete(BOB, "garden", over=first)
    assert await lorebooks.get(ANN, "garden") == second
    assert await lorebooks.delete(ANN, "garden", over=second)
    assert not await lorebooks.replace(ANN, second, over=second)
    assert await lorebooks.list(ANN) == []


async def test_a_list_is_by_id_and_shows_no_entries(lorebooks: Lorebooks) -> None:
    for name in ("zoo", "attic", "garden"):
        await lorebooks.add(ANN, lorebook(name, "Something."))
    assert [one.id for one in await lorebooks.list(BOB)] == ["attic", "garden", "zoo"]


async def test_some_are_in_the_order_asked_for_without_those_that_are_gone(lorebooks: Lorebooks) -> None:
    for name in ("zoo", "attic"):
        await lorebooks.add(ANN, lorebook(name))
    assert [one.id for one in await lorebooks.some(ANN, ["zoo", "gone", "attic"])] == ["zoo", "attic"]
    assert await lorebooks.some(ANN, []) == []


async def test_what_is_deleted_is_gone(lorebooks: Lorebooks) -> None:
    await lorebooks.add(ANN, lorebook("garden"))
    assert await lorebooks.delete(BOB, "garden")
    assert not await lorebooks.delete(BOB, "garden")
    assert await lorebooks.get(ANN, "garden") is None
    assert await lorebooks.list(ANN) == []
