"""Large records, such as a character with a world in its lorebook: read in a thread, and once until they change."""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Final, Generic, TypeVar

from pydantic import BaseModel

Shape = TypeVar("Shape", bound=BaseModel)

# Up to here a record is read in less than a millisecond.
SMALL: Final = 32_768
# Of what was read: the shapes take some times as much.
MOST_KEPT: Final = 16_777_216


class Records(Generic[Shape]):
    """Reads records of one frozen shape. What it returns may be shared."""

    def __init__(self, shape: type[Shape], *, most: int = MOST_KEPT) -> None:
        self._shape = shape
        self._most = most
        self._kept: OrderedDict[bytes, tuple[Shape, int]] = OrderedDict()
        self._bytes = 0

    async def read(self, stored: bytes) -> Shape:
        """Read a record. Raises `ValidationError`."""
        if len(stored) <= SMALL:
            return self._shape.model_validate_json(stored)
        digest = await asyncio.to_thread(lambda: hashlib.blake2b(stored, digest_size=32).digest())
        if digest in self._kept:
            self._kept.move_to_end(digest)
            return self._kept[digest][0]
        shape = await asyncio.to_thread(self._shape.model_validate_json, stored)
        self._keep(digest, shape, len(stored))
        return shape

    def _keep(self, digest: bytes, shape: Shape, size: int) -> None:
        """Keep what was read; what was not asked for the longest goes. Somebody else may have read it meanwhile."""
        if digest in self._kept or size > self._most:
            return
        self._kept[digest] = (shape, size)
        self._bytes += size
        while self._bytes > self._most:
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= gone
