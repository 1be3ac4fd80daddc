"""Any OpenAI-compatible provider: the `openai` client for what it knows, the deltas as bytes.

The client brings authentication, retries before the first byte and pooling; the stream is read raw on its aiohttp
transport and parsed by orjson, since a model object a delta costs more than everything else together.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final

import httpx2
import orjson
from openai import APIConnectionError, APIStatusError, AsyncAPIResponse, AsyncOpenAI
from pydantic import SecretStr

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chatacter.chassis.telemetry import outgoing_headers
from chattr.adapters.openai_client import OpenAIEndpoint
from chattr.ports.language import ChatRequest, Chunk, finish_reason_of

CONNECT_SECONDS: Final = 10.0
CHECK_SECONDS: Final = 5.0
CHECK_KEPT_SECONDS: Final = 30.0
# One event of a stream: a provider that sends more without a line's end is broken.
MAX_LINE: Final = 4 * 1024 * 1024
END: Final = b""
# Machine-readable codes for a prompt that does not fit: OpenAI's, and llama.cpp's `type`.
CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error"})
# OpenAI's codes of a parameter, or a value of it, that this model does not take.
UNTAKEN_CODES: Final = frozenset({"unsupported_parameter", "unsupported_value"})
# What a reasoning model calls the limit that others call `max_tokens`.
RENAMED: Final = {"max_tokens": "max_completion_tokens"}

NO_KEY: Final = "The language model's provider wants an API key. Set MODEL__API_KEY (and check MODEL__URL)."
WRONG_KEY: Final = "The language model's provider refused the API key. Set MODEL__API_KEY to a valid one."
NOT_ALLOWED: Final = "The API key may not use this model. Check MODEL__API_KEY and MODEL__NAME."
NO_MODEL: Final = "The provider knows no such model, or nothing is at this address. Check MODEL__NAME and MODEL__URL."
TOO_LONG: Final = "The conversation is longer than the model's context. Shorten it, or lower MODEL__CONTEXT_TOKENS."
UNREACHABLE: Final = "The language model's provider cannot be reached. Check MODEL__URL, and that it is running."
AWAY: Final = "The language model's provider is away for now (it answered {status})."
REFUSED: Final = "The language model's provider refused the request (it answered {status})."
NOT_TAKEN: Final = (
    "The language model's provider does not take this request (it answered {status}{naming}). Check the parameters and "
    "messages that were sent, and what the model can do."
)
NAMING: Final = ", naming {param}"
PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]]{0,99}")
RATE_LIMIT: Final = "The language model's provider takes no more requests for now."
BROKE_OFF: Final = "The language model's provider broke off in the middle of its answer."
CLOSED: Final = "The service is shutting down."
LATE: Final = "The language model took longer than it was given."
MISCONFIGURED: Final = {401: WRONG_KEY, 403: NOT_ALLOWED, 404: NO_MODEL}
MISCONFIGURED_KEYLESS: Final = {401: NO_KEY, 403: NO_KEY, 404: NO_MODEL}
AWAY_STATUSES: Final = frozenset({408, 502, 503, 504, 529})


class OpenAILanguageModel(OpenAIEndpoint):
    """A provider's model."""

    def __init__(
        self,
        *,
        name: str,
        url: str,
        api_key: SecretStr | None = None,
        max_retries: int = 1,
        through_proxy: bool = True,
        keep_alive: bool = True,
    ) -> None:
        super().__init__(
            url=url,
            api_key=api_key,
            max_retries=max_retries,
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            through_proxy=through_proxy,
        )
        self.name = name
        self._headers = {} if keep_alive else {"connection": "close"}
        self._untaken: dict[str, set[str]] = {}
        self._checked: tuple[float, str | None] = (float("-inf"), None)

    @property
    def _open(self) -> AsyncOpenAI:
        assert self._client is not None, "the language model is used outside `async with`"
        return self._client

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        """Answer in chunks; see the port. What a chunk holds is the provider's."""
        events, complete = EventStream(), False
        try:
            async with AsyncExitStack() as stack:
                async with deadline.timeout():
                    response = await self._answering(stack, request)
                parts = response.http_response.aiter_bytes()
                while not events.done:
                    async with deadline.timeout():
                        part = await anext(parts, END)
                    for chunk in events.feed(part):
                        complete = complete or finish_reason_of(chunk) is not None
                        yield chunk
        except TimeoutError:
            raise errors.DeadlineExceeded(LATE) from None
        except APIStatusError as error:
            raise self._refused(error) from None
        except APIConnectionError:
            raise errors.Unavailable(UNREACHABLE) from None
        except httpx2.HTTPError:
            raise errors.UpstreamFailed(BROKE_OFF) from None
        except RuntimeError:  # aiohttp's, for reading from a connection that was closed on this side.
            if self._client is not None:
                raise
            raise errors.Unavailable(CLOSED) from None
        if not (complete or events.said_done):
            raise errors.UpstreamFailed(BROKE_OFF)

    async def _answering(self, stack: AsyncExitStack, request: ChatRequest) -> AsyncAPIResponse[Any]:
        """Ask; and where the model does not take a parameter that nobody asked for, ask again without it."""
        untaken = self._untaken.setdefault(request.model or self.name, set())
        while True:
            try:
                return await stack.enter_async_context(self._asked(request, untaken))
            except APIStatusError as error:
                fresh = request.yielding - untaken
                if error.code not in UNTAKEN_CODES or error.param not in fresh:
                    raise
                untaken.add(error.param)

    def _asked(
        self, request: ChatRequest, untaken: Collection[str]
    ) -> AbstractAsyncContextManager[AsyncAPIResponse[Any]]:
        # In `extra_body` the messages skip the client's typed conversion, and fields that it does not know pass.
        model = request.model or self.name
        return self._open.chat.completions.with_streaming_response.create(
            model=model,
            messages=[],
            stream=True,
            extra_body={**taken(request, untaken), "model": model, "messages": request.messages},
            extra_headers={**outgoing_headers(self._headers), **self._keyless},
        )

    async def check(self) -> str | None:
        """Ask the provider for its models, at most every half minute. One without that list is taken as ready."""
        at, said = self._checked
        if time.monotonic() - at < CHECK_KEPT_SECONDS:
            return said
        said = await self._probed()
        self._checked = (time.monotonic(), said)
        return said

    async def _probed(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._open.models.with_raw_response.list(extra_headers=self._keyless)
        except (TimeoutError, APIConnectionError):
            return UNREACHABLE
        except APIStatusError as error:
            refusal = self._refused(error)
            known = error.status_code in {401, 403} or isinstance(refusal, errors.Unavailable)
            return refusal.message if known and not isinstance(refusal, errors.Busy) else None
        return None

    def _refused(self, error: APIStatusError) -> errors.ChatacterError:
        """Say what a status means. The provider's own words may quote the prompt, so they stay here."""
        status = error.status_code
        if status in {401, 403, 404}:
            return errors.Misconfigured((MISCONFIGURED if self._api_key else MISCONFIGURED_KEYLESS)[status])
        if status == 413 or error.code in CONTEXT_CODES or error.type in CONTEXT_CODES:
            return errors.TooLarge(TOO_LONG)
        retry_after = seconds(error.response.headers.get("retry-after"))
        if status == 429:
            return errors.Busy(RATE_LIMIT, retry_after=retry_after)
        if status in AWAY_STATUSES:
            return errors.Unavailable(AWAY.format(status=status), retry_after=retry_after)
        if status in {400, 422}:
            param = error.param if isinstance(error.param, str) and PARAMETER.fullmatch(error.param) else None
            naming = NAMING.format(param=param) if param else ""
            return errors.InvalidInput(NOT_TAKEN.format(status=status, naming=naming), param=param)
        return errors.UpstreamFailed(REFUSED.format(status=status))


def taken(request: ChatRequest, untaken: Collection[str]) -> dict[str, Any]:
    """Return a request's parameters without those that yield and are not taken; the limit goes by its other name."""
    gone = request.yielding & set(untaken)
    return {
        RENAMED.get(name, name) if name in gone else name: value
        for name, value in request.sampling.items()
        if name not in gone or name in RENAMED
    }


class EventStream:
    """Takes the bytes of a stream as they come, gives the chunks that they complete. Source: WHATWG HTML, section 9.2.

    Fields other than `data`, comments and empty lines are passed over; providers write one line of data an event.
    """

    def __init__(self) -> None:
        self.done = False
        self.said_done = False
        self._rest = b""

    def feed(self, part: bytes) -> Iterator[Chunk]:
        """Give the chunks that are whole now; an empty part says that the stream has ended."""
        lines = (self._rest + (part or b"\n")).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_LINE:
            raise errors.UpstreamFailed(BROKE_OFF)
        self.done = not part
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                self.done = self.said_done = True
                return
            yield chunk_of(data)


def chunk_of(data: bytes) -> Chunk:
    """Parse one event. Raises `UpstreamFailed` for an error that the provider sends in its stream."""
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise errors.UpstreamFailed(BROKE_OFF) from None
    if not isinstance(chunk, dict) or "error" in chunk:
        raise errors.UpstreamFailed(BROKE_OFF)
    return chunk


def seconds(header: str | None) -> float | None:
    """Read a `Retry-After` in seconds; its other form, a date, is left out."""
    return float(header) if header is not None and header.isdecimal() else None
