"""Summaries in Redis: a hash beside each conversation that has any, and a set that names these conversations."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from chattr.adapters.redis_connection import key, told
from chattr.adapters.redis_conversations import summaries_key, within
from chattr.domain.conversation import CONVERSATION_ID
from chattr.domain.identity import Owner
from chattr.domain.summary import Summary

# What a summary ends with and was made of has to be there still: what was deleted stays deleted.
PUT: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then return 0 end
if ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[3], ARGV[3]) == 0 then return 0 end
if (redis.call('HGET', KEYS[3], ARGV[1]) or '') ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[5])
redis.call('SADD', KEYS[4], ARGV[6])
return 1
"""
DROP: Final = """
for i = 2, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
return 1
"""


class RedisSummaries:
    """The hashes and the set."""

    def __init__(self, redis: Redis) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._put = redis.register_script(PUT)
        self._drop = redis.register_script(DROP)

    async def of(self, owner: Owner, conversation_id: str) -> Sequence[Summary]:
        """Return all of one conversation."""
        if not CONVERSATION_ID.fullmatch(conversation_id):
            return []
        with told():
            stored = await self._redis.hvals(summaries_key(owner, conversation_id))
        return [Summary.of_record(orjson.loads(record)) for record in stored]

    async def put(self, owner: Owner, summary: Summary, *, instead_of: Summary | None = None) -> bool:
        """Keep a new one, or one in another's place."""
        home, messages, _ = within(owner, summary.conversation_id)
        before = orjson.dumps(instead_of.record()).decode() if instead_of else ""
        args: list[str | bytes] = [
            summary.id,
            summary.through_id,
            summary.previous_id or "",
            before,
            orjson.dumps(summary.record()),
        ]
        keys = [home, messages, summaries_key(owner, summary.conversation_id), key(owner, "summed")]
        with told():
            return bool(await self._put(keys=keys, args=[*args, summary.conversation_id]))

    async def drop(self, owner: Owner, conversation_id: str, ids: Sequence[str]) -> None:
        """Remove some of one conversation."""
        if ids:
            await self._struck_off(owner, conversation_id, ids)

    async def places(self, owner: Owner) -> Sequence[str]:
        """Return the conversations that have any; those that were deleted are struck off."""
        with told():
            named = sorted(name.decode() for name in await self._redis.smembers(key(owner, "summed")))
            async with self._redis.pipeline(transaction=False) as pipe:
                for each in named:
                    pipe.exists(summaries_key(owner, each))
                there = await pipe.execute()
        for each in (one for one, exists in zip(named, there, strict=True) if not exists):
            await self._struck_off(owner, each)
        return [each for each, exists in zip(named, there, strict=True) if exists]

    async def _struck_off(self, owner: Owner, conversation_id: str, ids: Sequence[str] = ()) -> None:
        """Remove some of one conversation, and its name where none is left."""
        with told():
            keys = [summaries_key(owner, conversation_id), key(owner, "summed")]
            await self._drop(keys=keys, args=[conversation_id, *ids])
