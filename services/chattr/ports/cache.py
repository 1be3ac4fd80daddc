"""Answers kept under an `Idempotency-Key`, so that a repeated request costs nothing twice."""

from dataclasses import dataclass
from typing import Protocol

from chattr.domain.identity import Owner


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The first answer to a key: what went over the wire."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class IdempotencyStore(Protocol):
    """Keys of one person with the fingerprint of the request that first used them.

    Source: IETF draft "The Idempotency-Key HTTP Header Field", and Stripe's practice.
    """

    async def begin(self, owner: Owner, key: str, fingerprint: str) -> KeptAnswer | None:
        """Claim a key; return its kept answer, or None when the caller is the first.

        Raises `Conflict` while the first request still runs, `InvalidInput` when it had another fingerprint.
        """
        ...

    async def finish(self, owner: Owner, key: str, fingerprint: str, answer: KeptAnswer) -> None:
        """Keep the answer."""
        ...

    async def abandon(self, owner: Owner, key: str) -> None:
        """Give the key back: the request failed in a way that may be tried again."""
        ...
