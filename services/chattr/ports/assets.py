"""Finished media and what was uploaded for them. An asset is there as a whole, or not at all."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from chattr.domain.identity import Owner


@dataclass(frozen=True, slots=True)
class Asset:
    """What is known of an asset beside its bytes."""

    id: str
    media_type: str
    size: int
    sha256: str
    created_at: float


class Assets(Protocol):
    """A store of files by id. An id is 1 to 128 letters, digits, `_` or `-`; any other names nothing."""

    async def put(self, owner: Owner, asset_id: str, data: bytes, media_type: str) -> Asset:
        """Store an asset; readers see the old one or the new one, never a part. Raises `InvalidInput` for a bad id."""
        ...

    async def info(self, owner: Owner, asset_id: str) -> Asset | None:
        """Describe an asset, or return None."""
        ...

    def read(self, owner: Owner, asset_id: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes from `start` up to, not including, `stop`.

        What is read whole is held against its checksum, and its last piece comes only if it agrees; of a part only the
        length can be. Raises `NotFound`, and `UpstreamFailed` for bytes that are not those that were stored.
        """
        ...

    async def delete(self, owner: Owner, asset_id: str) -> bool:
        """Remove an asset; False when there was none."""
        ...

    def names(self, *, before: float) -> AsyncGenerator[tuple[Owner, str]]:
        """Yield whose and what is stored since before a time, of everybody."""
        ...

    async def sweep(self, *, before: float) -> int:
        """Remove what replaced assets, and writes that broke off, have left before a time; returns how many files."""
        ...
