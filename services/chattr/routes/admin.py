"""Doors for those who run Chattr: its health in words, and those that are not built yet."""

from typing import Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import NotBuilt
from chatacter.chassis.health import Health

router = APIRouter(prefix="/api/v1", tags=["Operations"])

KEYS: Final = "Keys are made with `chatacter keys create` and read from API_KEYS_FILE."


@router.get("/health", dependencies=[Depends(scope("chat"))])
async def health(request: Request) -> JSONResponse:
    """Say how every part is: what works, what is away, what is switched off."""
    found: Health = request.state.health
    readiness = await found.ask()
    status = "ok" if readiness.ready else "degraded"
    return JSONResponse({"status": status, "checks": readiness.checks, **request.state.about})


@router.get("/usage", dependencies=[Depends(scope("admin"))])
async def usage() -> None:
    """Not built yet."""
    raise NotBuilt("Usage is not counted yet. Token usage stands in every reply.")


@router.get("/keys", dependencies=[Depends(scope("admin"))])
async def list_keys() -> None:
    """Not built yet: keys stand in a file."""
    raise NotBuilt(KEYS)


@router.post("/keys", dependencies=[Depends(scope("admin"))])
async def create_key() -> None:
    """Not built yet: keys are made on the command line."""
    raise NotBuilt(KEYS)
