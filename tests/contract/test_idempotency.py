"""Kept answers: one suite over the fake and a real Redis."""

from collections.abc import AsyncIterator

import pytest

from chatacter.chassis.errors import Conflict, InvalidInput
from chattr.adapters.fakes.cache import FakeIdempotency
from chattr.adapters.redis_cache import RedisIdempotency
from chattr.adapters.redis_connection import connected
from chattr.domain.identity import Owner
from chattr.ports.cache import IdempotencyStore, KeptAnswer

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
EVE = Owner("evil", "ann")
ANSWER = KeptAnswer(201, (("content-type", "application/json"),), b'{"id": 1}\x00\xff')


@pytest.fixture(params=["fake", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[IdempotencyStore]:
    if request.param == "fake":
        yield FakeIdempotency()
        return
    async with connected(request.getfixturevalue("redis_url")) as redis:
        yield RedisIdempotency(redis, ttl=60)


async def test_the_first_answer_is_given_again(store: IdempotencyStore) -> None:
    assert await store.begin(ANN, "k", "print") is None
    await store.finish(ANN, "k", "print", ANSWER)
    assert await store.begin(ANN, "k", "print") == ANSWER


async def test_a_twin_of_a_running_request_is_refused(store: IdempotencyStore) -> None:
    await store.begin(ANN, "k", "print")
    with pytest.raises(Conflict):
        await store.begin(ANN, "k", "print")


async def test_a_key_serves_one_request_only(store: IdempotencyStore) -> None:
    await store.begin(ANN, "k", "print")
    for _ in ("while it runs", "once it is answered"):
        with pytest.raises(InvalidInput) as told:
            await store.begin(ANN, "k", "another")
        assert not isinstance(told.value, Conflict)
        await store.finish(ANN, "k", "print", ANSWER)


async def test_a_key_given_back_can_be_claimed_anew(store: IdempotencyStore) -> None:
    await store.begin(ANN, "k", "print")
    await store.abandon(ANN, "k")
    assert await store.begin(ANN, "k", "another") is None


@pytest.mark.parametrize("stranger", [BOB, EVE])
async def test_people_and_tenants_do_not_share_keys(store: IdempotencyStore, stranger: Owner) -> None:
    await store.begin(ANN, "k", "print")
    await store.finish(ANN, "k", "print", ANSWER)
    assert await store.begin(stranger, "k", "print") is None
