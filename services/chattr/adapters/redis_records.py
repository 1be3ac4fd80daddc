"""A tenant's own characters in Redis."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from chattr.adapters.redis_connection import key, told
from chattr.domain.character import Character
from chattr.domain.identity import Owner


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
