"""What a character and a person have together, to be taken elsewhere."""

from typing import Any

import httpx

from chatacter.client.connection import Connection


class Memories(Connection):
    """Archives of conversations and memories."""

    async def memories(self, character: str) -> dict[str, Any]:
        """Return the archive of all that was said with a character, and of what is known beside it."""
        path = f"/api/v1/memories/export?{httpx.QueryParams({'character': character})}"
        return dict(await self._json("GET", path))

    async def take_memories(self, archive: Any, character: str) -> dict[str, Any]:
        """Put an archive down as a character's; return what was taken and what was refused."""
        path = f"/api/v1/memories/import?{httpx.QueryParams({'character': character})}"
        return dict(await self._json("POST", path, archive))
