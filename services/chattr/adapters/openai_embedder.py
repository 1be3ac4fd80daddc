"""Any OpenAI-compatible endpoint of embeddings."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

import httpx2
import numpy as np
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAioHttpClient, Omit
from pydantic import SecretStr

from chatacter.chassis.errors import ChatacterError, Misconfigured, Unavailable, UpstreamFailed
from chatacter.chassis.telemetry import outgoing_headers
from chattr.ports.embedder import Vectors

CONNECT_SECONDS: Final = 5.0
# Endpoints take at least so many texts at once; OpenAI's takes 2,048.
AT_ONCE: Final = 32
# Characters of a text that are embedded: OpenAI takes 8,191 tokens, and no writing has more than two a character.
LONGEST: Final = 4_000
HEARD_LATELY: Final = 60.0

REFUSED_KEY: Final = "The embeddings endpoint refuses the API key. Set EMBEDDINGS__API_KEY."
NO_MODEL: Final = "The embeddings endpoint knows no such model. Check EMBEDDINGS__NAME and EMBEDDINGS__URL."
AWAY: Final = "The embeddings endpoint does not answer. Nothing was lost; try again in a moment."
REJECTED: Final = "The embeddings endpoint rejected a text or EMBEDDINGS__DIMENSIONS (it answered {status})."
BROKEN: Final = "The embeddings endpoint answered with something else than a vector a text."
RETRY_AFTER: Final = 2.0


class OpenAIEmbedder:
    """A model at a base URL. Opened and closed as an async context manager; constructing it does nothing.

    Its name holds the model and, where one is asked for, the length of a vector: of another length are other vectors.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        api_key: SecretStr | None = None,
        dimensions: int | None = None,
        timeout: float = 10.0,
        through_proxy: bool = True,
    ) -> None:
        self.name = f"{name}:{dimensions}" if dimensions else name
        self._model = name
        self._url = url
        self._api_key = api_key.get_secret_value() if api_key else ""
        self._dimensions = dimensions
        self._timeout = timeout
        self._through_proxy = through_proxy
        self._client: AsyncOpenAI | None = None
        self._failure: str | None = None
        self._heard_at = -inf

    async def __aenter__(self) -> Self:
        """Make the client; the first request connects."""
        self._client = await asyncio.to_thread(self._made)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length 1 a text. Raises `Unavailable`, `Misconfigured`, `UpstreamFailed`."""
        if not texts:
            return np.zeros((0, self._dimensions or 0), np.float32)
        try:
            made = await self._embedded(texts)
        except ChatacterError as error:
            self._failure, self._heard_at = error.message, monotonic()
            raise
        self._failure, self._heard_at = None, monotonic()
        return made

    async def _embedded(self, texts: Sequence[str]) -> Vectors:
        rows = [row for some in pieces(texts) for row in await self._asked(some)]
        try:
            found = np.array(rows, np.float32)
        except ValueError:
            raise UpstreamFailed(BROKEN) from None
        lengths = np.linalg.norm(found, axis=-1, keepdims=True)
        if found.ndim != 2 or not np.isfinite(found).all() or not lengths.all():
            raise UpstreamFailed(BROKEN)
        return np.asarray(found / lengths, np.float32)

    async def check(self) -> str | None:
        """Readiness: None when a text can be embedded.

        Probes ask every few seconds and each text costs something, so what was heard lately is told again.
        """
        if monotonic() - self._heard_at > HEARD_LATELY:
            with suppress(ChatacterError):
                await self.embed(["ready"])
        return self._failure

    def _made(self) -> AsyncOpenAI:
        """Make the client, in a thread: it reads certificates, and files that tell what system this is."""
        # Unset, these would be read from OPENAI_* in the environment, and sent to whatever endpoint is configured.
        never_ambient: Any = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
        client = AsyncOpenAI(
            base_url=self._url,
            api_key=self._api_key,
            admin_api_key="",
            max_retries=1,
            timeout=httpx2.Timeout(self._timeout, connect=CONNECT_SECONDS),
            default_headers=never_ambient | self._keyless(),
            http_client=DefaultAioHttpClient(trust_env=self._through_proxy),
        )
        client.platform_headers()
        return client

    def _keyless(self) -> dict[str, Any]:
        """The client wants a missing key to be meant, with each request."""
        return {} if self._api_key else {"Authorization": Omit()}

    async def _asked(self, texts: Sequence[str]) -> list[list[float]]:
        if self._client is None:
            raise Unavailable(AWAY, retry_after=RETRY_AFTER)
        try:
            answer = await self._client.embeddings.create(
                model=self._model,
                # No endpoint takes an empty text.
                input=[text[:LONGEST] or " " for text in texts],
                encoding_format="float",
                extra_body={"dimensions": self._dimensions} if self._dimensions else None,
                extra_headers={**outgoing_headers({}), **self._keyless()},
            )
        except APIStatusError as error:
            raise refused(error.status_code) from None
        except APIConnectionError:  # a timeout is one too
            raise Unavailable(AWAY, retry_after=RETRY_AFTER) from None
        found = sorted(answer.data or (), key=lambda one: one.index)
        if [one.index for one in found] != list(range(len(texts))):
            raise UpstreamFailed(BROKEN)
        return [one.embedding for one in found]


def pieces(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut texts into what is asked at once."""
    for first in range(0, len(texts), AT_ONCE):
        yield texts[first : first + AT_ONCE]


def refused(status: int) -> ChatacterError:
    """Say what a status means. The endpoint's own words may quote the text, so they stay there."""
    if status in {401, 403}:
        return Misconfigured(REFUSED_KEY)
    if status == 404:
        return Misconfigured(NO_MODEL)
    if status in {408, 429} or status >= 500:
        return Unavailable(AWAY, retry_after=RETRY_AFTER)
    return UpstreamFailed(REJECTED.format(status=status))
