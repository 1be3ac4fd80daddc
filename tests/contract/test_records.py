"""Characters: one suite over the fake and a real Redis."""

from collections.abc import AsyncIterator

import pytest

from chattr.adapters.fakes.records import FakeCharacters
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_records import RedisCharacters
from chattr.domain.character import Character
from chattr.domain.identity import Owner
from chattr.ports.records import Characters

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
EVE = Owner("evil", "ann")


@pytest.fixture(params=["fake", "redis"])
async def characters(request: pytest.FixtureRequest) -> AsyncIterator[Characters]:
    if request.param == "fake":
        yield FakeCharacters()
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisCharacters(redis)


def character(name: str) -> Character:
    return Character(id=name, name=name.title(), personality="Friendly", system_prompt="You are friendly.")


async def test_characters_belong_to_a_tenant(characters: Characters) -> None:
    assert await characters.add(ANN, character("zoe"))
    assert not await characters.add(BOB, character("zoe"))
    assert await characters.get(BOB, "zoe") == character("zoe")
    assert await characters.get(EVE, "zoe") is None
    assert await characters.add(EVE, character("zoe"))
    assert await characters.delete(ANN, "zoe")
    assert not await characters.delete(ANN, "zoe")
    assert [each.id for each in await characters.list(EVE)] == ["zoe"]
    assert not await characters.list(ANN)
