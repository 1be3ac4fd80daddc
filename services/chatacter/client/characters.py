"""Who can be talked with: listed, read, written, and as cards."""

from typing import Any, Final, Literal

import httpx
import orjson

from chatacter.client.connection import Connection
from chatacter.client.errors import Refused

HOME: Final = "/api/v1/characters"
PAGE: Final = 100
CardForm = Literal["json", "png", "charx"]


class Characters(Connection):
    """What is done with characters."""

    async def characters(self) -> list[dict[str, Any]]:
        """Return all who can be talked with, page by page."""
        query: dict[str, Any] = {"limit": PAGE}
        found: list[dict[str, Any]] = []
        while True:
            page = await self._json("GET", f"{HOME}?{httpx.QueryParams(query)}")
            found += page["data"]
            if not page.get("has_more"):  # an older server sends all at once
                return found
            query["after"] = page["last_id"]

    async def portrait(self, character: str) -> tuple[bytes, str] | None:
        """Return a character's picture and its media type; None where it has none."""
        try:
            async with self._streaming("GET", f"{HOME}/{character}/portrait") as answer:
                return await answer.aread(), answer.headers["content-type"].partition(";")[0]
        except Refused as refusal:
            if refusal.status in {404, 405, 501}:
                return None
            raise

    async def character(self, character: str) -> tuple[dict[str, Any], str]:
        """Return a character, and the ETag by which a change says what it was made for."""
        async with self._guarded("GET", f"{HOME}/{character}") as answer:
            return orjson.loads(await answer.aread()), answer.headers.get("etag", "")

    async def create_character(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Make a character."""
        return dict(await self._json("POST", HOME, fields))

    async def replace_character(self, fields: dict[str, Any], etag: str) -> dict[str, Any]:
        """Put a character in its place; refused with 412 where it is not any more what `etag` says."""
        headers = {"if-match": etag} if etag else {}
        return dict(await self._json("PUT", f"{HOME}/{fields['id']}", fields, headers))

    async def delete_character(self, character: str) -> None:
        """Delete a character; one that comes with the installation is itself again."""
        async with self._guarded("DELETE", f"{HOME}/{character}"):
            pass

    async def set_portrait(self, character: str, picture: bytes, media_type: str) -> dict[str, Any]:
        """Give a character a picture."""
        kind = {"content-type": media_type}
        return dict(await self._json("PUT", f"{HOME}/{character}/portrait", picture, kind))

    async def take_card(
        self, card: bytes, character: str | None = None, voice: str | None = None, speech_model: str | None = None
    ) -> dict[str, Any]:
        """Make a character of a card, with this id and this voice of a model if named; return it, with `warnings`."""
        placing = {"id": character, "voice": voice, "speech_model": speech_model}
        named = {name: value for name, value in placing.items() if value}
        return dict(await self._json("POST", f"{HOME}/import?{httpx.QueryParams(named)}", card))

    async def card(self, character: str, form: CardForm) -> tuple[bytes, str]:
        """Return a character as a card, and the file's name."""
        return await self._file(f"{HOME}/{character}/export?format={form}")
