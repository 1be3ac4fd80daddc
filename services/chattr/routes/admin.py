"""Doors for those who run Chattr: its health in words, and those that are not built yet."""

import asyncio
from dataclasses import asdict
from typing import Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import NotBuilt
from chatacter.chassis.health import Health
from chattr.dependencies import InferDep

router = APIRouter(prefix="/api/v1", tags=["Operations"])

ASKING_SECONDS: Final = 2.0
KEYS: Final = "Keys are made with `chatacter keys create` and read from API_KEYS_FILE."


@router.get("/health", dependencies=[Depends(scope("chat"))])
async def health(request: Request, infer: InferDep) -> JSONResponse:
    """Say how every part is: what works, what is away, what is switched off; and each model of voice and video."""
    found: Health = request.state.health
    readiness, states = await asyncio.gather(found.ask(), infer.states(ASKING_SECONDS))
    status = "ok" if readiness.well else "degraded"
    predictors = [asdict(state) for state in states]
    told = {"status": status, "checks": readiness.checks, "predictors": predictors}
    return JSONResponse({**told, **request.state.about})


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
