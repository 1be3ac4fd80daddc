"""Large bodies are read in a thread, and what is wrong with them is told as of every other body."""

import threading
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, model_validator
from starlette.requests import Request

from chattr.routes.bodies import described, large

pytestmark = pytest.mark.unit


class Page(BaseModel):
    words: list[str]
    thread: int = 0

    @model_validator(mode="before")
    @classmethod
    def noted(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "thread": threading.get_ident()}


class Book(BaseModel):
    pages: list[Page]


def carrying(body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


async def test_a_body_is_read_in_a_thread() -> None:
    book = await large(carrying(b'{"pages": [{"words": ["a"]}]}'), Book)
    assert book.pages[0].thread != threading.get_ident()


@pytest.mark.parametrize(
    ("body", "where"), [(b'{"pages": [{"words": [1]}]}', ("pages", 0, "words", 0)), (b"{", ()), (b"[]", ())]
)
async def test_what_is_wrong_is_told_with_its_place(body: bytes, where: tuple[object, ...]) -> None:
    with pytest.raises(RequestValidationError) as told:
        await large(carrying(body), Book)
    (mistake,) = told.value.errors()
    assert mistake["loc"] == where
    assert "input" not in mistake


def test_the_document_names_the_shapes_within() -> None:
    schema = described(Book)["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["pages"]["items"] == {"$ref": "#/components/schemas/Page"}
    assert "$defs" not in schema
