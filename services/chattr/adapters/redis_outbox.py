"""What waits for long-term memory, as one Redis stream with one consumer group for all replicas.

A stream keeps what a reader took until it says that it is done; what a crashed reader held goes to the next one after
the lease. What somebody had forgotten is kept beside it for good, in a hash of that person's.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from chatacter.chassis.errors import Unavailable
from chattr.adapters.redis_connection import AWAY, PREFIX, RETRY_AFTER, key, told
from chattr.domain.identity import Owner
from chattr.domain.memory import Changed, Selection
from chattr.ports.outbox import Entry

STREAM: Final = f"{PREFIX}:{{outbox}}:memories"
LESSONS: Final = f"{PREFIX}:{{outbox}}:lessons"
FULL_WINDOWS: Final = f"{PREFIX}:{{outbox}}:windows"
# Every replica reads under the same name: who holds an entry does not matter, only for how long.
GROUP: Final = "indexers"
CONSUMER: Final = "indexer"
LEASE_MS: Final = 30_000
BLOCK_MS: Final = 1_000
# Asked before every read, so that an emptied Redis needs no restart of ours. An existing group is left as it is.
OPEN: Final = """
redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
return redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], '0-0', 'COUNT', ARGV[4])
"""
# The later of two moments stands. That it is forgotten and that it is to be done are one write.
FORGET: Final = """
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before or tonumber(before) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
"""


class RedisOutbox:
    """A stream and the hashes."""

    def __init__(
        self, redis: Redis, *, stream: str = STREAM, lease_ms: int = LEASE_MS, block_ms: int = BLOCK_MS
    ) -> None:
        # redis-py's types know an answer to XCLAIM of another shape.
        self._redis: Any = redis
        self.lease = lease_ms / 1000
        self._stream = stream
        self._lease_ms = lease_ms
        self._block_ms = block_ms
        self._open = redis.register_script(OPEN)
        self._forget = redis.register_script(FORGET)

    async def note(self, owner: Owner, changes: Sequence[Changed]) -> None:
        """Put changes down, all or none."""
        with told():
            async with self._redis.pipeline(transaction=True) as pipe:
                for change in changes:
                    pipe.xadd(self._stream, fields(owner, change))
                await pipe.execute()

    async def forget(self, owner: Owner, what: Selection) -> None:
        """Put down what to forget, and keep for good that it was."""
        with told():
            await self._forget(keys=[key(owner, "forgotten"), self._stream], args=forgetting(owner, what))

    async def forgotten(self, owner: Owner) -> Sequence[Selection]:
        """Return all that this person had forgotten."""
        with told():
            stored = await self._redis.hgetall(key(owner, "forgotten"))
        return [
            replace(Selection.of_record(orjson.loads(selector)), until=float(until))
            for selector, until in stored.items()
        ]

    async def take(self, limit: int) -> Sequence[Entry]:
        """Lease entries whose lease ran out, else new ones."""
        with told():
            claimed = await self._open(keys=[self._stream], args=[GROUP, CONSUMER, self._lease_ms, limit])
            items = [(entry_id, paired(flat)) for entry_id, flat in filter(None, claimed[1]) if flat]
            if not items:
                items = await self._news(limit)
        return [entry(entry_id, stored) for entry_id, stored in items]

    async def _news(self, limit: int) -> list[tuple[Any, dict[bytes, bytes]]]:
        """Wait for new entries. A Redis that was emptied or changed its master meanwhile refuses: it is away."""
        block = min(self._block_ms, self._lease_ms)
        try:
            answer: Any = await self._redis.xreadgroup(GROUP, CONSUMER, {self._stream: ">"}, count=limit, block=block)
        except ResponseError as error:
            raise Unavailable(AWAY, retry_after=RETRY_AFTER) from error
        return [item for _, entries in answer or () for item in entries]

    async def hold(self, entries: Sequence[Entry]) -> None:
        """Begin the leases of entries anew."""
        if entries:
            ids = [one.id for one in entries]
            with told():
                await self._redis.xclaim(self._stream, GROUP, CONSUMER, 0, ids, justid=True)

    async def done(self, entries: Sequence[Entry]) -> None:
        """Strike entries off."""
        ids = [one.id for one in entries]
        with told():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xack(self._stream, GROUP, *ids)
                pipe.xdel(self._stream, *ids)
                await pipe.execute()

    async def waiting(self) -> int:
        """Count the entries not yet done."""
        with told():
            return int(await self._redis.xlen(self._stream))


def fields(owner: Owner, work: Changed | Selection) -> dict[Any, Any]:
    """Write an entry."""
    kind = "changed" if isinstance(work, Changed) else "forget"
    return {"tenant": owner.tenant, "person": owner.person, "kind": kind, "work": orjson.dumps(work.record())}


def flat(owner: Owner, work: Changed | Selection) -> list[Any]:
    """Write an entry as names and values by turns."""
    return [part for pair in fields(owner, work).items() for part in pair]


def in_one(owner: Owner, work: Changed | Selection) -> bytes:
    """Write an entry as one argument of a script that writes other things too."""
    return orjson.dumps([part.decode() if isinstance(part, bytes) else part for part in flat(owner, work)])


def entry(entry_id: bytes, stored: dict[bytes, bytes]) -> Entry:
    """Read what `fields` wrote, now or in an earlier version, which put down each turn as it was to be indexed."""
    owner = Owner(stored[b"tenant"].decode(), stored[b"person"].decode())
    record = orjson.loads(stored[b"work"])
    work: Changed | Selection
    match stored[b"kind"]:
        case b"changed":
            work = Changed.of_record(record)
        case b"remember":
            work = Changed(record["conversation_id"], (record["message_id"],))
        case _:
            work = Selection.of_record(record)
    return Entry(entry_id.decode(), owner, work)


def forgetting(owner: Owner, what: Selection) -> list[Any]:
    """Write what to forget as the arguments of `FORGET`."""
    if what.until is None:
        raise ValueError("forgetting needs a moment up to which it reaches")
    selector = orjson.dumps(replace(what, until=None).record(), option=orjson.OPT_SORT_KEYS)
    return [selector, repr(what.until), *flat(owner, what)]


def paired(flat: Sequence[Any]) -> dict[bytes, bytes]:
    """Read the fields of an entry out of a script's answer: names and values by turns."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
