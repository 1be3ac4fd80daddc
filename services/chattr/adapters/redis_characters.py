"""Characters in Redis: a hash a tenant, id → JSON, and one hash of all: the id of what is published → its tenant.

A write is one script, which touches both; so this needs one Redis with its replicas, not a Redis Cluster. A revision is
the hash of what is stored, so that records of every version have one.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis

from chattr.adapters.redis_connection import PREFIX, key, told
from chattr.domain.character import Character
from chattr.domain.identity import Owner
from chattr.ports.records import StoredCharacter, Written

CLAIMS: Final = f"{PREFIX}:published"

UNCHANGED: Final = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local revision = stored and redis.sha1hex(stored) or ''
local claimed = redis.call('HGET', KEYS[2], ARGV[1])
"""
# KEYS characters claims; ARGV id tenant expected json published. An empty `expected` stands for nothing stored.
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
return 'done'
"""
)
# KEYS characters claims; ARGV id tenant expected.
DELETE: Final = (
    UNCHANGED
    + """
if not stored or revision ~= ARGV[3] then return 0 end
if claimed == ARGV[2] then redis.call('HDEL', KEYS[2], ARGV[1]) end
redis.call('HDEL', KEYS[1], ARGV[1])
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

    async def get(self, owner: Owner, character_id: str) -> StoredCharacter | None:
        """Return one of the tenant's, or None."""
        with told():
            stored = await self._redis.hget(home(owner), character_id)
        return read(owner.tenant, stored) if stored else None

    async def list(self, owner: Owner) -> Sequence[StoredCharacter]:
        """Return all of the tenant's, by id."""
        with told():
            stored = await self._redis.hgetall(home(owner))
        return [read(owner.tenant, stored[name]) for name in sorted(stored)]

    async def published(self, character_id: str) -> StoredCharacter | None:
        """Return the one that any tenant published under this id, or None."""
        with told():
            tenant = await self._redis.hget(CLAIMS, character_id)
        found = await self.get(Owner(tenant.decode()), character_id) if tenant else None
        return found if found and found.character.published else None

    async def all_published(self) -> Sequence[StoredCharacter]:
        """Return all that any tenant published, by id."""
        with told():
            claims = await self._redis.hgetall(CLAIMS)
            places = [(claims[name].decode(), name) for name in sorted(claims)]
            async with self._redis.pipeline(transaction=False) as pipe:
                for tenant, name in places:
                    pipe.hget(home(Owner(tenant)), name)
                stored = await pipe.execute()
        found = [read(tenant, one) for (tenant, _), one in zip(places, stored, strict=True) if one]
        return [one for one in found if one.character.published]  # one may have been withdrawn between the two

    async def write(self, owner: Owner, character: Character, expected: str | None) -> Written:
        """Store one, with its claim on the id where it is published."""
        published = int(character.published)
        args: list[str | int] = [character.id, owner.tenant, expected or "", character.model_dump_json(), published]
        with told():
            outcome: bytes = await self._write(keys=[home(owner), CLAIMS], args=args)
        return OUTCOMES[outcome]

    async def delete(self, owner: Owner, character_id: str, expected: str) -> bool:
        """Remove one, and its claim."""
        with told():
            return bool(await self._delete(keys=[home(owner), CLAIMS], args=[character_id, owner.tenant, expected]))


OUTCOMES: Final[dict[bytes, Written]] = {b"done": "done", b"stale": "stale", b"taken": "taken"}


def home(owner: Owner) -> str:
    """Name a tenant's hash."""
    return key(owner.shared, "characters")


def read(tenant: str, stored: bytes) -> StoredCharacter:
    """Read a record of any version."""
    revision = hashlib.sha1(stored, usedforsecurity=False).hexdigest()
    return StoredCharacter(Character.model_validate_json(stored), tenant, revision)
