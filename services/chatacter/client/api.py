"""The public API as calls. One `Api` holds one connection pool; close it by its context."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

from chatacter.client.characters import Characters
from chatacter.client.conversations import Conversations
from chatacter.client.memories import Memories
from chatacter.client.voices import Voices
from chatacter.contracts.speech import AudioFormat
from chatacter.contracts.video import Video, VideoFormat

POLL_SECONDS: Final = 0.5
ENDED: Final = frozenset({"completed", "failed"})


class Api(Conversations, Characters, Memories, Voices):
    """What a person can ask of Chatacter. Every call raises `ClientError` and nothing else."""

    async def health(self) -> dict[str, Any]:
        """Return how every part is: `status`, and `checks` by name."""
        return dict(await self._json("GET", "/api/v1/health"))

    async def speak(
        self, text: str, *, voice: str, model: str, audio_format: AudioFormat = "mp3"
    ) -> AsyncGenerator[bytes]:
        """Yield `text` as sound while it is made; `voice` is a voice's or a character's id."""
        body = {"model": model, "input": text, "voice": voice, "response_format": audio_format}
        async with self._guarded("POST", "/v1/audio/speech", body) as answer:
            async for chunk in answer.aiter_bytes():
                yield chunk

    async def film(self, text: str, character: str, video_format: VideoFormat = "webm") -> Video:
        """Order a film in which the character says `text`."""
        body = {"model": "portrait", "prompt": text, "character": character, "output_format": video_format}
        return Video.model_validate(await self._json("POST", "/v1/videos", body))

    async def filmed(self, video: Video, every: float = POLL_SECONDS) -> AsyncGenerator[Video]:
        """Yield how far a film is, as often as that changes; the last one is completed or failed."""
        yield video
        while video.status not in ENDED:
            await asyncio.sleep(every)
            now = Video.model_validate(await self._json("GET", f"/v1/videos/{video.id}"))
            if now != video:
                yield now
            video = now

    async def content(self, video_id: str) -> AsyncGenerator[bytes]:
        """Yield a finished film's file."""
        async with self._guarded("GET", f"/v1/videos/{video_id}/content") as answer:
            async for chunk in answer.aiter_bytes():
                yield chunk

    async def forget_film(self, video_id: str) -> None:
        """Remove a film, and stop the work on it."""
        async with self._guarded("DELETE", f"/v1/videos/{video_id}"):
            pass
