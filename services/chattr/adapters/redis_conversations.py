"""Conversations in Redis. Each write is one script or one MULTI: all of it, or nothing."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from chatacter.chassis.errors import NotFound
from chattr.adapters.redis_connection import key, told
from chattr.adapters.redis_outbox import STREAM, fields, in_one
from chattr.domain.conversation import CONVERSATION_ID, OPENING_CHARACTERS, Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Changed

# A script that changes what is remembered of a conversation puts that down in the outbox with the same write: its last
# argument is the entry, its last key the stream. Without long-term memory the entry is empty.
NOTE: Final = """
local entry = table.remove(ARGV)
local function note()
  if entry ~= '' then redis.call('XADD', KEYS[#KEYS], '*', unpack(cjson.decode(entry))) end
end
"""
# Messages come as three arguments each: id, the id of its parent or nothing, the record. A hash may not be unpacked
# from thousands of arguments at once, so they are written one by one.
CREATE: Final = (
    NOTE
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local fields = tonumber(ARGV[3])
for i = 4, 3 + 2 * fields, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
for i = 4 + 2 * fields, #ARGV, 3 do
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 2])
  redis.call('RPUSH', KEYS[4], ARGV[i])
end
if #ARGV > 4 + 2 * fields then note() end
return 1
"""
)
# Looks before it writes: the conversation and each parent must be there, so that what was deleted stays deleted. With
# ARGV[1] == '' the last message becomes the head, else only where the head is ARGV[1] still. What is there already is
# written and made the head no second time: a command whose answer was lost is sent again.
APPEND: Final = (
    NOTE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local added = {}
for i = 2, #ARGV, 3 do
  local parent = ARGV[i + 1]
  if parent ~= '' and not added[parent] and redis.call('HEXISTS', KEYS[2], parent) == 0 then return -2 end
  added[ARGV[i]] = true
end
local head = redis.call('HGET', KEYS[1], 'head_id') or 'null'
local tip, new = head, 0
for i = 2, #ARGV, 3 do
  local parent = ARGV[i + 1] == '' and 'null' or '"' .. ARGV[i + 1] .. '"'
  new = redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 2])
  if new == 1 then
    redis.call('RPUSH', KEYS[3], ARGV[i])
    if parent ~= tip then redis.call('HSET', KEYS[1], 'branched', 'true') end
  end
  tip = '"' .. ARGV[i] .. '"'
end
redis.call('HINCRBY', KEYS[1], 'revision', 1)
note()
if new == 0 or (ARGV[1] ~= '' and ARGV[1] ~= head) then return 0 end
redis.call('HSET', KEYS[1], 'head_id', tip)
return 1
"""
)
UPDATE: Final = (
    NOTE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if ARGV[1] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return -2 end
if ARGV[2] ~= '' and (redis.call('HGET', KEYS[1], 'revision') or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
local remembered = ARGV[1] ~= ''
if remembered then redis.call('HSET', KEYS[1], 'branched', 'true') end
for i = 3, #ARGV, 2 do remembered = remembered or ARGV[i] == 'persona' end
if remembered then note() end
redis.call('HINCRBY', KEYS[1], 'revision', 1)
return 1
"""
)
PRUNE: Final = (
    NOTE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if (redis.call('HGET', KEYS[1], 'revision') or '0') ~= ARGV[1] then return 0 end
for i = #ARGV, 3, -1 do
  redis.call('HDEL', KEYS[2], ARGV[i])
  redis.call('LREM', KEYS[3], -1, ARGV[i])
end
local summed = redis.call('HGETALL', KEYS[4])
for i = 1, #summed, 2 do
  if redis.call('HEXISTS', KEYS[2], cjson.decode(summed[i + 1]).through_id) == 0 then
    redis.call('HDEL', KEYS[4], summed[i])
  end
end
redis.call('HSET', KEYS[1], 'head_id', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'revision', 1)
note()
return 1
"""
)
SET_LIVE: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'live_reply_id', ARGV[1])
return 1
"""
END_LIVE: Final = """
if redis.call('HGET', KEYS[1], 'live_reply_id') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'live_reply_id', 'null')
return 1
"""
# The person's first message stands behind the greetings: a conversation is read up to there and no further.
OPENING: Final = """
for _, id in ipairs(redis.call('LRANGE', KEYS[2], 0, ARGV[1])) do
  local stored = redis.call('HGET', KEYS[1], id)
  local said = stored and cjson.decode(stored)
  if said and said.role == 'user' then return string.sub(said.content, 1, ARGV[2]) end
end
return false
"""
# A group of the most members with the most greetings opens with no more.
MOST_GREETINGS: Final = 256
GONE: Final = -1
ORPHAN: Final = -2
NO_PAGE: Final = "The conversation that the page before ended with is not there; list from the beginning again."
NO_PARENT: Final = "The message that this belongs to is no longer there."


class RedisConversations:
    """A sorted set of a person's conversations, and for each a hash (meta), a hash (messages) and a list (order).

    `noted`: what changes is put down in the outbox, which lies on the same server.
    """

    def __init__(self, redis: Redis, *, noted: bool = True) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._noted = noted
        self._create = redis.register_script(CREATE)
        self._append = redis.register_script(APPEND)
        self._opening = redis.register_script(OPENING)
        self._update = redis.register_script(UPDATE)
        self._prune = redis.register_script(PRUNE)
        self._set_live = redis.register_script(SET_LIVE)
        self._end_live = redis.register_script(END_LIVE)

    async def create(self, owner: Owner, conversation: Conversation, messages: Sequence[Message] = ()) -> bool:
        """Store a new one with its first messages; False when the id is taken."""
        meta = [part for name, value in conversation.record().items() for part in (name, orjson.dumps(value))]
        keys = [key(owner, "conversation", conversation.id), key(owner, "conversations")]
        args = [conversation.id, conversation.created_at, len(meta) // 2, *meta, *flat(messages)]
        keys += [*within(owner, conversation.id)[1:], STREAM]
        with told():
            return bool(await self._create(keys=keys, args=[*args, self._entry(owner, conversation.id)]))

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
            rank = await self._redis.zrevrank(index, before) if before is not None else -1
            if rank is None:
                raise NotFound(NO_PAGE, param="after")
            start = int(rank) + 1
            ids = await self._redis.zrevrange(index, start, start + limit - 1)
            async with self._redis.pipeline(transaction=False) as pipe:
                for conversation_id in ids:
                    pipe.hgetall(key(owner, "conversation", conversation_id.decode()))
                stored = await pipe.execute()
        return [Conversation.of_record(decoded(one)) for one in stored if one]

    async def openings(self, owner: Owner, conversation_ids: Sequence[str]) -> Sequence[str | None]:
        """Return the beginning of what the person said first in each, None where that is nothing."""
        bytes_at_most = 4 * OPENING_CHARACTERS
        with told():
            async with self._redis.pipeline(transaction=False) as pipe:
                for each in conversation_ids:
                    _, *keys = within(owner, each)
                    await self._opening(keys=keys, args=[MOST_GREETINGS, bytes_at_most], client=pipe)
                found = await pipe.execute()
        return [said.decode(errors="ignore")[:OPENING_CHARACTERS] if said is not None else None for said in found]

    async def append(self, owner: Owner, conversation_id: str, messages: Sequence[Message]) -> None:
        """Add messages and make the last of them the head. Raises `NotFound`."""
        await self._appended(owner, conversation_id, messages, "")

    async def answer(self, owner: Owner, conversation_id: str, message: Message, *, begun_at: str | None) -> bool:
        """Add a reply; it becomes the head only where that is still `begun_at`. Raises `NotFound`."""
        return await self._appended(owner, conversation_id, [message], orjson.dumps(begun_at)) == 1

    async def _appended(
        self, owner: Owner, conversation_id: str, messages: Sequence[Message], begun_at: str | bytes
    ) -> int:
        entry = self._entry(owner, conversation_id, tuple(message.id for message in messages))
        keys = [*within(owner, conversation_id), STREAM]
        with told():
            done = int(await self._append(keys=keys, args=[begun_at, *flat(messages), entry]))
        require_there(done, conversation_id)
        return done

    def _entry(self, owner: Owner, conversation_id: str, message_ids: tuple[str, ...] | None = None) -> bytes:
        """Write the outbox' entry of a change, as the scripts take it."""
        return in_one(owner, Changed(conversation_id, message_ids)) if self._noted else b""

    async def messages(self, owner: Owner, conversation_id: str) -> Sequence[Message]:
        """Return all messages of all branches, in the order in which they were added."""
        _, messages, order = within(owner, conversation_id)
        with told():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.lrange(order, 0, -1)
                pipe.hgetall(messages)
                ids, stored = await pipe.execute()
        return [Message.of_record(orjson.loads(stored[name])) for name in ids if name in stored]

    async def update(
        self, owner: Owner, conversation: Conversation, *names: str, at_revision: int | None = None
    ) -> bool:
        """Write the fields of these names; False where it is at another revision. Raises `NotFound`."""
        record = conversation.record()
        written = [part for name in ("schema_version", *names) for part in (name, orjson.dumps(record[name]))]
        head = conversation.head_id if "head_id" in names else None
        args: list[Any] = [head or "", "" if at_revision is None else at_revision, *written]
        keys = [*within(owner, conversation.id), STREAM]
        with told():
            done = await self._update(keys=keys, args=[*args, self._entry(owner, conversation.id)])
        require_there(done, conversation.id)
        return bool(done)

    async def prune(self, owner: Owner, conversation: Conversation, removed: Sequence[str]) -> bool:
        """Remove messages and write the head; False where the conversation changed since. Raises `NotFound`."""
        args: list[Any] = [conversation.revision, orjson.dumps(conversation.head_id), *removed]
        keys = [*within(owner, conversation.id), summaries_key(owner, conversation.id), STREAM]
        with told():
            done = await self._prune(keys=keys, args=[*args, self._entry(owner, conversation.id)])
        require_there(done, conversation.id)
        return bool(done)

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
        with told():
            async with self._redis.pipeline(transaction=True) as pipe:
                for each in (*within(owner, conversation_id), summaries_key(owner, conversation_id)):
                    pipe.delete(each)
                pipe.zrem(key(owner, "conversations"), conversation_id)
                if self._noted:
                    pipe.xadd(STREAM, fields(owner, Changed(conversation_id)))
                removed = await pipe.execute()
        return bool(removed[0])


def within(owner: Owner, conversation_id: str) -> list[str]:
    """Name the keys of one conversation: what is known of it, its messages, their order."""
    home = key(owner, "conversation", conversation_id)
    return [home, f"{home}:messages", f"{home}:order"]


def summaries_key(owner: Owner, conversation_id: str) -> str:
    """Name the hash of a conversation's summaries, which go with the messages that they end with."""
    return key(owner, "conversation", conversation_id, "summaries")


def flat(messages: Sequence[Message]) -> list[str | bytes]:
    """Write messages as the scripts take them."""
    return [part for each in messages for part in (each.id, each.parent_id or "", orjson.dumps(each.record()))]


def decoded(stored: dict[bytes, bytes]) -> dict[str, Any]:
    """Read a meta hash."""
    return {name.decode(): orjson.loads(value) for name, value in stored.items()}


def require_there(done: int, conversation_id: str) -> None:
    """Say what a script found missing. Raises `NotFound`."""
    if done == GONE:
        raise NotFound(f"There is no conversation {conversation_id!r}.", param="conversation_id")
    if done == ORPHAN:
        raise NotFound(NO_PARENT, param="message_id")
