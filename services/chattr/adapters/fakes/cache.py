"""Kept answers in memory."""

from chatacter.chassis.errors import Conflict, InvalidInput
from chattr.domain.identity import Owner
from chattr.ports.cache import KeptAnswer


class FakeIdempotency:
    """Answers by owner and key; they never run out."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Owner, str], tuple[str, KeptAnswer | None]] = {}

    async def begin(self, owner: Owner, key: str, fingerprint: str) -> KeptAnswer | None:
        """Claim a key, or return its kept answer."""
        place = (owner, key)
        if place not in self._kept:
            self._kept[place] = (fingerprint, None)
            return None
        first, answer = self._kept[place]
        if first != fingerprint:
            raise InvalidInput("This Idempotency-Key was used for a different request.")
        if answer is None:
            raise Conflict("The first request with this Idempotency-Key is still running.")
        return answer

    async def finish(self, owner: Owner, key: str, fingerprint: str, answer: KeptAnswer) -> None:
        """Keep the answer."""
        self._kept[owner, key] = (fingerprint, answer)

    async def abandon(self, owner: Owner, key: str) -> None:
        """Give the key back."""
        self._kept.pop((owner, key), None)
