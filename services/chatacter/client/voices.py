"""Voices of one's own, to be taken elsewhere."""

from typing import Any, Final
from urllib.parse import quote

import httpx

from chatacter.client.connection import Connection
from chatacter.contracts.speech import Voice

HOME: Final = "/v1/audio/voices"


class Voices(Connection):
    """Archives of voices."""

    async def voice_archive(self, voice: str) -> dict[str, Any]:
        """Return a voice of one's own with all that it was made of."""
        return dict(await self._json("GET", f"{HOME}/{quote(voice, safe='')}/export"))

    async def take_voice(self, archive: Any, speech_model: str | None) -> Voice:
        """Put a voice down, for this speech model where one is named; return it under the name that it has here."""
        query = f"?{httpx.QueryParams({'speech_model': speech_model})}" if speech_model else ""
        return Voice.model_validate(await self._json("POST", f"{HOME}/import{query}", archive))
