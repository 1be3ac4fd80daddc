"""Recent turns and reply logs in Redis.

A reply's log is a stream. Its writer numbers the events; several are written as one entry whose id is the last
number, so that deltas can be coalesced and a reader can still resume after any of them. A lease key, renewed with
every write, tells readers that the writer lives; a cancel key, read with every write, tells the writer to stop.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from chatacter.chassis.errors import NotFound
from chattr.adapters.redis_connection import key, told
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Beside
from chattr.ports.sessions import FAILED, TERMINAL, Event, Recent

LEASE_MS: Final = 10_000
BLOCK_MS: Final = 1_000
FIELD: Final = b"e"
REPLY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
LOST: Final = {
    "code": "writer_lost",
    "message": "The process that wrote this reply is gone. Ask again; what was said so far stands.",
    "retryable": True,
}


class RedisShortTerm:
    """One JSON value a conversation: its newest messages, its revision, and how memories of other branches are named.

    Earlier versions held the messages alone, under the name `recent`.
    """

    def __init__(self, redis: Redis, *, ttl: int, max_size: int) -> None:
        self._redis = redis
        self._ttl = ttl
        self._max_size = max_size

    async def recent(self, owner: Owner, conversation: Conversation, leaf_id: str | None) -> Recent | None:
        """Return the branch that ends in `leaf_id`, of this revision; None when another or none is held."""
        with told():
            stored = await self._redis.get(held_key(owner, conversation.id))
        held = orjson.loads(stored) if stored is not None else None
        if held is None or held["revision"] != conversation.revision or held["messages"][-1]["id"] != leaf_id:
            return None
        messages = [Message.of_record(record) for record in held["messages"]]
        return Recent(messages, held["revision"], [Beside(*each) for each in held["elsewhere"]])

    async def keep(self, owner: Owner, conversation_id: str, recent: Recent) -> None:
        """Hold the newest messages of a branch."""
        messages = [message.record() for message in recent.messages[-self._max_size :]]
        elsewhere = [(each.id, each.in_group) for each in recent.elsewhere]
        body = orjson.dumps({"messages": messages, "revision": recent.revision, "elsewhere": elsewhere})
        with told():
            await self._redis.set(held_key(owner, conversation_id), body, ex=self._ttl)

    async def drop(self, owner: Owner, conversation_id: str) -> None:
        """Forget a conversation."""
        with told():
            await self._redis.delete(held_key(owner, conversation_id), key(owner, "recent", conversation_id))


def held_key(owner: Owner, conversation_id: str) -> str:
    """Name what is held of a conversation."""
    return key(owner, "window", conversation_id)


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The keys of one reply."""

    events: str
    lease: str
    cancel: str


def log_keys(owner: Owner, reply_id: str) -> LogKeys:
    """Name the keys of a reply. Raises `NotFound` for what cannot be one's id."""
    if not REPLY_ID.fullmatch(reply_id):
        raise unknown(reply_id)
    events = key(owner, "reply", reply_id)
    return LogKeys(events, f"{events}:lease", f"{events}:cancel")


class RedisSessionLog:
    """A stream a reply. Each follower holds a connection, so they take them from a pool of their own, `followers`."""

    def __init__(
        self, redis: Redis, followers: Redis, *, ttl: int, lease_ms: int = LEASE_MS, block_ms: int = BLOCK_MS
    ) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._followers: Any = followers
        self._ttl = ttl
        self._lease_ms = lease_ms
        self._block_ms = block_ms

    async def append(self, owner: Owner, reply_id: str, events: Sequence[Event]) -> bool:
        """Write events as one entry, renew the lease, and read whether somebody asked to cancel."""
        keys = log_keys(owner, reply_id)
        with told():
            async with self._redis.pipeline(transaction=False) as pipe:
                if events:
                    body = orjson.dumps([(event.seq, event.type, event.data) for event in events])
                    pipe.xadd(keys.events, {FIELD: body}, id=f"{events[-1].seq}-0")
                    pipe.expire(keys.events, self._ttl)
                if events and events[-1].type in TERMINAL:
                    pipe.delete(keys.lease)
                else:
                    pipe.set(keys.lease, b"1", px=self._lease_ms)
                pipe.exists(keys.cancel)
                answers = await pipe.execute(raise_on_error=False)
            refusals = [answer for answer in answers if isinstance(answer, ResponseError)]
            if refusals and not await self._holds(keys, events):
                raise refusals[0]
        return bool(answers[-1] == 1)

    async def _holds(self, keys: LogKeys, events: Sequence[Event]) -> bool:
        """Whether events were written already: a command whose answer was lost is sent again."""
        newest = await self._newest(keys)
        return bool(events) and newest is not None and newest.seq >= events[-1].seq

    async def follow(self, owner: Owner, reply_id: str, after: int = 0) -> AsyncGenerator[Event]:
        """Yield the events after number `after` as they come, up to the terminal one."""
        keys = log_keys(owner, reply_id)
        with told():
            if not await self._redis.exists(keys.events):
                raise unknown(reply_id)
        seen = after
        while True:
            with told():
                entries = await self._followers.xread({keys.events: f"{seen}-0"}, block=self._block_ms, count=256)
            if not entries:
                if await self._alive(keys):
                    continue
                newest = await self._newest(keys)
                if newest is not None and newest.seq > seen:
                    continue
                if newest is None or newest.type not in TERMINAL:
                    yield Event(seen + 1, FAILED, LOST)
                return
            for event in read(entries):
                if event.seq > seen:
                    seen = event.seq
                    yield event
                    if event.type in TERMINAL:
                        return

    async def _alive(self, keys: LogKeys) -> bool:
        """Whether a writer lives."""
        with told():
            return bool(await self._redis.exists(keys.lease))

    async def _newest(self, keys: LogKeys) -> Event | None:
        """Return the last event that stands in a log."""
        with told():
            entries = await self._redis.xrevrange(keys.events, count=1)
        return read([(keys.events, entries)])[-1] if entries else None

    async def cancel(self, owner: Owner, reply_id: str) -> None:
        """Ask the writer to stop, wherever it runs."""
        keys = log_keys(owner, reply_id)
        with told():
            if not await self._redis.exists(keys.events, keys.lease):
                raise unknown(reply_id)
            await self._redis.set(keys.cancel, b"1", ex=self._ttl)


def read(entries: Any) -> list[Event]:
    """Read the events out of XREAD's answer."""
    return [Event(*event) for _, items in entries for _, fields in items for event in orjson.loads(fields[FIELD])]


def unknown(reply_id: str) -> NotFound:
    """Say that a reply does not exist, or no longer."""
    return NotFound(f"There is no reply {reply_id!r}, or its log has expired.", param="reply_id")
