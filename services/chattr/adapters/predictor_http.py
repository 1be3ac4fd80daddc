"""Calls to one predictor. Each is a connection of its own, has a deadline, and carries the trace and our token."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from pydantic import SecretStr

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chatacter.chassis.telemetry import outgoing_headers
from chattr.ports.media import Answer, Listing, Question

CONNECT_SECONDS: Final = 5.0
RETRY_AFTER: Final = 2.0
LARGEST_ERROR: Final = 64 * 1024
LARGEST_EVENT: Final = 512 * 1024 * 1024
JSON: Final = {"content-type": "application/json"}
PASSED_ON: Final = frozenset({"inference-header-content-length", "x-digital-source-type"})

AWAY: Final = (
    "{name} cannot be reached. Check that it runs and that {setting} is right. "
    "Where it sleeps while nobody asks, this request wakes it: come back."
)
LATE: Final = "{name} took longer than it was given."
BROKE_OFF: Final = "{name} was lost in the middle of its answer."
SILENT: Final = "{name} stopped answering in the middle of its work."
UNREADABLE: Final = "{name} answered something that cannot be read."
NO_ENTRY: Final = "{name} does not accept our token. Set the same SERVICE_TOKEN for all services."
FAILED: Final = "{name} failed ({status})."


@dataclass(frozen=True, slots=True)
class Place:
    """A predictor's base URL, what it is called in sentences, and the setting that says where it is."""

    url: str
    name: str
    setting: str

    @classmethod
    def of(cls, service: str, url: str, *models: str) -> Self:
        """Name the place at `…__URL`, or with models the one at which `…__URLS` says that they are."""
        named = f"{service} ({', '.join(models)})" if models else service
        return cls(url, named, f"{service.upper()}__URL{'S' if models else ''}")


class PredictorHttp:
    """One predictor at a base URL. Opened and closed as an async context manager; constructing it does nothing.

    `silence` is how many seconds may pass between two pieces of an answer that has begun. Until it begins only the
    deadline counts: a balancer may hold the request while a replica starts. Of an `endless` answer, as long as its
    listener takes to hear it, only the beginning has a deadline; then it may pause for as long as that was.
    """

    def __init__(self, place: Place, *, token: SecretStr | None = None, silence: float | None = None) -> None:
        self.name = place.name
        self._url = place.url.rstrip("/")
        self._setting = place.setting
        self._token = token
        self._silence = silence
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Make the client; each request connects anew, so that a balancer chooses a free replica each time."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is still open."""
        if self._session is not None:
            await self._session.close()

    def named(self, model: str) -> bool:
        """Whether it is known without asking that a model is served here: nobody has said so."""
        return False

    async def models(self, deadline: Deadline) -> Listing[str]:
        """Return the models that are served."""
        try:
            listed = await self.json("/v1/models", deadline)
        except errors.ChatacterError as error:
            return Listing(unknown=error)
        names = listed.get("models") if isinstance(listed, dict) else None
        return Listing([str(name) for name in names]) if isinstance(names, list) else Listing(unknown=self.unreadable())

    async def ask(self, model: str, question: Question, deadline: Deadline) -> Answer:
        """Pass a question on and return the answer once it begins."""
        response = await self.opened(
            question.method, question.path, deadline, body=question.body, headers=question.headers
        )
        kept = {name.lower(): value for name, value in response.headers.items() if name.lower() in PASSED_ON}
        return Answer(response.headers.get("content-type", "application/json"), kept, self.chunks(response))

    async def json(self, path: str, deadline: Deadline, headers: Mapping[str, str] | None = None) -> Any:
        """Get a JSON document."""
        response = await self.opened("GET", path, deadline, headers=headers)
        async with aclosing(self.chunks(response)) as chunks:
            body = b"".join([chunk async for chunk in chunks])
        return self.parsed(body)

    async def opened(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        endless: bool = False,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the response once it begins. Raises what the predictor says is wrong."""
        if self._session is None:
            raise RuntimeError("a predictor's client is used before it is opened")
        if not deadline.remaining:
            raise errors.DeadlineExceeded(self._say(LATE))
        sent = outgoing_headers(headers)
        if self._token is not None:
            sent["authorization"] = f"Bearer {self._token.get_secret_value()}"
        given = deadline.remaining
        timeout = aiohttp.ClientTimeout(
            total=None if endless else given, sock_read=given if endless else None, sock_connect=CONNECT_SECONDS
        )
        with self._told():
            response = await self._session.request(
                method, self._url + path, data=body or None, headers=sent, timeout=timeout, allow_redirects=False
            )
        if response.status >= 300:
            raise await self._refusal(response)
        return response

    async def chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        """Yield an answer's bytes as they come. Closing it ends the connection."""
        try:
            while chunk := await self._piece(response):
                yield chunk
        finally:
            response.close()

    async def _piece(self, response: aiohttp.ClientResponse) -> bytes:
        silence = asyncio.timeout(self._silence)
        try:
            with self._told():
                async with silence:
                    return await response.content.readany()
        except errors.DeadlineExceeded as error:
            if silence.expired() or isinstance(error.__cause__, aiohttp.SocketTimeoutError):
                raise errors.UpstreamFailed(self._say(SILENT)) from error
            raise

    async def events(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        """Yield the data of each server-sent event. A stream of ours has one line of data an event."""
        buffer = bytearray()
        async with aclosing(self.chunks(response)) as chunks:
            async for chunk in chunks:
                searched = max(0, len(buffer) - 1)
                buffer += chunk
                while (end := buffer.find(b"\n\n", searched)) >= 0:
                    event = bytes(buffer[:end])
                    del buffer[: end + 2]
                    searched = 0
                    if data := data_of(event):
                        yield data
                if len(buffer) > LARGEST_EVENT:
                    raise errors.UpstreamFailed(self._say(UNREADABLE))

    def parsed(self, body: bytes) -> Any:
        """Read JSON. Raises `UpstreamFailed`; an error that travels inside a stream is raised as itself."""
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise errors.UpstreamFailed(self._say(UNREADABLE)) from error
        if isinstance(value, dict) and isinstance(value.get("error"), dict):
            raise self._error_of(value, 500, None)
        return value

    def unreadable(self) -> errors.UpstreamFailed:
        """Say that an answer is not of the shape agreed on."""
        return errors.UpstreamFailed(self._say(UNREADABLE))

    def broke_off(self) -> errors.UpstreamFailed:
        """Say that a stream ended before its last event."""
        return errors.UpstreamFailed(self._say(BROKE_OFF))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except aiohttp.ConnectionTimeoutError as error:
            raise errors.Unavailable(self._say(AWAY), retry_after=RETRY_AFTER) from error
        except TimeoutError as error:
            raise errors.DeadlineExceeded(self._say(LATE)) from error
        except aiohttp.ClientConnectorError as error:
            raise errors.Unavailable(self._say(AWAY), retry_after=RETRY_AFTER) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise errors.UpstreamFailed(self._say(BROKE_OFF)) from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> errors.ChatacterError:
        try:
            with self._told():
                body = await response.content.read(LARGEST_ERROR)
        except errors.ChatacterError:
            body = b""
        finally:
            response.close()
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            value = {}
        return self._error_of(value if isinstance(value, dict) else {}, response.status, retry_after_of(response))

    def _error_of(self, body: Mapping[str, Any], status: int, retry_after: float | None) -> errors.ChatacterError:
        told = body.get("error")
        told = told if isinstance(told, dict) else body
        code = str(told.get("code") or str(body.get("type", "")).rpartition(":")[2].replace("-", "_"))
        known = errors.named(code)
        kind = known or BY_STATUS.get(status, errors.UpstreamFailed)
        if issubclass(kind, errors.Unauthenticated | errors.Forbidden):
            return errors.Misconfigured(self._say(NO_ENTRY))
        if kind is errors.ChatacterError:
            kind = errors.UpstreamFailed
        message = told.get("message") or told.get("detail")
        if known is None or kind is errors.UpstreamFailed or not isinstance(message, str):
            message = FAILED.format(name=self.name, status=status)
        wait = retry_after if retry_after is not None else number(told.get("retry_after"))
        param = told.get("param")
        return kind(message, param=param if isinstance(param, str) else None, retry_after=wait)

    def _say(self, sentence: str) -> str:
        return sentence.format(name=self.name, setting=self._setting)


BY_STATUS: Final[Mapping[int, type[errors.ChatacterError]]] = {
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    429: errors.Busy,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
    507: errors.OutOfMemory,
}


def data_of(event: bytes) -> bytes:
    """Return the data line of one event; empty for a comment."""
    return next((line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")), b"")


def retry_after_of(response: aiohttp.ClientResponse) -> float | None:
    """Read the header as seconds."""
    return number(response.headers.get("retry-after"))


def number(value: Any) -> float | None:
    """Read a number, or None."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
