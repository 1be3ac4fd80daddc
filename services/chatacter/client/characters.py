"""Who can be talked with: listed, read, written, and as cards."""

from typing import Any, Final

import httpx

from chatacter.client.connection import Connection
from chatacter.client.errors import Refused

PAGE: Final = 100


class Characters(Connection):
    """What is done with characters."""

    async def characters(self) -> list[dict[str, Any]]:
        """Return all who can be talked with, page by page."""
        query: dict[str, Any] = {"limit": PAGE}
        found: list[dict[str, Any]] = []
        while True:
            page = await self._json("GET", f"/api/v1/characters?{httpx.QueryParams(query)}")
            found += page["data"]
            if not page.get("has_more"):  # an older server sends all at once
                return found
            query["after"] = page["last_id"]

    async def portrait(self, character: str) -> tuple[bytes, str] | None:
        """Return a character's picture and its media type; None where it has none."""
        try:
            async with self._streaming("GET", f"/api/v1/characters/{character}/portrait") as answer:
                return await answer.aread(), answer.headers["content-type"].partition(";")[0]
        except Refused as refusal:
            if refusal.status in {404, 405, 501}:
                return None
            raise
