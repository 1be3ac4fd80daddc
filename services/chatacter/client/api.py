"""The public API as calls. One `Api` holds one connection pool; close it by its context."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, Literal

import httpx
import orjson

from chatacter.client.errors import Away, ClientError, KeyNeeded, Refused
from chatacter.client.events import CREATED, TERMINAL, ReplyEvent, reply_events
from chatacter.contracts.speech import AudioFormat, VoiceList
from chatacter.contracts.video import Video, VideoFormat

Method = Literal["GET", "POST", "DELETE"]

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
# Nothing is sent while a model reads a long prompt or a voice begins; after this long somebody has gone.
SILENCE_SECONDS: Final = 120.0
RESUME_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
PAGE: Final = 100
POLL_SECONDS: Final = 0.5
ENDED: Final = frozenset({"completed", "failed"})

WANTS_A_KEY: Final = "The server wants an API key that it knows."
BROKEN: Final = "The connection to the server broke."


class Api:
    """What a person can ask of Chatacter. Every call raises `ClientError` and nothing else."""

    def __init__(self, http: httpx.AsyncClient, *, pauses: tuple[float, ...] = RESUME_PAUSES) -> None:
        self._http = http
        self._pauses = pauses

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str, key: str | None = None) -> AsyncIterator["Api"]:
        """Make a client for the server at `url`; nothing is sent yet."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, read=SILENCE_SECONDS)
        try:
            http = httpx.AsyncClient(base_url=url.rstrip("/"), headers=headers, timeout=timeout, trust_env=False)
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise ClientError("The address or the API key has characters that cannot be sent.") from error
        async with http:
            yield cls(http)

    async def health(self) -> dict[str, Any]:
        """Return how every part is: `status`, and `checks` by name."""
        return dict(await self._json("GET", "/api/v1/health"))

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

    async def history(self, session: str) -> dict[str, Any]:
        """Return a conversation: `character`, `live_reply_id`, `messages`."""
        return dict(await self._json("GET", f"/api/v1/chat/history/{session}"))

    async def say(self, message: str, character: str, session: str | None) -> AsyncGenerator[ReplyEvent]:
        """Say something and yield the reply's events to the terminal one.

        A connection that breaks in mid-reply is taken up again after the last event that was seen.
        """
        body = {"message": message, "character": character, "stream": True}
        if session is not None:
            body["session_id"] = session
        reply_id, seen = "", 0
        try:
            async with (
                self._streaming("POST", "/api/v1/chat/message", json=body) as answer,
                aclosing(reply_events(answer.aiter_bytes())) as events,
            ):
                async for event in events:
                    seen = event.seq
                    if event.type == CREATED:
                        reply_id = event.data["reply_id"]
                    yield event
                    if event.type in TERMINAL:
                        return
        except (httpx.TransportError, Away) as error:
            if not reply_id:
                raise away(error) from error
        if not reply_id:
            raise Away(BROKEN)
        async with aclosing(self.follow(reply_id, seen)) as rest:
            async for event in rest:
                yield event

    async def follow(self, reply_id: str, after: int = 0) -> AsyncGenerator[ReplyEvent]:
        """Yield a reply's events after number `after`, connecting again as often as it takes to hear the last one."""
        pauses = iter(self._pauses)
        while True:
            try:
                async with (
                    self._streaming(
                        "GET", f"/api/v1/chat/replies/{reply_id}/events", headers={"last-event-id": str(after)}
                    ) as answer,
                    aclosing(reply_events(answer.aiter_bytes())) as events,
                ):
                    async for event in events:
                        after, pauses = event.seq, iter(self._pauses)
                        yield event
                        if event.type in TERMINAL:
                            return
            except (httpx.TransportError, Away) as error:
                pause = next(pauses, None)
                if pause is None:
                    raise away(error) from error
            else:
                pause = next(pauses, None)
                if pause is None:
                    raise Away(BROKEN)
            await asyncio.sleep(pause)

    async def cancel(self, reply_id: str) -> None:
        """Ask a reply to stop."""
        await self._json("POST", f"/api/v1/chat/replies/{reply_id}/cancel")

    async def speech_model(self) -> str:
        """Return the model that speaks here."""
        voices = VoiceList.model_validate(await self._json("GET", "/v1/audio/voices"))
        model = voices.model or next((voice.model for voice in voices.data), None)
        if model is None:
            raise Refused("There is no voice here.", status=404, code="not_found")
        return model

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

    async def _json(self, method: Method, path: str, body: Any = None) -> Any:
        async with self._guarded(method, path, body) as answer:
            return orjson.loads(await answer.aread())

    @asynccontextmanager
    async def _guarded(self, method: Method, path: str, body: Any = None) -> AsyncIterator[httpx.Response]:
        """Open an answer whose connection must not break."""
        try:
            async with self._streaming(method, path, json=body) as answer:
                yield answer
        except httpx.TransportError as error:
            raise away(error) from error

    @asynccontextmanager
    async def _streaming(self, method: Method, path: str, **more: Any) -> AsyncIterator[httpx.Response]:
        """Open an answer that is not an error."""
        try:
            request = self._http.build_request(method, path, **more)
            answer = await self._http.send(request, stream=True)
        except httpx.TransportError as error:
            raise away(error) from error
        except httpx.InvalidURL as error:
            raise ClientError("This is not an address that can be asked.") from error
        try:
            if not answer.is_success:
                raise refusal(answer, await answer.aread())
            yield answer
        finally:
            await answer.aclose()


def away(error: Exception) -> Away:
    """Say that nobody answers, keeping a sentence that says so already."""
    return error if isinstance(error, Away) else Away("Nobody answers.")


def refusal(answer: httpx.Response, body: bytes) -> ClientError:
    """Read an error: a problem (RFC 9457), or OpenAI's shape under `/v1/`; anything else is told by its status."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = {}
    told = told if isinstance(told, dict) else {}
    inner = told.get("error")
    openai = inner if isinstance(inner, dict) else {}
    message = told.get("detail") or openai.get("message") or f"The server answered {answer.status_code}."
    code = openai.get("code") or str(told.get("type", "")).rpartition(":")[2].replace("-", "_")
    if answer.status_code == 401:
        return KeyNeeded(WANTS_A_KEY)
    after = answer.headers.get("retry-after", "")
    retry_after = float(after) if after.isdigit() else None
    return Refused(str(message), status=answer.status_code, code=str(code), retry_after=retry_after)
