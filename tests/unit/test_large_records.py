"""Large records are read once, off the loop, and no more are kept than fit."""

import threading
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from chattr.adapters.large_records import SMALL, Records

pytestmark = pytest.mark.unit


class Book(BaseModel):
    """Notes which were read, and whether that was in the loop."""

    model_config = ConfigDict(frozen=True)

    name: str
    text: str

    @model_validator(mode="before")
    @classmethod
    def noted(cls, fields: dict[str, Any]) -> dict[str, Any]:
        READ.append((fields["name"], threading.current_thread() is threading.main_thread()))
        return fields


READ: list[tuple[str, bool]] = []


def book(name: str, size: int = SMALL) -> bytes:
    return Book.model_construct(name=name, text="x" * size).model_dump_json().encode()


@pytest.fixture(autouse=True)
def nothing_read() -> None:
    READ.clear()


async def test_a_large_record_is_read_once_in_a_thread_until_it_changes() -> None:
    records = Records(Book)
    first = await records.read(book("a"))
    assert await records.read(book("a")) is first
    assert (await records.read(book("a", SMALL + 1))).text == "x" * (SMALL + 1)
    assert READ == [("a", False), ("a", False)]


async def test_a_small_record_is_read_where_it_is_asked_for() -> None:
    records = Records(Book)
    for _ in range(2):
        assert (await records.read(book("a", 3))).text == "xxx"
    assert READ == [("a", True), ("a", True)]


async def test_what_was_not_asked_for_the_longest_makes_room() -> None:
    records = Records(Book, most=2 * len(book("a")))
    for name in ("a", "b", "a", "c", "a", "b"):
        assert (await records.read(book(name))).name == name
    assert [name for name, _ in READ] == ["a", "b", "c", "b"]
    assert (await records.read(book("huge", 3 * SMALL))).name == "huge"
    assert (await records.read(book("a"))).name == "a"
    assert [name for name, _ in READ] == ["a", "b", "c", "b", "huge"], "what is larger than all of it is not kept"
