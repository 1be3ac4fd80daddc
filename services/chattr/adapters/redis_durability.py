"""A Redis that holds what must not be lost: it may not evict, and it must write to disk."""

from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from chatacter.chassis.errors import Misconfigured
from chattr.adapters.redis_connection import told

KEEPS: Final = "noeviction"


async def require_durable(redis: Redis, setting: str, *, volatile_accepted: bool = False) -> None:
    """Refuse a server that evicts or does not persist. `setting` is the variable that names it, for the message.

    Raises `Misconfigured`, or `Unavailable` when it does not answer. Source: Redis documentation, "Key eviction" and
    "Redis persistence". Managed servers forbid CONFIG; there INFO tells, which does not show snapshots.
    """
    if volatile_accepted:
        return
    with told():
        memory: dict[str, Any] = await redis.info("memory")
        persistence: dict[str, Any] = await redis.info("persistence")
        try:
            snapshots = bool((await redis.config_get("save")).get("save"))
        except (NoPermissionError, ResponseError):
            snapshots = False
    policy = memory.get("maxmemory_policy", KEEPS)
    if memory.get("maxmemory", 0) and policy != KEEPS:
        raise Misconfigured(
            f"{setting}: this Redis throws data away when its memory is full (maxmemory-policy {policy}). "
            "Set `maxmemory-policy noeviction`, or name another server."
        )
    if not persistence.get("aof_enabled") and not snapshots:
        raise Misconfigured(
            f"{setting}: this Redis keeps nothing on disk. Start it with `--appendonly yes`, or name another server."
        )
