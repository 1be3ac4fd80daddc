"""What all replicas share beside data: duties that one of them sees to at a time, and a secret."""

from typing import Protocol


class Duties(Protocol):
    """Who does what everybody could do."""

    async def taken(self, name: str, seconds: float) -> bool:
        """Take a duty for so long; False while another has it. It is not given back: a duty is done once in a while."""
        ...


class Secret(Protocol):
    """Bytes that all replicas know and nobody else."""

    async def value(self) -> bytes:
        """Return it, the same for ever. Raises `Unavailable`."""
        ...
