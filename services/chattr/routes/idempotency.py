"""`Idempotency-Key` on the POSTs that cost money: the first answer is kept and given again, streams included.

Source: IETF draft "The Idempotency-Key HTTP Header Field". Same key and same request: the kept answer, with
`Idempotent-Replayed: true`. Same key, other request: 422. While the first still runs: 409.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any, Final

import anyio
from fastapi import Depends
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from chatacter.chassis.auth import Caller, Keyring, Principal, token_of
from chatacter.chassis.errors import InvalidInput, Unavailable
from chattr.dependencies import idempotency_store, owner_of
from chattr.domain.identity import Owner
from chattr.ports.cache import IdempotencyStore, KeptAnswer

HEADER: Final = "idempotency-key"
REPLAYED: Final = "idempotent-replayed"
LONGEST_KEY: Final = 255
LARGEST_ANSWER: Final = 8 * 1024 * 1024
KEPT_HEADERS: Final = frozenset({"content-type", "cache-control", "etag", "location", "x-digital-source-type"})


class IdempotentRoute(APIRoute):
    """A route class for routers whose POSTs may be repeated safely."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler; requests without the header pass untouched."""
        handler = super().get_route_handler()

        async def idempotent(request: Request) -> Response:
            key = request.headers.get(HEADER)
            if key is None or request.method != "POST":
                return await handler(request)
            if not 0 < len(key) <= LONGEST_KEY:
                raise InvalidInput(f"An Idempotency-Key has 1 to {LONGEST_KEY} characters.", param="Idempotency-Key")
            keyring: Keyring = request.app.state.keyring
            caller = keyring.identify(token_of(request))
            owner = owner_of(caller, request)
            claim = Claim(idempotency_store(request), owner, own(caller, key), await fingerprint(request))
            kept = await claim.begin()
            if kept is not None:
                return replayed(kept)
            try:
                response = await handler(request)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await claim.abandon()
                raise
            return Keeping(response, claim)

        return idempotent


def own(caller: Principal, key: str) -> str:
    """Tell keys of different API keys apart: another may lack the scope for what is kept here."""
    return f"{caller.key_id}:{key}"


def own_key(caller: Caller, request: Request) -> str | None:
    """Return what names a request for a store that makes one thing of a key, should the kept answer be lost."""
    key = request.headers.get(HEADER)
    return own(caller, key) if key else None


OwnKeyDep = Annotated[str | None, Depends(own_key)]


class Claim:
    """A key that this request holds. Should the store go away meanwhile, the claim stands until it runs out."""

    def __init__(self, store: IdempotencyStore, owner: Owner, key: str, fingerprint: str) -> None:
        self._store = store
        self._owner = owner
        self._key = key
        self._fingerprint = fingerprint

    async def begin(self) -> KeptAnswer | None:
        """Claim the key, or return its kept answer."""
        return await self._store.begin(self._owner, self._key, self._fingerprint)

    async def finish(self, answer: KeptAnswer) -> None:
        """Keep the answer under the key."""
        with suppress(Unavailable):
            await self._store.finish(self._owner, self._key, self._fingerprint, answer)

    async def abandon(self) -> None:
        """Give the key back."""
        with suppress(Unavailable):
            await self._store.abandon(self._owner, self._key)


class Keeping(Response):
    """Sends another response and keeps what it sent, if it was sent whole and is worth keeping."""

    def __init__(self, response: Response, claim: Claim) -> None:
        self._response = response
        self._claim = claim
        self.status_code = response.status_code
        self.background = None

    @property
    def headers(self) -> Any:
        """The wrapped response's headers."""
        return self._response.headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; keep it before its end is told, so that a repetition finds it. Else give the key back."""
        body: list[bytes] = []
        size = 0
        kept = False

        async def copying(message: Message) -> None:
            nonlocal size, kept
            if message["type"] == "http.response.body":
                part = message.get("body", b"")
                size += len(part)
                if size <= LARGEST_ANSWER:
                    body.append(part)
                if not message.get("more_body", False) and size <= LARGEST_ANSWER and self.status_code < 500:
                    await self._claim.finish(self._answer(b"".join(body)))
                    kept = True
            await send(message)

        try:
            await self._response(scope, receive, copying)
        finally:
            if not kept:
                with anyio.CancelScope(shield=True):
                    await self._claim.abandon()

    def _answer(self, body: bytes) -> KeptAnswer:
        headers = tuple((name, value) for name, value in self._response.headers.items() if name in KEPT_HEADERS)
        return KeptAnswer(self.status_code, headers, body)


async def fingerprint(request: Request) -> str:
    """Hash what makes a request the same: method, path, query and body.

    A client draws the boundary between a form's parts anew each time it sends it, so that does not count.
    """
    made = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    body = await request.body()
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary") if kind == b"multipart/form-data" else None
    made.update(body.replace(b"--" + boundary, b"--") if boundary else body)
    return made.hexdigest()


def replayed(kept: KeptAnswer) -> Response:
    """Give a kept answer again."""

    async def once() -> AsyncIterator[bytes]:
        yield kept.body

    return StreamingResponse(once(), status_code=kept.status, headers={**dict(kept.headers), REPLAYED: "true"})
