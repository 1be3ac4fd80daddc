"""Kept answers of the language model in memory."""

import time
from collections.abc import Callable, Sequence

import orjson

from chatacter.chassis.errors import Unavailable
from chattr.domain.identity import Owner
from chattr.ports.language import Chunk
from chattr.ports.replies import LARGEST_REPLY, KeptReply


class FakeReplyCache:
    """Answers by owner and fingerprint, as JSON; they run out by `clock`. While `away`, it raises."""

    def __init__(self, *, ttl: int = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept: dict[tuple[Owner, str], tuple[float, bytes]] = {}
        self._ttl = ttl
        self._clock = clock
        self.away = False

    async def find(self, owner: Owner, fingerprint: str) -> KeptReply | None:
        """Return a kept answer."""
        self._ask()
        until, data = self._kept.get((owner, fingerprint), (0.0, b""))
        left = until - self._clock()
        return KeptReply(orjson.loads(data), int(left)) if data and left > 0 else None

    async def keep(self, owner: Owner, fingerprint: str, chunks: Sequence[Chunk]) -> bool:
        """Keep an answer."""
        self._ask()
        data = orjson.dumps(chunks)
        if len(data) > LARGEST_REPLY:
            return False
        self._kept[owner, fingerprint] = (self._clock() + self._ttl, data)
        return True

    async def drop(self, owner: Owner) -> None:
        """Remove all that is kept for a person."""
        self._ask()
        self._kept = {place: kept for place, kept in self._kept.items() if place[0] != owner}

    def _ask(self) -> None:
        if self.away:
            raise Unavailable("The cache is away.")
