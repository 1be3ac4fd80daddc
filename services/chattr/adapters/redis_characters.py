"""Characters in Redis: a hash a tenant, id → JSON, another one of briefs, so that a list reads no character whole, and
one hash of all: the id of what is published → its tenant.

A write is one script, which touches both; so this needs one Redis with its replicas, not a Redis Cluster. A revision is
the hash of what is stored, so that records of every version have one. A brief says of which revision it is: a replica
of a version that knows no briefs may write meanwhile, or again after a rollback; what it wrote is read whole, once.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis

from chattr.adapters.large_records import Records
from chattr.adapters.redis_connection import PREFIX, key, told
from chattr.domain.character import Brief, Character
from chattr.domain.identity import Owner
from chattr.ports.records import StoredCharacter, Written

CLAIMS: Final = f"{PREFIX}:published"

UNCHANGED: Final = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local revision = stored and redis.sha1hex(stored) or ''
local claimed = redis.call('HGET', KEYS[2], ARGV[1])
"""
# KEYS characters claims briefs; ARGV id tenant expected json published brief. An empty `expected`: nothing is stored.
WRITE: Final = (
    UNCHANGED
    + """
if revision ~= ARGV[3] then return 'stale' end
if ARGV[5] == '1' then
  if claimed and claimed ~= ARGV[2] then return 'taken' end
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
elseif claimed == ARGV[2] then
  redis.call('HDEL', KEYS[2], ARGV[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('HSET', KEYS[3], ARGV[1], redis.sha1hex(ARGV[4]) .. ARGV[6])
return 'done'
"""
)
# KEYS characters briefs; ARGV ids. Redis hashes what it holds and sends the briefs alone.
BRIEFS: Final = """
local found = {}
for i, id in ipairs(ARGV) do
  local stored, brief = redis.call('HGET', KEYS[1], id), redis.call('HGET', KEYS[2], id)
  found[i] = stored and brief and string.sub(brief, 1, 40) == redis.sha1hex(stored) and string.sub(brief, 41)
end
return found
"""
# KEYS characters briefs; ARGV id revision brief.
RENEW: Final = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored and redis.sha1hex(stored) == ARGV[2] then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ARGV[3]) end
"""
# Characters that Redis looks at in one go: nobody else is answered meanwhile.
AT_ONCE: Final = 20
# KEYS characters claims briefs; ARGV id tenant expected.
DELETE: Final = (
    UNCHANGED
    + """
if not stored or revision ~= ARGV[3] then return 0 end
if claimed == ARGV[2] then redis.call('HDEL', KEYS[2], ARGV[1]) end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
"""
)


class RedisCharacters:
    """All tenants' characters."""

    def __init__(self, redis: Redis) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._write = redis.register_script(WRITE)
        self._delete = redis.register_script(DELETE)
        self._fresh = redis.register_script(BRIEFS)
        self._renew = redis.register_script(RENEW)
        self._records = Records(Character)

    async def get(self, owner: Owner, character_id: str) -> StoredCharacter | None:
        """Return one of the tenant's, or None."""
        with told():
            stored = await self._redis.hget(home(owner), character_id)
        return await self._whole(owner.tenant, stored) if stored else None

    async def some(self, places: Sequence[tuple[str, str]]) -> Sequence[StoredCharacter]:
        """Return those that are there, in the order in which they are named."""
        stored = await self._records_of(places)
        return [await self._whole(tenant, one) for (tenant, _), one in zip(places, stored, strict=True) if one]

    async def list(self, owner: Owner) -> Sequence[Brief]:
        """Return all of the tenant's, by id."""
        with told():
            names = await self._redis.hkeys(home(owner))
        return [brief for _, brief in await self._briefs([(owner.tenant, name.decode()) for name in sorted(names)])]

    async def published(self, character_id: str) -> StoredCharacter | None:
        """Return the one that any tenant published under this id, or None."""
        with told():
            tenant = await self._redis.hget(CLAIMS, character_id)
        found = await self.get(Owner(tenant.decode()), character_id) if tenant else None
        return found if found and found.character.published else None

    async def all_published(self) -> Sequence[tuple[str, Brief]]:
        """Return all that any tenant published, by id."""
        with told():
            claims = await self._redis.hgetall(CLAIMS)
        found = await self._briefs([(claims[name].decode(), name.decode()) for name in sorted(claims)])
        return [(tenant, brief) for tenant, brief in found if brief.published]  # one may have been withdrawn since

    async def write(self, owner: Owner, character: Character, expected: str | None) -> Written:
        """Store one, with its claim on the id where it is published."""
        published = int(character.published)
        args: list[str | int] = [character.id, owner.tenant, expected or "", character.model_dump_json(), published]
        args.append(Brief.of(character).model_dump_json())
        with told():
            outcome: bytes = await self._write(keys=keys_of(owner), args=args)
        return OUTCOMES[outcome]

    async def delete(self, owner: Owner, character_id: str, expected: str) -> bool:
        """Remove one, and its claim."""
        with told():
            return bool(await self._delete(keys=keys_of(owner), args=[character_id, owner.tenant, expected]))

    async def _whole(self, tenant: str, stored: bytes) -> StoredCharacter:
        """Read a record of any version."""
        revision = hashlib.sha1(stored, usedforsecurity=False).hexdigest()
        return StoredCharacter(await self._records.read(stored), tenant, revision)

    async def _briefs(self, places: Sequence[tuple[str, str]]) -> Sequence[tuple[str, Brief]]:
        """Return the briefs of what is there, each behind its tenant; what has none of its own is read whole."""
        briefs = {place: Brief.model_validate_json(brief) for place, brief in (await self._stored(places)).items()}
        for one in await self.some([place for place in places if place not in briefs]):
            brief = briefs[one.tenant, one.character.id] = Brief.of(one.character)
            keys = keys_of(Owner(one.tenant))[::2]
            with told():
                await self._renew(keys=keys, args=[one.character.id, one.revision, brief.model_dump_json()])
        return [(place[0], briefs[place]) for place in places if place in briefs]

    async def _stored(self, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """Return the briefs that are of what is stored now."""
        asked = [
            (tenant, names[first : first + AT_ONCE])
            for tenant, names in by_tenant(places).items()
            for first in range(0, len(names), AT_ONCE)
        ]
        with told():
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant, names in asked:
                    await self._fresh(keys=keys_of(Owner(tenant))[::2], args=names, client=pipe)
                answers = await pipe.execute()
        return {
            (tenant, name): brief
            for (tenant, names), answer in zip(asked, answers, strict=True)
            for name, brief in zip(names, answer, strict=True)
            if brief
        }

    async def _records_of(self, places: Sequence[tuple[str, str]]) -> Sequence[bytes | None]:
        """Read characters as they are stored, all in one go."""
        wanted = by_tenant(places)
        with told():
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant, names in wanted.items():
                    pipe.hmget(home(Owner(tenant)), names)
                answers = await pipe.execute()
        found = {
            (tenant, name): one
            for (tenant, names), answer in zip(wanted.items(), answers, strict=True)
            for name, one in zip(names, answer, strict=True)
        }
        return [found[place] for place in places]


OUTCOMES: Final[dict[bytes, Written]] = {b"done": "done", b"stale": "stale", b"taken": "taken"}


def home(owner: Owner) -> str:
    """Name a tenant's hash."""
    return key(owner.shared, "characters")


def keys_of(owner: Owner) -> list[str]:
    """Name what a write touches: characters, claims, briefs."""
    return [home(owner), CLAIMS, key(owner.shared, "briefs")]


def by_tenant(places: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Sort ids by their tenant."""
    sorted_out: dict[str, list[str]] = {}
    for tenant, name in places:
        sorted_out.setdefault(tenant, []).append(name)
    return sorted_out
