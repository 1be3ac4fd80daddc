"""How many requests an API key may make, counted for all replicas together."""

from dataclasses import dataclass
from typing import Protocol

from chattr.domain.identity import Owner


@dataclass(frozen=True, slots=True)
class Policy:
    """So many requests in so many seconds; each comes back by itself, one after the other."""

    requests: int
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a key has left after a request: how many more, in how many seconds it has all of them again."""

    remaining: int
    reset: float
    retry_after: float | None = None
    """Seconds until the next one is granted; None: this one was."""


class RateLimiter(Protocol):
    """Requests by tenant and key."""

    policy: Policy

    async def take(self, owner: Owner, key_id: str) -> Allowance:
        """Take one request. Raises `Unavailable`."""
        ...
