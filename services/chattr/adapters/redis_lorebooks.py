"""Lorebooks in Redis: a hash a tenant, id → JSON, and another one of summaries, so that a list reads no entries."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from chattr.adapters.large_records import Records
from chattr.adapters.redis_connection import key, told
from chattr.domain.identity import Owner
from chattr.domain.lorebook.shared import SharedLorebook, Summary

# Writes both hashes, or neither: where the id is taken (ARGV[4] = '0') or must be (ARGV[4] = '1').
WRITE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) ~= tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
"""


class RedisLorebooks:
    """Two hashes a tenant."""

    def __init__(self, redis: Redis) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._write = redis.register_script(WRITE)
        self._records = Records(SharedLorebook)

    async def get(self, owner: Owner, lorebook_id: str) -> SharedLorebook | None:
        """Return one, or None."""
        with told():
            stored = await self._redis.hget(key(owner.shared, "lorebooks"), lorebook_id)
        return await self._records.read(stored) if stored else None

    async def some(self, owner: Owner, lorebook_ids: Sequence[str]) -> Sequence[SharedLorebook]:
        """Return those of them that are there, in the order in which they are named."""
        if not lorebook_ids:
            return []
        with told():
            stored = await self._redis.hmget(key(owner.shared, "lorebooks"), list(lorebook_ids))
        return [await self._records.read(each) for each in stored if each]

    async def list(self, owner: Owner) -> Sequence[Summary]:
        """Return all of the tenant's, by id."""
        with told():
            stored = await self._redis.hgetall(key(owner.shared, "lorebook_summaries"))
        return [Summary.model_validate_json(stored[name]) for name in sorted(stored)]

    async def add(self, owner: Owner, lorebook: SharedLorebook) -> bool:
        """Store a new one; False when the id is taken."""
        return await self._written(owner, lorebook, "0")

    async def replace(self, owner: Owner, lorebook: SharedLorebook) -> bool:
        """Store one in the place of another; False when there is none."""
        return await self._written(owner, lorebook, "1")

    async def delete(self, owner: Owner, lorebook_id: str) -> bool:
        """Remove one; False when there was none."""
        with told():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hdel(key(owner.shared, "lorebooks"), lorebook_id)
                pipe.hdel(key(owner.shared, "lorebook_summaries"), lorebook_id)
                removed = await pipe.execute()
        return bool(removed[0])

    async def _written(self, owner: Owner, lorebook: SharedLorebook, taken: str) -> bool:
        keys = [key(owner.shared, name) for name in ("lorebooks", "lorebook_summaries")]
        args = [lorebook.id, lorebook.model_dump_json(), lorebook.summary().model_dump_json(), taken]
        with told():
            return bool(await self._write(keys=keys, args=args))
