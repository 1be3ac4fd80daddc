"""A film of something that was said: ordered, waited for, and brought to the page."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from chatacter.client.api import Api
from chatacter.client.errors import ClientError
from chatacter.contracts.video import Video
from chattr.ui import words
from chattr.ui.turn import Connect, data_url

LARGEST_FILM: Final = 48 * 1024 * 1024
TOO_LARGE: Final = "The film is too large to show here."


@dataclass(slots=True)
class Shoot:
    """How far a film is."""

    state: str = "working"
    told: str = words.PHASES["queued"]
    percent: int = 0
    id: str = ""
    source: str = ""
    name: str = ""
    label: str = ""

    def shown(self) -> dict[str, Any]:
        """Describe it to the browser."""
        return {each: getattr(self, each) for each in ("state", "told", "percent", "id", "source", "name", "label")}

    async def run(self, connect: Connect, text: str, character: str, name: str) -> AsyncGenerator[None]:
        """Film `text`; yield whenever there is more to show. Closing this early removes the order from the server."""
        yield
        try:
            async with connect() as api:
                video = await api.film(text, character)
                try:
                    async with aclosing(api.filmed(video)) as states:
                        async for state in states:
                            video = state
                            self.told, self.percent = words.phase(state.phase), state.progress
                            yield
                    await self._finish(api, video, character, name)
                finally:
                    if video.status not in {"completed", "failed"}:
                        await api.forget_film(video.id)
        except ClientError:
            self.state = "failed"
            raise
        yield

    async def _finish(self, api: Api, video: Video, character: str, name: str) -> None:
        if video.error is not None:
            raise ClientError(video.error.message)
        data = bytearray()
        async with aclosing(api.content(video.id)) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > LARGEST_FILM:
                    raise ClientError(TOO_LARGE)
        self.source = data_url(bytes(data), "video/webm")
        self.id, self.name = video.id, f"{character}.webm"
        self.label = f"Film of {name}"
        self.state = "ready"
