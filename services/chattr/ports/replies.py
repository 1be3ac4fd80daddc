"""Answers of the language model that may be given again to the same person for the same request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chattr.domain.identity import Owner
from chattr.ports.language import Chunk

# An answer of more bytes than that, as JSON, is not kept: a thousand of them are 256 MB.
LARGEST_REPLY: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class KeptReply:
    """An answer that was kept: what the model said in as few chunks as tell it, and for how many seconds it stands."""

    chunks: Sequence[Chunk]
    ttl: int


class ReplyCache(Protocol):
    """Kept answers by person and the request's fingerprint. It may forget any of them at any time."""

    async def find(self, owner: Owner, fingerprint: str) -> KeptReply | None:
        """Return a kept answer. Raises `Unavailable`."""
        ...

    async def keep(self, owner: Owner, fingerprint: str, chunks: Sequence[Chunk]) -> bool:
        """Keep an answer for as long as this cache keeps any; False when it is too large. Raises `Unavailable`."""
        ...

    async def drop(self, owner: Owner) -> None:
        """Remove all answers that are kept for a person. Raises `Unavailable`."""
        ...
