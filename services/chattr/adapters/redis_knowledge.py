"""Knowledge in Redis: a hash of a person's facts, one of what they did to memories, and a set for each conversation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from chattr.adapters.redis_connection import key, told
from chattr.adapters.redis_outbox import FORGET, STREAM, forgetting, in_one
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, Fact
from chattr.domain.memory import Changed, Selection
from chattr.ports.knowledge import Facts

REVISION: Final = b"revision"
# Facts are written as a whole, as they are worked out from one another. What follows the three first arguments: names
# to remove, names and records to write, and the outbox' entries, each a list of fields.
WRITE: Final = """
if (redis.call('HGET', KEYS[1], 'revision') or '0') ~= ARGV[1] then return 0 end
local removed, written = tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 4, 3 + removed do redis.call('HDEL', KEYS[1], ARGV[i]) end
for i = 4 + removed, 3 + removed + 2 * written, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HINCRBY', KEYS[1], 'revision', 1)
for i = 4 + removed + 2 * written, #ARGV do redis.call('XADD', KEYS[2], '*', unpack(cjson.decode(ARGV[i]))) end
return 1
"""
# Earlier versions kept no revision with what was done to a memory; that counts as the first.
AMEND: Final = """
local kept = redis.call('HGET', KEYS[1], ARGV[1])
local revision = 0
if kept then revision = cjson.decode(kept).revision or 1 end
if revision ~= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HINCRBY', KEYS[2], 'revision', 1)
redis.call('XADD', KEYS[3], '*', unpack(cjson.decode(ARGV[4])))
return 1
"""
# KEYS forgotten stream facts; the last argument is the revision, what stands before it is the outbox'.
FORGET_AT: Final = f"""
if (redis.call('HGET', KEYS[3], 'revision') or '0') ~= table.remove(ARGV) then return 0 end
{FORGET}
return 1
"""


class RedisKnowledge:
    """The hashes and sets."""

    def __init__(self, redis: Redis) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._write = redis.register_script(WRITE)
        self._amend = redis.register_script(AMEND)
        self._forget = redis.register_script(FORGET_AT)

    async def facts(self, owner: Owner) -> Facts:
        """Return a person's facts."""
        with told():
            stored = await self._redis.hgetall(key(owner, "facts"))
        revision = int(stored.pop(REVISION, b"0"))
        return Facts([Fact.of_record(orjson.loads(stored[name])) for name in sorted(stored)], revision)

    async def revision(self, owner: Owner) -> int:
        """Return how often facts and amendments changed."""
        with told():
            return int(await self._redis.hget(key(owner, "facts"), REVISION) or 0)

    async def write_facts(self, owner: Owner, before: Facts, after: Sequence[Fact]) -> Facts | None:
        """Put facts in the place of what was read; None where that changed since."""
        old, new = {fact.id: fact for fact in before.all}, {fact.id: fact for fact in after}
        removed = [each for each in old if each not in new]
        written = [fact for fact in after if old.get(fact.id) != fact]
        if not removed and not written:
            return before
        records = [part for fact in written for part in (fact.id, orjson.dumps(fact.record()))]
        entries = [in_one(owner, Changed(each)) for each in places([*written, *(old[each] for each in removed)])]
        args = [before.revision, len(removed), len(written), *removed, *records, *entries]
        with told():
            done = await self._write(keys=[key(owner, "facts"), STREAM], args=args)
        return Facts(sorted(after, key=lambda fact: fact.id), before.revision + 1) if done else None

    async def learned(self, owner: Owner, conversation_id: str) -> frozenset[str]:
        """Return the messages from which facts were drawn already."""
        with told():
            return frozenset(name.decode() for name in await self._redis.smembers(learned_key(owner, conversation_id)))

    async def note_learned(self, owner: Owner, conversation_id: str, message_ids: Sequence[str]) -> None:
        """Say that facts were drawn from messages."""
        if message_ids:
            with told():
                await self._redis.sadd(learned_key(owner, conversation_id), *message_ids)

    async def amendments(self, owner: Owner) -> Mapping[str, Amendment]:
        """Return what a person did to memories."""
        with told():
            stored = await self._redis.hgetall(key(owner, "amended"))
        return {name.decode(): Amendment.of_record(orjson.loads(record)) for name, record in stored.items()}

    async def amend(self, owner: Owner, amendment: Amendment) -> bool:
        """Keep what was done to a memory; False where something else was done meanwhile."""
        memory, record = amendment.memory, replace(amendment, revision=amendment.revision + 1).record()
        args: list[Any] = [memory.id, amendment.revision, orjson.dumps(record)]
        args.append(in_one(owner, Changed(memory.conversation_id)))
        with told():
            return bool(await self._amend(keys=[key(owner, "amended"), key(owner, "facts"), STREAM], args=args))

    async def forget(self, owner: Owner, what: Selection, *, revision: int) -> bool:
        """Put down what to forget; False where facts or amendments changed since."""
        keys = [key(owner, "forgotten"), STREAM, key(owner, "facts")]
        with told():
            return bool(await self._forget(keys=keys, args=[*forgetting(owner, what), revision]))

    async def drop(self, owner: Owner, ids: Sequence[str]) -> None:
        """Forget what was done to memories."""
        if ids:
            with told():
                await self._redis.hdel(key(owner, "amended"), *ids)

    async def drop_conversation(self, owner: Owner, conversation_id: str) -> None:
        """Forget from which messages of a conversation facts were drawn."""
        with told():
            await self._redis.delete(learned_key(owner, conversation_id))


def learned_key(owner: Owner, conversation_id: str) -> str:
    """Name the set of a conversation."""
    return key(owner, "conversation", conversation_id, "learned")


def places(facts: Iterable[Fact]) -> list[str]:
    """Return the conversations whose memory has to follow facts."""
    return sorted({source.conversation_id for fact in facts for source in fact.sources})
