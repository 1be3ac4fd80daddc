"""Kept answers of the language model in Redis."""

import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from chattr.adapters.redis_connection import key, told
from chattr.domain.identity import Owner
from chattr.ports.language import Chunk
from chattr.ports.replies import LARGEST_REPLY, KeptReply

SCHEMA_VERSION: Final = 1


class RedisReplyCache:
    """One JSON value an answer, which Redis lets run out, and for each person a set of their fingerprints by the moment
    at which they do.
    """

    def __init__(self, redis: Redis, *, ttl: int) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._ttl = ttl

    async def find(self, owner: Owner, fingerprint: str) -> KeptReply | None:
        """Return a kept answer; one of another version is as good as none."""
        name = key(owner, "replies", fingerprint)
        with told():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.get(name)
                pipe.pttl(name)
                stored, left = await pipe.execute()
        if stored is None or left <= 0:
            return None
        record = orjson.loads(stored)
        return KeptReply(record["chunks"], left // 1000) if record["schema_version"] == SCHEMA_VERSION else None

    async def keep(self, owner: Owner, fingerprint: str, chunks: Sequence[Chunk]) -> bool:
        """Keep an answer."""
        data = orjson.dumps({"schema_version": SCHEMA_VERSION, "chunks": chunks})
        if len(data) > LARGEST_REPLY:
            return False
        index, now = key(owner, "kept"), time.time()
        with told():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(key(owner, "replies", fingerprint), data, ex=self._ttl)
                pipe.zremrangebyscore(index, 0, now)
                pipe.zadd(index, {fingerprint: now + self._ttl})
                pipe.expire(index, self._ttl)
                await pipe.execute()
        return True

    async def drop(self, owner: Owner) -> None:
        """Remove all that is kept for a person."""
        index = key(owner, "kept")
        with told():
            kept: list[bytes] = await self._redis.zrange(index, 0, -1)
            await self._redis.unlink(index, *(key(owner, "replies", each.decode()) for each in kept))
