"""Duties and a secret of one process."""

import time


class FakeDuties:
    """A dict of when each runs out."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    async def taken(self, name: str, seconds: float) -> bool:
        """Take a duty for so long."""
        now = time.monotonic()
        if self._until.get(name, 0.0) > now:
            return False
        self._until[name] = now + seconds
        return True


class FakeSecret:
    """Known to everybody."""

    async def value(self) -> bytes:
        """Return it."""
        return b"fake"
