"""Requests counted in memory."""

import time
from collections.abc import Callable

from chatacter.chassis.errors import Unavailable
from chattr.domain.identity import Owner
from chattr.ports.allowance import Allowance, Policy


class FakeRateLimiter:
    """Counts by `clock`, in seconds. While `away`, it raises."""

    def __init__(self, policy: Policy, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.policy = policy
        self._clock = clock
        self._full_at: dict[tuple[Owner, str], float] = {}
        self.away = False

    async def take(self, owner: Owner, key_id: str) -> Allowance:
        """Take one request."""
        if self.away:
            raise Unavailable("The counts are away.")
        now, seconds = self._clock(), self.policy.seconds
        each = seconds / self.policy.requests
        before = max(self._full_at.get((owner, key_id), now), now)
        after = before + each
        if after - now > seconds + 1e-9:
            return Allowance(0, before - now, retry_after=after - now - seconds)
        self._full_at[owner, key_id] = after
        return Allowance(int((seconds - (after - now) + 1e-9) / each), after - now)
