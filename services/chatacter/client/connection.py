"""One connection pool to the public API: answers, errors, and replies as streams that survive a broken connection."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, Literal, Self

import httpx
import orjson

from chatacter.client.errors import Away, ClientError, KeyNeeded, Refused
from chatacter.client.events import CREATED, TERMINAL, ReplyEvent, reply_events

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Upload = tuple[str, bytes, str]
"""A file's name, what is in it, and its media type."""

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
# Nothing is sent while a model reads a long prompt or a voice begins; after this long somebody has gone.
SILENCE_SECONDS: Final = 120.0
RESUME_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)

FILE_NAME: Final = re.compile(r'filename="([^"/\\]+)"')
RAW: Final = {"content-type": "application/octet-stream"}

WANTS_A_KEY: Final = "The server wants an API key that it knows."
BROKEN: Final = "The connection to the server broke."


class Connection:
    """What all calls are made over. Every call raises `ClientError` and nothing else."""

    def __init__(self, http: httpx.AsyncClient, *, pauses: tuple[float, ...] = RESUME_PAUSES) -> None:
        self._http = http
        self._pauses = pauses

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str, key: str | None = None) -> AsyncIterator[Self]:
        """Make a client for the server at `url`; nothing is sent yet."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, read=SILENCE_SECONDS)
        try:
            http = httpx.AsyncClient(base_url=url.rstrip("/"), headers=headers, timeout=timeout, trust_env=False)
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise ClientError("The address or the API key has characters that cannot be sent.") from error
        async with http:
            yield cls(http)

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

    async def _replied(self, path: str, body: dict[str, Any]) -> AsyncGenerator[ReplyEvent]:
        """Ask for a reply and yield its events to the terminal one, in a group those of the replies that follow too.

        A connection that breaks in mid-reply is taken up again after the last event that was seen.
        """
        reply_id, seen, ended = "", 0, False
        try:
            async with (
                self._streaming("POST", path, json={**body, "stream": True}) as answer,
                aclosing(reply_events(answer.aiter_bytes())) as events,
            ):
                async for event in events:
                    seen = event.seq
                    if event.type == CREATED:
                        reply_id = event.data["reply_id"]
                    ended = event.type in TERMINAL
                    yield event
        except (httpx.TransportError, Away) as error:
            if not reply_id:
                raise away(error) from error
        if ended:
            return
        if not reply_id:
            raise Away(BROKEN)
        async with aclosing(self.follow(reply_id, seen)) as rest:
            async for event in rest:
                yield event

    async def _json(self, method: Method, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        async with self._guarded(method, path, body, headers) as answer:
            return orjson.loads(await answer.aread())

    async def _form(self, path: str, fields: Mapping[str, str], files: Sequence[tuple[str, Upload]]) -> Any:
        """Send a form with files."""
        try:
            async with self._streaming("POST", path, data=dict(fields), files=list(files)) as answer:
                return orjson.loads(await answer.aread())
        except httpx.TransportError as error:
            raise away(error) from error

    async def _file(self, path: str) -> tuple[bytes, str]:
        """Ask for a file; return it with its name."""
        async with self._guarded("GET", path) as answer:
            named = FILE_NAME.search(answer.headers.get("content-disposition", ""))
            return await answer.aread(), named[1] if named else "file"

    @asynccontextmanager
    async def _guarded(
        self, method: Method, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Open an answer whose connection must not break. Bytes are sent as they are, anything else as JSON."""
        raw = isinstance(body, bytes)
        sent: dict[str, Any] = {"content": body} if raw else {"json": body}
        try:
            async with self._streaming(
                method, path, headers={**(RAW if raw else {}), **(headers or {})}, **sent
            ) as answer:
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
