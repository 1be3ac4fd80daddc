"""Doors to sound, to stored media, and to demand."""

from typing import Literal

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.provenance import HEADERS
from chatacter.chassis.streaming import SSE, opened
from chatacter.contracts.speech import MEDIA_TYPES, SpeechRequest
from chatacter.contracts.video_job import DemandReport, ModelDemand
from chattr.dependencies import AssetsDep, OutstandingDep, OwnerDep, SpeakDep
from chattr.routes.download import download, found
from chattr.routes.idempotency import IdempotentRoute
from chattr.routes.kinds import file_permitted

speech = APIRouter(tags=["Speech"], dependencies=[Depends(scope("speech"))], route_class=IdempotentRoute)
stored = APIRouter(prefix="/api/v1", tags=["Media"], dependencies=[Depends(file_permitted)])
inside = APIRouter(prefix="/api/v1", tags=["Operations"], dependencies=[Depends(scope("inside"))])


@speech.post(
    "/v1/audio/speech",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in (*MEDIA_TYPES.values(), SSE)}}},
)
async def speak(body: SpeechRequest, owner: OwnerDep, use_case: SpeakDep) -> Response:
    """Say something; `voice` is a voice or a character. Sound streams as it is made."""
    media_type = SSE if body.stream_format == "sse" else MEDIA_TYPES[body.response_format]
    return await opened(use_case.speak(owner, body), media_type, HEADERS)


@stored.get("/media/{asset_id}", response_class=Response)
async def media(asset_id: str, request: Request, owner: OwnerDep, assets: AssetsDep) -> Response:
    """Return a stored file, whole or in part."""
    asset = await found(assets, owner.shared, asset_id)
    return await download(assets, owner.shared, asset, request)


@inside.get("/demand")
async def demand(
    outstanding: OutstandingDep, modality: Literal["speech", "video"] | None = None, model: str | None = None
) -> DemandReport:
    """Say how much work is queued or running, for everything or for what the query names."""
    counts = await outstanding.count()
    asked = [
        ModelDemand(modality=kind, model=name, outstanding=number)
        for (kind, name), number in sorted(counts.items())
        if modality in {None, kind} and model in {None, name}
    ]
    return DemandReport(outstanding=sum(each.outstanding for each in asked), models=asked)


router = APIRouter()
for part in (speech, stored, inside):
    router.include_router(part)
