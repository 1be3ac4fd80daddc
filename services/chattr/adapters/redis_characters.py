"""Characters in Redis: a hash a tenant, id → JSON, another one of briefs, so that a list reads no character whole, and
one hash of all: the id of what is published → its tenant. What an earlier version stored has no brief.

A write is one script, which touches both; so this needs one Redis with its replicas, not a Redis Cluster. A revision is
the hash of what is stored, so that records of every version have one.
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
redis.call('HSET', KEYS[3], ARGV[1], ARGV[6])
return 'done'
"""
)
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
        self._records = Records(Character)

    async def get(self, owner: Owner, character_id: str) -> StoredCharacter | None:
        """Return one of the tenant's, or None."""
        with told():
            stored = await self._redis.hget(home(owner), character_id)
        return await self._whole(owner.tenant, stored) if stored else None

    async def some(self, places: Sequence[tuple[str, str]]) -> Sequence[StoredCharacter]:
        """Return those that are there, in the order in which they are named."""
        stored = await self._hashed("characters", places)
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
        """Return the briefs of what is there, each behind its tenant; what has none is read whole."""
        stored = dict(zip(places, await self._hashed("character_briefs", places), strict=True))
        whole = {
            (one.tenant, one.character.id): Brief.of(one.character)
            for one in await self.some([place for place, brief in stored.items() if not brief])
        }
        briefs = {place: Brief.model_validate_json(brief) for place, brief in stored.items() if brief} | whole
        return [(place[0], briefs[place]) for place in places if place in briefs]

    async def _hashed(self, kind: str, places: Sequence[tuple[str, str]]) -> Sequence[bytes | None]:
        """Read a field of each tenant's hash of a kind, all in one go."""
        by_tenant: dict[str, list[str]] = {}
        for tenant, name in places:
            by_tenant.setdefault(tenant, []).append(name)
        with told():
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant, names in by_tenant.items():
                    pipe.hmget(key(Owner(tenant).shared, kind), names)
                answers = await pipe.execute()
        found = {
            (tenant, name): one
            for (tenant, names), answer in zip(by_tenant.items(), answers, strict=True)
            for name, one in zip(names, answer, strict=True)
        }
        return [found[place] for place in places]


OUTCOMES: Final[dict[bytes, Written]] = {b"done": "done", b"stale": "stale", b"taken": "taken"}


def home(owner: Owner) -> str:
    """Name a tenant's hash."""
    return key(owner.shared, "characters")


def keys_of(owner: Owner) -> list[str]:
    """Name what a write touches."""
    return [home(owner), CLAIMS, key(owner.shared, "character_briefs")]
