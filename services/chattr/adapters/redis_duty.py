"""Duties and the replicas' secret in Redis."""

import secrets
from typing import Any, Final

from redis.asyncio import Redis

from chattr.adapters.redis_connection import key, told
from chattr.domain.identity import Owner

# What belongs to no tenant. No tenant can have this name: see `auth.Identifier`.
REPLICAS: Final = Owner("*")
BYTES: Final = 32


class RedisDuties:
    """A key a duty, which runs out."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    async def taken(self, name: str, seconds: float) -> bool:
        """Take a duty for so long."""
        with told():
            return bool(await self._redis.set(key(REPLICAS, "duty", name), b"1", nx=True, px=round(seconds * 1000)))


class RedisSecret:
    """Made by the replica that needs it first."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis: Any = redis
        self._name = name

    async def value(self) -> bytes:
        """Return it."""
        place = key(REPLICAS, "secret", self._name)
        with told():
            await self._redis.set(place, secrets.token_bytes(BYTES), nx=True)
            found: bytes = await self._redis.get(place)
        return found
