"""Lorebooks in Redis: a hash a tenant, id → JSON, and another one of summaries, so that a list reads no entries."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from chattr.adapters.large_records import Records
from chattr.adapters.redis_connection import key, told
from chattr.domain.identity import Owner
from chattr.domain.lorebook.shared import SharedLorebook, Summary

# A change that was made for one lorebook leaves another alone: ARGV[2] is when that was changed last, or nothing.
STANDS = """
local summary = redis.call('HGET', KEYS[2], ARGV[1])
if ARGV[2] ~= '' and (not summary or cjson.decode(summary).updated_at ~= tonumber(ARGV[2])) then return 0 end
"""
# Writes both hashes, or neither: where the id is free (ARGV[5] = '0') or taken (ARGV[5] = '1').
WRITE = (
    STANDS
    + """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) ~= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
return 1
"""
)
DELETE = (
    STANDS
    + """
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
)


class RedisLorebooks:
    """Two hashes a tenant."""

    def __init__(self, redis: Redis) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._write = redis.register_script(WRITE)
        self._delete = redis.register_script(DELETE)
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
        return await self._written(owner, lorebook, None, "0")

    async def replace(self, owner: Owner, lorebook: SharedLorebook, over: SharedLorebook | None = None) -> bool:
        """Store one in the place of another; False when there is none, or it is not `over` any more."""
        return await self._written(owner, lorebook, over, "1")

    async def delete(self, owner: Owner, lorebook_id: str, over: SharedLorebook | None = None) -> bool:
        """Remove one; False when there was none, or it is not `over` any more."""
        with told():
            return bool(await self._delete(keys=places(owner), args=[lorebook_id, changed(over)]))

    async def _written(self, owner: Owner, lorebook: SharedLorebook, over: SharedLorebook | None, taken: str) -> bool:
        record, summary = lorebook.model_dump_json(), lorebook.summary().model_dump_json()
        with told():
            args = [lorebook.id, changed(over), record, summary, taken]
            return bool(await self._write(keys=places(owner), args=args))


def places(owner: Owner) -> list[str]:
    """Name the hashes of a tenant: the lorebooks, their summaries."""
    return [key(owner.shared, name) for name in ("lorebooks", "lorebook_summaries")]


def changed(lorebook: SharedLorebook | None) -> str:
    """Write when one was changed last, exactly; nothing where that does not matter."""
    return "" if lorebook is None else repr(lorebook.updated_at)
