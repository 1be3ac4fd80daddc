"""Assets in this process's memory."""

import hashlib
import re
import time
from collections.abc import AsyncGenerator

from chatacter.chassis.errors import InvalidInput, NotFound
from chattr.domain.identity import Owner
from chattr.ports.assets import Asset

ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class FakeAssets:
    """A dict of bytes. `puts` lists the ids as they were written."""

    def __init__(self) -> None:
        self._stored: dict[tuple[Owner, str], tuple[Asset, bytes]] = {}
        self.puts: list[str] = []

    @property
    def ids(self) -> set[str]:
        """What is stored, of everybody."""
        return {asset_id for _, asset_id in self._stored}

    async def put(self, owner: Owner, asset_id: str, data: bytes, media_type: str) -> Asset:
        """Store an asset."""
        if not ID.fullmatch(asset_id):
            raise InvalidInput("This id cannot be used.", param="id")
        asset = Asset(asset_id, media_type, len(data), hashlib.sha256(data).hexdigest(), time.time())
        self._stored[owner, asset_id] = (asset, data)
        self.puts.append(asset_id)
        return asset

    async def info(self, owner: Owner, asset_id: str) -> Asset | None:
        """Describe an asset."""
        found = self._stored.get((owner, asset_id))
        return found[0] if found else None

    async def read(self, owner: Owner, asset_id: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes."""
        found = self._stored.get((owner, asset_id))
        if found is None:
            raise NotFound("There is no such file.", param="id")
        if part := found[1][start:stop]:
            yield part

    async def delete(self, owner: Owner, asset_id: str) -> bool:
        """Remove an asset."""
        return self._stored.pop((owner, asset_id), None) is not None

    async def names(self, *, before: float) -> AsyncGenerator[tuple[Owner, str]]:
        """Yield what is stored since before a time."""
        for (owner, asset_id), (asset, _) in list(self._stored.items()):
            if asset.created_at < before:
                yield owner, asset_id

    async def sweep(self, *, before: float) -> int:
        """Nothing breaks off here."""
        return 0
