"""Idempotency keys in Redis."""

import base64
from typing import Final

import orjson
from redis.asyncio import Redis

from chatacter.chassis.errors import Conflict, InvalidInput
from chattr.adapters.redis_connection import key, told
from chattr.domain.identity import Owner
from chattr.ports.cache import KeptAnswer

CLAIM_SECONDS: Final = 900
RUNNING: Final = "The first request with this Idempotency-Key is still running. Wait for it, then send this one again."
OTHER: Final = "This Idempotency-Key was used for a different request. Use a new key for a new request."


class RedisIdempotency:
    """One JSON value a key: the fingerprint, then also the answer."""

    def __init__(self, redis: Redis, *, ttl: int) -> None:
        self._redis = redis
        self._ttl = ttl

    async def begin(self, owner: Owner, idempotency_key: str, fingerprint: str) -> KeptAnswer | None:
        """Claim a key, or return its kept answer."""
        name = key(owner, "idempotency", idempotency_key)
        claim = orjson.dumps({"fingerprint": fingerprint})
        with told():
            if await self._redis.set(name, claim, nx=True, ex=CLAIM_SECONDS):
                return None
            stored = await self._redis.get(name)
        if stored is None:  # it ran out between the two commands
            return await self.begin(owner, idempotency_key, fingerprint)
        record = orjson.loads(stored)
        if record["fingerprint"] != fingerprint:
            raise InvalidInput(OTHER, param="Idempotency-Key")
        if "status" not in record:
            raise Conflict(RUNNING, param="Idempotency-Key", retry_after=1)
        headers = tuple((name, value) for name, value in record["headers"])
        return KeptAnswer(record["status"], headers, base64.b64decode(record["body"]))

    async def finish(self, owner: Owner, idempotency_key: str, fingerprint: str, answer: KeptAnswer) -> None:
        """Keep the answer."""
        record = {
            "fingerprint": fingerprint,
            "status": answer.status,
            "headers": answer.headers,
            "body": base64.b64encode(answer.body).decode(),
        }
        with told():
            await self._redis.set(key(owner, "idempotency", idempotency_key), orjson.dumps(record), ex=self._ttl)

    async def abandon(self, owner: Owner, idempotency_key: str) -> None:
        """Give the key back."""
        with told():
            await self._redis.delete(key(owner, "idempotency", idempotency_key))
