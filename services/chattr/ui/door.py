"""The API that the page stands before, and whether visitors need a key of their own to reach it."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from chatacter.client.api import Api
from chatacter.client.errors import ClientError, KeyNeeded, Refused

KEY: Final = "This page asks for an API key."
OPEN: Final = (
    "The API behind this page is open to callers without a key, and the page itself is not. "
    "Its operator has to give both the same REQUIRE_API_KEY."
)


@dataclass(frozen=True, slots=True)
class Door:
    """Where the API answers. With `keys_required` the page is no way round a key: not for itself, nor for visitors."""

    url: str
    keys_required: bool = False

    def api(self, key: str | None) -> AbstractAsyncContextManager[Api]:
        """Connect as a visitor."""
        return Api.connected(self.url, key)

    async def ask(self, anonymous: Api) -> None:
        """Ask the API without a key. Raises `Away`, what it tells, and where anyone may enter and nobody should."""
        try:
            await anonymous.characters()
        except KeyNeeded:
            return
        except Refused:
            if not self.keys_required:
                raise
        if self.keys_required:
            raise ClientError(OPEN)

    async def enter(self, key: str | None) -> None:
        """Let a visitor in. Raises `KeyNeeded` without a key, and what `ask` raises."""
        if not self.keys_required:
            return
        if key is None:
            raise KeyNeeded(KEY)
        async with self.api(None) as anonymous:
            await self.ask(anonymous)
