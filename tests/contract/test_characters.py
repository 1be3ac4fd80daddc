"""Characters: one suite over the fake and a real Redis."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.redis_characters import RedisCharacters
from chattr.adapters.redis_connection import connected
from chattr.domain.character import Brief, Character
from chattr.domain.identity import Owner
from chattr.ports.records import Characters, StoredCharacter

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


def character(named: str, **more: object) -> Character:
    fields = {"id": named, "name": named.title(), "personality": "Friendly", "system_prompt": "You are friendly."}
    return Character.model_validate({**fields, **more})


async def there(characters: Characters, owner: Owner, name: str = "zoe") -> StoredCharacter:
    found = await characters.get(owner, name)
    assert found is not None
    return found


async def test_characters_belong_to_a_tenant(characters: Characters) -> None:
    assert await characters.write(ANN, character("zoe"), None) == "done"
    assert (await there(characters, BOB)).character == character("zoe")
    assert await characters.get(EVE, "zoe") is None
    assert await characters.write(EVE, character("zoe", description="Eve's"), None) == "done"
    assert await characters.delete(ANN, "zoe", (await there(characters, ANN)).revision)
    assert list(await characters.list(EVE)) == [Brief.of(character("zoe", description="Eve's"))]
    assert [one.tenant for one in await characters.some([("acme", "zoe"), ("evil", "zoe"), ("evil", "no")])] == ["evil"]
    assert not await characters.list(ANN)


async def test_a_write_holds_for_the_state_that_it_was_made_on(characters: Characters) -> None:
    assert await characters.write(ANN, character("zoe"), "no such revision") == "stale"
    assert await characters.write(ANN, character("zoe"), None) == "done"
    assert await characters.write(BOB, character("zoe", scenario="late"), None) == "stale"
    first = await there(characters, ANN)
    assert await characters.write(ANN, character("zoe", scenario="new"), first.revision) == "done"
    assert await characters.write(BOB, character("zoe", scenario="late"), first.revision) == "stale"
    second = await there(characters, ANN)
    assert second.character.scenario == "new"
    assert second.revision != first.revision
    assert not await characters.delete(ANN, "zoe", first.revision)
    assert await characters.delete(ANN, "zoe", second.revision)
    assert not await characters.delete(ANN, "zoe", second.revision)
    assert await characters.write(ANN, character("zoe"), second.revision) == "stale"


async def test_of_many_writers_on_one_state_one_wins(characters: Characters) -> None:
    await characters.write(ANN, character("zoe"), None)
    read = await there(characters, ANN)
    changes = [character("zoe", scenario=f"number {number}") for number in range(12)]
    outcomes = await asyncio.gather(*(characters.write(ANN, each, read.revision) for each in changes))
    assert sorted(outcomes) == ["done", *["stale"] * 11]
    assert (await there(characters, ANN)).character == changes[outcomes.index("done")]


async def test_what_is_published_has_one_id_among_all_tenants(characters: Characters) -> None:
    assert await characters.write(EVE, character("zoe"), None) == "done"
    assert await characters.published("zoe") is None
    assert await characters.write(ANN, character("zoe", published=True), None) == "done"
    found = await characters.published("zoe")
    assert found is not None
    assert (found.tenant, found) == ("acme", await there(characters, ANN))
    assert list(await characters.all_published()) == [("acme", Brief.of(found.character))]
    assert list(await characters.some([("acme", "zoe")])) == [found]
    hers = await there(characters, EVE)
    assert await characters.write(EVE, character("zoe", published=True), hers.revision) == "taken"
    assert await there(characters, EVE) == hers, "a refused write changes nothing"
    changed = character("zoe", published=True, scenario="new")
    assert await characters.write(ANN, changed, found.revision) == "done"
    assert list(await characters.all_published()) == [("acme", Brief.of(changed))]


@pytest.mark.parametrize("by", ["withdrawing", "deleting"])
async def test_an_id_is_free_again_when_it_is_published_no_more(characters: Characters, by: str) -> None:
    await characters.write(ANN, character("zoe", published=True), None)
    revision = (await there(characters, ANN)).revision
    if by == "withdrawing":
        assert await characters.write(ANN, character("zoe"), revision) == "done"
    else:
        assert await characters.delete(ANN, "zoe", revision)
    assert await characters.published("zoe") is None
    assert not await characters.all_published()
    assert await characters.write(EVE, character("zoe", published=True), None) == "done"
    if by == "withdrawing":
        assert await characters.delete(ANN, "zoe", (await there(characters, ANN)).revision)
    found = await characters.published("zoe")
    assert found is not None
    assert found.tenant == "evil", "what does not hold a claim cannot give it up"


async def test_of_many_tenants_that_publish_one_id_one_gets_it(characters: Characters) -> None:
    tenants = [Owner(f"tenant-{number}") for number in range(8)]
    outcomes = await asyncio.gather(*(characters.write(one, character("zoe", published=True), None) for one in tenants))
    assert sorted(outcomes) == ["done", *["taken"] * 7]
    found = await characters.published("zoe")
    assert found is not None
    assert found.tenant == tenants[outcomes.index("done")].tenant


@pytest.mark.parametrize("version", [1, 2])
async def test_what_an_older_version_stored_is_read_and_changed(redis_url: str, version: int) -> None:
    old = {"id": "zoe", "name": "Zoe", "personality": "Friendly", "schema_version": version}
    async with connected(redis_url) as redis:
        await redis.hset("chatacter:{acme/-}:characters", "zoe", json.dumps(old))
        characters = RedisCharacters(redis)
        found = await there(characters, ANN)
        assert (found.character.schema_version, found.character.published) == (version, False)
        assert list(await characters.list(ANN)) == [Brief.of(found.character)], "it has no brief yet"
        assert await characters.write(ANN, character("zoe"), found.revision) == "done"
        assert (await there(characters, ANN)).character.schema_version == 3
        assert list(await characters.list(ANN)) == [Brief.of(character("zoe"))]


# Word for word how a version that knows no briefs writes.
WRITE_WITHOUT_BRIEFS = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local revision = stored and redis.sha1hex(stored) or ''
local claimed = redis.call('HGET', KEYS[2], ARGV[1])
if revision ~= ARGV[3] then return 'stale' end
if ARGV[5] == '1' then
  if claimed and claimed ~= ARGV[2] then return 'taken' end
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
elseif claimed == ARGV[2] then
  redis.call('HDEL', KEYS[2], ARGV[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
return 'done'
"""


async def test_a_list_shows_what_a_replica_of_an_older_version_wrote(redis_url: str) -> None:
    """A rolling upgrade, and an upgrade after a rollback: both versions write by turns."""
    async with connected(redis_url) as redis:
        new = RedisCharacters(redis)

        async def old(one: Character, expected: str) -> None:
            keys = ["chatacter:{acme/-}:characters", "chatacter:published"]
            args = [one.id, "acme", expected, one.model_dump_json(), int(one.published)]
            assert await redis.eval(WRITE_WITHOUT_BRIEFS, 2, *keys, *args) == b"done"

        await new.write(ANN, character("zoe", name="Ann"), None)
        for name in ("Bob", "Eve"):
            await old(character("zoe", name=name, published=True), (await there(new, ANN)).revision)
            assert [one.name for one in await new.list(ANN)] == [name], "of the very same length"
            assert [(tenant, one.name) for tenant, one in await new.all_published()] == [("acme", name)]
            await new.write(ANN, character("zoe", name="Zoe"), (await there(new, ANN)).revision)
            assert [one.name for one in await new.list(ANN)] == ["Zoe"]
            assert await new.all_published() == []
        await redis.hdel("chatacter:{acme/-}:characters", "zoe")  # as it deletes
        assert await new.list(ANN) == []
        await old(character("zoe", name="Amy"), "")
        assert [one.name for one in await new.list(ANN)] == ["Amy"]


async def test_what_was_read_whole_for_a_list_is_not_read_whole_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(redis_url) as redis:
        characters = RedisCharacters(redis)
        stored = {f"zoe-{number}": character(f"zoe-{number}").model_dump_json() for number in range(120)}
        await redis.hset("chatacter:{acme/-}:characters", mapping=stored)
        assert len(await characters.list(ANN)) == 120
        read: list[object] = []
        some = characters.some

        async def counted(places: Sequence[tuple[str, str]]) -> Sequence[StoredCharacter]:
            read.extend(places)
            return await some(places)

        monkeypatch.setattr(characters, "some", counted)
        assert [one.id for one in await characters.list(ANN)] == sorted(stored)
        assert read == []


class Watched(RedisCharacters):
    """Characters of a Redis; told by their ids which records it was asked to hash, script by script."""

    def __init__(self, redis: Redis, clock: Callable[[], float]) -> None:
        super().__init__(redis, clock)
        self.hashed: list[list[str]] = []

    async def _asked(self, script: Any, tenant: str, names: Sequence[str]) -> Any:
        if script is self._proven:
            self.hashed.append(list(names))
        return await super()._asked(script, tenant, names)


async def test_a_list_has_redis_hash_little_at_a_time_and_what_is_large_not_each_time(redis_url: str) -> None:
    now = 0.0
    said = ("語" * 4_000,) * 16
    async with connected(redis_url) as redis:
        characters = Watched(redis, lambda: now)
        for number in range(4):
            for one in (character(f"large-{number}", greetings=said), character(f"small-{number}")):
                assert await characters.write(ANN, one, None) == "done"
        await characters.list(ANN)
        smalls = [f"small-{number}" for number in range(4)]
        assert characters.hashed == [["large-0"], ["large-1"], ["large-2"], ["large-3", *smalls]]
        characters.hashed.clear()
        await characters.list(ANN)
        assert characters.hashed == [smalls]

        async def put(one: Character) -> None:
            """Write as a version does that knows no briefs."""
            await redis.hset("chatacter:{acme/-}:characters", one.id, one.model_dump_json())

        async def named() -> str:
            return next(one.name for one in await characters.list(ANN) if one.id == "large-0")

        await put(character("large-0", greetings=said, name="Of another length"))
        assert await named() == "Of another length"
        await named()
        await put(character("large-0", greetings=said, name="Of the one length"))
        assert await named() == "Of another length", "which is believed for a minute"
        now += 61
        assert await named() == "Of the one length"
        revision = (await there(characters, ANN, "large-0")).revision
        assert await characters.write(ANN, character("large-0", greetings=said, name="Here"), revision) == "done"
        assert await named() == "Here", "what a replica of this version writes is seen at once"
