"""Liveness and readiness. Live: the loop turns. Ready: every check says so; a check that fails says why."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, PlainTextResponse

CHECK_TIMEOUT: Final = 2.0
WELL: Final = "ok"

# Returns None when all is well, else a sentence that says what is missing.
Check = Callable[[], Awaitable[str | None]]


class Readiness(BaseModel):
    """Whether the service can do its work, and what is in the way."""

    ready: bool
    checks: dict[str, str]

    @property
    def well(self) -> bool:
        """Whether every check is, the told ones too."""
        return all(told == WELL for told in self.checks.values())


class Health:
    """The checks of one service. `optional` ones are told and do not make it unready.

    What all replicas share is told only: its absence would take all of them out of the balancer at once.
    """

    def __init__(self, required: dict[str, Check] | None = None, optional: dict[str, Check] | None = None) -> None:
        self._required = dict(required or {})
        self._optional = dict(optional or {})

    def require(self, name: str, check: Check) -> None:
        """Add a check without which the service is not ready."""
        self._required[name] = check

    def tell(self, name: str, check: Check) -> None:
        """Add a check that is told, and without which the service still works."""
        self._optional[name] = check

    async def ask(self) -> Readiness:
        """Run all checks side by side, each with its own time limit."""
        checks = {**self._required, **self._optional}
        answers = dict(zip(checks, await asyncio.gather(*map(bounded, checks.values())), strict=True))
        ready = all(answers[name] is None for name in self._required)
        told = {name: answer or WELL for name, answer in answers.items()}
        return Readiness(ready=ready, checks=told)


async def bounded(check: Check) -> str | None:
    """Run one check; one that does not answer in time has failed."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return await check()
    except TimeoutError:
        return f"no answer in {CHECK_TIMEOUT:g} s"


def probes(health: Health) -> APIRouter:
    """Make the routes that the kubelet asks. They stay open: a probe has no key, and they tell nobody anything."""
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def live() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @router.get("/readyz")
    async def ready() -> JSONResponse:
        readiness = await health.ask()
        return JSONResponse(readiness.model_dump(), status_code=200 if readiness.ready else 503)

    return router
