"""Requests in flight, in Redis: for each model a sorted set of tickets by the time at which they run out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from uuid import uuid4

import anyio
from redis.asyncio import Redis

from chatacter.chassis.errors import Unavailable
from chattr.adapters.demand_ticket import handed_in
from chattr.adapters.redis_connection import key, told
from chattr.domain.identity import Owner
from chattr.ports.jobs import Modality

logger = logging.getLogger(__name__)

EVERY_TENANT: Final = Owner("*")
UNSERVED: Final = "unserved"
# KEYS tickets models; ARGV ticket ttl kind
HOLD: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) * 2 then redis.call('PEXPIRE', KEYS[1], ARGV[2] * 2) end
redis.call('SADD', KEYS[2], ARGV[3])
"""
# KEYS models; ARGV prefix. A model that nobody holds is forgotten.
COUNT: Final = """
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local counts = {}
for _, kind in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  redis.call('ZREMRANGEBYSCORE', ARGV[1] .. kind, '-inf', now)
  local held = redis.call('ZCARD', ARGV[1] .. kind)
  if held == 0 then
    redis.call('SREM', KEYS[1], kind)
  else
    counts[#counts + 1] = kind
    counts[#counts + 1] = held
  end
end
return counts
"""


class RedisDemand:
    """Tickets that are renewed while a request runs.

    Requests that found nobody to serve them leave one ticket for all, for `linger` seconds: enough to wake a predictor,
    and no more however often they are repeated.
    """

    def __init__(self, redis: Redis, *, ttl: float = 15.0, linger: float = 90.0) -> None:
        self._redis: Any = redis
        self._ttl = ttl
        self._linger = linger
        self._hold = redis.register_script(HOLD)
        self._count = redis.register_script(COUNT)

    @asynccontextmanager
    async def holding(self, modality: Modality, model: str) -> AsyncIterator[None]:
        """Count one request for the length of the block."""
        kind, ticket, over = f"{modality}/{model}", uuid4().hex, asyncio.Event()
        await self._renew(kind, ticket, self._ttl)
        keeping = asyncio.create_task(self._keep(kind, ticket, over))

        async def end(unserved: bool) -> None:
            over.set()
            with anyio.CancelScope(shield=True):
                await keeping
                await self._drop(kind, ticket)
                if unserved:
                    await self._renew(kind, UNSERVED, self._linger)

        async with handed_in(end):
            yield

    async def outstanding(self) -> Mapping[tuple[Modality, str], int]:
        """Count the requests that are held."""
        with told():
            flat: list[Any] = await self._count(keys=[models_key()], args=[tickets_key("")])
        kinds = (name.decode().partition("/") for name in flat[::2])
        return {
            (cast(Modality, modality), model): int(count)
            for (modality, _, model), count in zip(kinds, flat[1::2], strict=True)
        }

    async def _keep(self, kind: str, ticket: str, over: asyncio.Event) -> None:
        """Renew the ticket until the request is over. Not cancelled: see `chassis.tasks`."""
        while not over.is_set():
            try:
                async with asyncio.timeout(self._ttl / 3):
                    await over.wait()
            except TimeoutError:
                await self._renew(kind, ticket, self._ttl)

    async def _renew(self, kind: str, ticket: str, seconds: float) -> None:
        try:
            with told():
                await self._hold(keys=[tickets_key(kind), models_key()], args=[ticket, round(seconds * 1000), kind])
        except Unavailable:
            logger.warning("a request is not counted as demand")

    async def _drop(self, kind: str, ticket: str) -> None:
        try:
            with told():
                await self._redis.zrem(tickets_key(kind), ticket)
        except Unavailable:
            logger.warning("a finished request counts as demand until its ticket runs out")


def tickets_key(kind: str) -> str:
    """Name the tickets of one modality and model."""
    return key(EVERY_TENANT, "demand", kind)


def models_key() -> str:
    """Name the set of what is held."""
    return key(EVERY_TENANT, "demanded")
