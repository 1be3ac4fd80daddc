"""Requests of API keys counted in Redis, by its own clock."""

from typing import Any, Final

from redis.asyncio import Redis

from chattr.adapters.redis_connection import key, told
from chattr.domain.identity import Owner
from chattr.ports.allowance import Allowance, Policy

MICROSECONDS: Final = 1_000_000
# One number a key: when it will have all its requests again (the generic cell rate algorithm, ITU-T I.371). Times are
# whole microseconds. Answers: whether it is granted, and that number less now.
TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window, each = tonumber(ARGV[1]), tonumber(ARGV[2])
local before = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local after = before + each
if after - now > window then
  return {0, before - now}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {1, after - now}
"""


class RedisRateLimiter:
    """One script a request; a key that is not used leaves nothing behind."""

    def __init__(self, redis: Redis, policy: Policy) -> None:
        self.policy = policy
        self._window = int(policy.seconds * MICROSECONDS)
        self._each = max(1, self._window // policy.requests)
        self._take: Any = redis.register_script(TAKE)

    async def take(self, owner: Owner, key_id: str) -> Allowance:
        """Take one request."""
        with told():
            granted, left = await self._take(keys=[key(owner, "rate", key_id)], args=[self._window, self._each])
        if not granted:
            wait = left + self._each - self._window
            return Allowance(0, left / MICROSECONDS, retry_after=wait / MICROSECONDS)
        return Allowance((self._window - left) // self._each, left / MICROSECONDS)
