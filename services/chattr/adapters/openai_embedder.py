"""Any OpenAI-compatible endpoint of embeddings."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Final

import httpx2
import numpy as np
from openai import APIConnectionError, APIStatusError
from pydantic import SecretStr

from chatacter.chassis.errors import ChatacterError, Misconfigured, Unavailable, UpstreamFailed
from chatacter.chassis.telemetry import outgoing_headers
from chattr.adapters.openai_client import OpenAIEndpoint
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


class OpenAIEmbedder(OpenAIEndpoint):
    """A model at an endpoint. Its name holds the length of a vector where one is asked for: other vectors then."""

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
        super().__init__(
            url=url,
            api_key=api_key,
            max_retries=1,
            timeout=httpx2.Timeout(timeout, connect=CONNECT_SECONDS),
            through_proxy=through_proxy,
        )
        self.name = f"{name}:{dimensions}" if dimensions else name
        self._model = name
        self._dimensions = dimensions
        self._failure: str | None = None
        self._heard_at = -inf

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
                extra_headers={**outgoing_headers({}), **self._keyless},
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
