"""What happens to jobs: a stream a job, which the jobs' scripts write. Any replica follows it, from any event on."""

import re
from collections.abc import AsyncGenerator
from typing import Any, Final

from redis.asyncio import Redis

from chatacter.chassis.errors import InvalidInput, NotFound
from chattr.adapters.redis_connection import told
from chattr.adapters.redis_jobs_records import event_of, events_key
from chattr.domain.identity import Owner
from chattr.ports.jobs import JobEvent

EVENT_ID: Final = re.compile(r"\d{1,18}-\d{1,18}")
BLOCK_MS: Final = 2_000
UNKNOWN: Final = "There is no such job."
BAD_ID: Final = "Last-Event-ID is not the id of one of this job's events."
BEGINNING: Final = "0-0"


class RedisJobLog:
    """Each follower holds a connection while it waits, so they take them from a pool of their own."""

    def __init__(self, followers: Redis, *, block_ms: int = BLOCK_MS) -> None:
        self._redis: Any = followers
        self._block_ms = block_ms

    async def follow(self, owner: Owner, job_id: str, after: str | None = None) -> AsyncGenerator[JobEvent | None]:
        """Yield the events after one, up to a terminal one that nothing follows."""
        if after is not None and not EVENT_ID.fullmatch(after):
            raise InvalidInput(BAD_ID, param="Last-Event-ID")
        stream, seen = events_key(owner, job_id), after or BEGINNING
        while True:
            with told():
                entries = await self._redis.xread({stream: seen}, count=256)
                if not entries and await self._over(stream, seen):
                    return
                if not entries:
                    entries = await self._redis.xread({stream: seen}, block=self._block_ms, count=256)
            if not entries:
                yield None
                continue
            for event_id, fields in entries[0][1]:
                event = event_of(event_id, fields)
                seen = event.id
                yield event

    async def _over(self, stream: str, seen: str) -> bool:
        """Whether the newest event was seen, and nothing follows it. Raises `NotFound` for a log that there is not."""
        newest = await self._redis.xrevrange(stream, count=1)
        if not newest:
            raise NotFound(UNKNOWN, param="job_id")
        event = event_of(*newest[0])
        return event.terminal and numbers(event.id) <= numbers(seen)


def numbers(event_id: str) -> tuple[int, int]:
    """Read an event's id, so that ids compare."""
    moment, _, number = event_id.partition("-")
    return int(moment), int(number)
