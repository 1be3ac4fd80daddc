"""Characters and conversations in Redis. Each write is one script or one MULTI: all of it, or nothing."""

from collections.abc import Sequence
from typing import Any

import orjson
from redis.asyncio import Redis

from chatacter.chassis.errors import NotFound
from chattr.adapters.redis_connection import key, told
from chattr.domain.character import Character
from chattr.domain.conversation import CONVERSATION_ID, Conversation, Message
from chattr.domain.identity import Owner

CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
"""
# Adds messages and moves the head only while the conversation exists, so that a deleted one stays deleted.
APPEND = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 2, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then redis.call('RPUSH', KEYS[3], ARGV[i]) end
end
redis.call('HSET', KEYS[1], 'head_id', ARGV[1])
return 1
"""
SET_LIVE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'live_reply_id', ARGV[1])
return 1
"""
END_LIVE = """
if redis.call('HGET', KEYS[1], 'live_reply_id') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'live_reply_id', 'null')
return 1
"""


class RedisCharacters:
    """A hash a tenant: id → the character's JSON."""

    def __init__(self, redis: Redis) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis

    async def get(self, owner: Owner, character_id: str) -> Character | None:
        """Return one, or None."""
        with told():
            stored = await self._redis.hget(key(owner.shared, "characters"), character_id)
        return Character.model_validate_json(stored) if stored else None

    async def list(self, owner: Owner) -> Sequence[Character]:
        """Return all of the tenant's, by id."""
        with told():
            stored = await self._redis.hgetall(key(owner.shared, "characters"))
        return [Character.model_validate_json(stored[name]) for name in sorted(stored)]

    async def add(self, owner: Owner, character: Character) -> bool:
        """Store a new one; False when the id is taken."""
        with told():
            return bool(
                await self._redis.hsetnx(key(owner.shared, "characters"), character.id, character.model_dump_json())
            )

    async def delete(self, owner: Owner, character_id: str) -> bool:
        """Remove one; False when there was none."""
        with told():
            return bool(await self._redis.hdel(key(owner.shared, "characters"), character_id))


class RedisConversations:
    """A sorted set of a person's conversations, and for each a hash (meta), a hash (messages) and a list (order)."""

    def __init__(self, redis: Redis) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._create = redis.register_script(CREATE)
        self._append = redis.register_script(APPEND)
        self._set_live = redis.register_script(SET_LIVE)
        self._end_live = redis.register_script(END_LIVE)

    async def create(self, owner: Owner, conversation: Conversation) -> bool:
        """Store a new one; False when the id is taken."""
        fields = [part for name, value in conversation.record().items() for part in (name, orjson.dumps(value))]
        with told():
            return bool(
                await self._create(
                    keys=[key(owner, "conversation", conversation.id), key(owner, "conversations")],
                    args=[conversation.id, conversation.created_at, *fields],
                )
            )

    async def get(self, owner: Owner, conversation_id: str) -> Conversation | None:
        """Return one, or None."""
        if not CONVERSATION_ID.fullmatch(conversation_id):
            return None
        with told():
            stored = await self._redis.hgetall(key(owner, "conversation", conversation_id))
        return Conversation.of_record(decoded(stored)) if stored else None

    async def list(self, owner: Owner, *, before: str | None, limit: int) -> Sequence[Conversation]:
        """Return the newest first."""
        index = key(owner, "conversations")
        with told():
            rank = await self._redis.zrevrank(index, before) if before else None
            start = 0 if rank is None else int(rank) + 1
            ids = await self._redis.zrevrange(index, start, start + limit - 1)
            async with self._redis.pipeline(transaction=False) as pipe:
                for conversation_id in ids:
                    pipe.hgetall(key(owner, "conversation", conversation_id.decode()))
                stored = await pipe.execute()
        return [Conversation.of_record(decoded(one)) for one in stored if one]

    async def append(self, owner: Owner, conversation_id: str, messages: Sequence[Message]) -> None:
        """Add messages and make the last of them the head. Raises `NotFound` when the conversation is gone."""
        home = key(owner, "conversation", conversation_id)
        flat = [part for message in messages for part in (message.id, orjson.dumps(message.record()))]
        with told():
            done = await self._append(
                keys=[home, f"{home}:messages", f"{home}:order"], args=[orjson.dumps(messages[-1].id), *flat]
            )
        if not done:
            raise gone(conversation_id)

    async def messages(self, owner: Owner, conversation_id: str) -> Sequence[Message]:
        """Return all messages of all branches, in the order in which they were added."""
        home = key(owner, "conversation", conversation_id)
        with told():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.lrange(f"{home}:order", 0, -1)
                pipe.hgetall(f"{home}:messages")
                order, stored = await pipe.execute()
        return [Message.of_record(orjson.loads(stored[name])) for name in order if name in stored]

    async def set_live(self, owner: Owner, conversation_id: str, reply_id: str) -> None:
        """Say which reply is being written."""
        with told():
            await self._set_live(keys=[key(owner, "conversation", conversation_id)], args=[orjson.dumps(reply_id)])

    async def end_live(self, owner: Owner, conversation_id: str, reply_id: str) -> None:
        """Take that back; a reply that began since stays."""
        with told():
            await self._end_live(keys=[key(owner, "conversation", conversation_id)], args=[orjson.dumps(reply_id)])

    async def delete(self, owner: Owner, conversation_id: str) -> bool:
        """Remove a conversation with its messages."""
        if not CONVERSATION_ID.fullmatch(conversation_id):
            return False
        home = key(owner, "conversation", conversation_id)
        with told():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(home)
                pipe.delete(f"{home}:messages", f"{home}:order")
                pipe.zrem(key(owner, "conversations"), conversation_id)
                removed = await pipe.execute()
        return bool(removed[0])


def decoded(stored: dict[bytes, bytes]) -> dict[str, Any]:
    """Read a meta hash."""
    return {name.decode(): orjson.loads(value) for name, value in stored.items()}


def gone(conversation_id: str) -> NotFound:
    """Say that a conversation does not exist."""
    return NotFound(f"There is no conversation {conversation_id!r}.", param="conversation_id")
