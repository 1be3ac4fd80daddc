"""What every OpenAI-compatible endpoint is reached by: the official client, opened off the loop and closed whole."""

import asyncio
from types import TracebackType
from typing import Any, Final, Self

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit
from pydantic import SecretStr

# Unset, these would be read from OPENAI_* in the environment, and sent to whatever endpoint is configured.
NEVER_AMBIENT: Final[Any] = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}


class OpenAIEndpoint:
    """An endpoint at a base URL. Opened and closed as an async context manager; constructing it does nothing."""

    def __init__(
        self,
        *,
        url: str,
        api_key: SecretStr | None,
        max_retries: int,
        timeout: httpx2.Timeout,
        through_proxy: bool,
    ) -> None:
        self._url = url
        self._api_key = api_key.get_secret_value() if api_key else ""
        self._max_retries = max_retries
        self._timeout = timeout
        self._through_proxy = through_proxy
        # The client wants a missing key to be meant, with each request; a default header does not count.
        self._keyless: dict[str, Any] = {} if self._api_key else {"Authorization": Omit()}
        self._client: AsyncOpenAI | None = None

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

    def _made(self) -> AsyncOpenAI:
        """Make the client, in a thread: it reads certificates, and files that tell what system this is."""
        client = AsyncOpenAI(
            base_url=self._url,
            api_key=self._api_key,
            admin_api_key="",
            max_retries=self._max_retries,
            timeout=self._timeout,
            default_headers=NEVER_AMBIENT | self._keyless,
            http_client=DefaultAioHttpClient(trust_env=self._through_proxy),
        )
        client.platform_headers()
        return client
