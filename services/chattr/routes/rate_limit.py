"""`API_RATE_LIMIT` in front of every door: told with each answer, refused with 429 when it is used up.

Source: IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers).
"""

import asyncio
import math
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatacter.chassis.auth import Keyring, token_of
from chatacter.chassis.errors import Busy, Unauthenticated, Unavailable
from chatacter.chassis.problems import response_of
from chattr.domain.identity import Owner
from chattr.ports.allowance import Allowance, Policy, RateLimiter

NAME: Final = '"requests"'
DOORS: Final = ("/v1/", "/v2/", "/api/v1/")
# Asked by probes, by KEDA and by those who look whether we are well.
FREE: Final = frozenset({"/api/v1/demand", "/api/v1/health"})
# The services' shared token: what they ask each other was counted already.
SERVICE: Final = "service"
# A count that does not come is not waited for: better too many requests than none.
PATIENCE_SECONDS: Final = 0.5
USED_UP: Final = "This key may make {requests} requests in {seconds:g} seconds (API_RATE_LIMIT). Wait, then go on."


class RateLimit:
    """Counts a request before it is served. Where nobody can count, it is served uncounted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        limiter: RateLimiter | None = scope.get("state", {}).get("rate_limiter")
        counted = limiter is not None and scope["type"] in {"http", "websocket"} and is_counted(scope["path"])
        allowance = await taken(limiter, HTTPConnection(scope)) if limiter is not None and counted else None
        if limiter is None or allowance is None:
            await self._app(scope, receive, send)
            return
        headers = headers_of(limiter.policy, allowance)

        async def telling(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept"}:
                MutableHeaders(scope=message).update(headers)
            await send(message)

        if allowance.retry_after is None:
            await self._app(scope, receive, telling)
            return
        refusal = used_up(limiter.policy, allowance)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.message})
        else:
            await response_of(refusal, scope["path"])(scope, receive, telling)


def is_counted(path: str) -> bool:
    """Whether a path is a door whose requests are counted."""
    return path.startswith(DOORS) and path not in FREE


async def require_allowance(connection: HTTPConnection) -> None:
    """Count what came over an open socket like a request. Raises `Busy` when the limit is used up."""
    limiter: RateLimiter | None = connection.scope["state"].get("rate_limiter")
    allowance = await taken(limiter, connection) if limiter is not None else None
    if limiter is not None and allowance is not None and allowance.retry_after is not None:
        raise used_up(limiter.policy, allowance)


async def taken(limiter: RateLimiter, connection: HTTPConnection) -> Allowance | None:
    """Take one request of the caller's; None where it is not counted: a wrong key is refused further on."""
    keyring: Keyring = connection.app.state.keyring
    try:
        caller = keyring.identify(token_of(connection))
        if caller.key_id == SERVICE:
            return None
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await limiter.take(Owner(caller.tenant), caller.key_id)
    except (Unauthenticated, Unavailable, TimeoutError):
        return None


def headers_of(policy: Policy, allowance: Allowance) -> dict[str, str]:
    """Write the policy, and what is left of it."""
    return {
        "ratelimit-policy": f"{NAME};q={policy.requests};w={math.ceil(policy.seconds)}",
        "ratelimit": f"{NAME};r={allowance.remaining};t={math.ceil(allowance.reset)}",
    }


def used_up(policy: Policy, allowance: Allowance) -> Busy:
    """Say when to go on."""
    message = USED_UP.format(requests=policy.requests, seconds=policy.seconds)
    return Busy(message, retry_after=allowance.retry_after)
