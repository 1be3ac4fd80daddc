"""A Redis that holds what must not be lost: it may not evict, and it writes to disk; jobs before it answers."""

import asyncio
import logging
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import Misconfigured, Unavailable
from chattr.adapters.redis_connection import told

logger = logging.getLogger(__name__)

KEEPS: Final = "noeviction"
PAUSE_SECONDS: Final = 0.5


async def require_entry(redis: Redis, section: str, *, wait: float = 0.0) -> None:
    """Refuse credentials that the server refuses; `section` is the setting's that names it, for the message.

    A server that is away is waited for, since it may be starting beside this process. Raises `Misconfigured`, or
    `Unavailable` when it does not answer within `wait` seconds.
    """
    deadline = Deadline.after(wait)
    silent = False
    while True:
        try:
            with told():
                await redis.ping()
        except Unavailable as error:
            if isinstance(error.__cause__, NoPermissionError):
                return  # it is there, and lets this user not ping
            if isinstance(error.__cause__, AuthenticationError):
                raise Misconfigured(
                    f"{section}__URL: this Redis refuses the user or the password. Check {section}__PASSWORD and "
                    f"{section}__USERNAME, or the credentials in the URL."
                ) from error
            if not deadline.remaining:
                raise
        else:
            return
        if not silent:
            logger.warning("a Redis does not answer yet; waiting for it", extra={"setting": f"{section}__URL"})
            silent = True
        await asyncio.sleep(PAUSE_SECONDS)


async def require_durable(redis: Redis, section: str, *, vouched: bool = False) -> None:
    """Refuse a server that evicts or does not persist. `section` is the setting's that names it, for the message.

    Raises `Misconfigured`, or `Unavailable` when it does not answer. Source: Redis documentation, "Key eviction" and
    "Redis persistence". Managed servers forbid CONFIG, and then only an append-only file shows in INFO: for one that
    persists otherwise somebody has to vouch.
    """
    with told():
        memory = await shown(redis, "memory")
        persistence = await shown(redis, "persistence")
        snapshots = await snapshots_of(redis)
    policy = memory.get("maxmemory_policy", KEEPS)
    if memory.get("maxmemory", 0) and policy != KEEPS:
        raise Misconfigured(
            f"{section}__URL: this Redis throws data away when its memory is full (maxmemory-policy {policy}). "
            "Set `maxmemory-policy noeviction`, or name another server."
        )
    if persistence.get("aof_enabled") or snapshots:
        return
    if snapshots is None and not vouched:
        raise Misconfigured(
            f"{section}__URL: this Redis does not say whether it keeps anything on disk (it forbids CONFIG). "
            f"If you know that it does, set {section}__DURABLE=true; else name another server."
        )
    if snapshots is not None:
        raise Misconfigured(
            f"{section}__URL: this Redis keeps nothing on disk. Start it with `--appendonly yes`, "
            "or name another server."
        )


async def shown(redis: Redis, section: str) -> dict[str, Any]:
    """Return what INFO shows; nothing where it is forbidden."""
    try:
        found: dict[str, Any] = await redis.info(section)
    except ResponseError:
        return {}
    return found


async def snapshots_of(redis: Redis) -> bool | None:
    """Say whether the server takes snapshots; None where it does not say."""
    try:
        found = await redis.config_get("save")
    except ResponseError:
        return None
    return bool(found["save"]) if "save" in found else None


async def disk_must_be_awaited(redis: Redis, section: str, *, vouched: bool = False) -> bool:
    """Say whether a write that this server answered may not be on its disk yet, and has to be waited for (`WAITAOF`).

    False where the server syncs its append-only file before it answers (`appendfsync always`). Raises `Misconfigured`
    for one that does neither: an accepted job could be lost with it. One that says nothing has to be vouched for.
    Source: Redis documentation, "Redis persistence" and "WAITAOF" (Redis 7.2).
    """
    with told():
        persistence = await shown(redis, "persistence")
        policy = await sync_policy_of(redis)
        awaitable = await can_wait(redis)
    appends = bool(persistence.get("aof_enabled", policy is not None))
    if appends and policy == "always":
        return False
    if appends and awaitable and policy != "no":  # that one never syncs, whoever waits
        return True
    if policy is None and vouched:
        return False
    if policy is None:
        raise Misconfigured(
            f"{section}__URL: this Redis does not say when it writes to its disk (it forbids CONFIG), and it has no "
            f"WAITAOF. If you know that what it answered is on its disk, set {section}__DURABLE=true; else name "
            "another server."
        )
    raise Misconfigured(
        f"{section}__URL: this Redis answers before a write is on its disk, so that a job that was accepted could be "
        "lost. Start it with `--appendonly yes --appendfsync always`, or take Redis 7.2 or newer (not Valkey) with "
        "`--appendonly yes --appendfsync everysec`, which can be waited for."
    )


async def sync_policy_of(redis: Redis) -> str | None:
    """Return when the server syncs its append-only file; None where it does not say."""
    try:
        found = await redis.config_get("appendfsync")
    except ResponseError:
        return None
    return str(found["appendfsync"]) if "appendfsync" in found else None


async def can_wait(redis: Redis) -> bool:
    """Whether the server can be asked to wait for its disk, and then does. Asked for nothing, it answers at once.

    Valkey 9.1.2, traced, answered that its disk had a write which it had not synced yet.
    """
    if (await shown(redis, "server")).get("server_name") == "valkey":
        return False
    asked: Any = redis
    try:
        await asked.execute_command("WAITAOF", 0, 0, 1)
    except ResponseError:
        return False
    return True
