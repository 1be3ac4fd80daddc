"""Doors to sound, to stored media, to jobs of any kind, and to demand."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import NotBuilt, NotFound
from chatacter.chassis.provenance import HEADERS
from chatacter.chassis.streaming import SSE, opened
from chatacter.contracts.speech import MEDIA_TYPES, SpeechRequest, VoiceList
from chatacter.contracts.video_job import DemandReport, JobList, JobView, ModelDemand
from chattr.dependencies import AssetsDep, JobsDep, OutstandingDep, OwnerDep, SpeakDep
from chattr.ports.jobs import Job, Modality, Order
from chattr.routes.download import download, found
from chattr.routes.idempotency import IdempotentRoute

speech = APIRouter(tags=["Speech"], dependencies=[Depends(scope("speech"))], route_class=IdempotentRoute)
voices = APIRouter(tags=["Speech"], dependencies=[Depends(scope("voices"))], route_class=IdempotentRoute)
stored = APIRouter(prefix="/api/v1", tags=["Media"], dependencies=[Depends(scope("videos"))])
inside = APIRouter(prefix="/api/v1", tags=["Operations"], dependencies=[Depends(scope("inside"))])

NO_JOB = "There is no such job."
NO_CLONING = "Voices cannot be cloned yet. GET /v1/audio/voices lists those there are."
NO_TRANSCRIPTION = "Speech is not transcribed yet."


@speech.post(
    "/v1/audio/speech",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in (*MEDIA_TYPES.values(), SSE)}}},
)
async def speak(body: SpeechRequest, owner: OwnerDep, use_case: SpeakDep) -> Response:
    """Say something; `voice` is a voice or a character. Sound streams as it is made."""
    media_type = SSE if body.stream_format == "sse" else MEDIA_TYPES[body.response_format]
    return await opened(use_case.speak(owner, body), media_type, HEADERS)


@speech.post("/v1/audio/transcriptions")
async def transcribe() -> None:
    """Not built yet."""
    raise NotBuilt(NO_TRANSCRIPTION)


@voices.get("/v1/audio/voices")
async def list_voices(use_case: SpeakDep) -> VoiceList:
    """List the voices that can be asked for."""
    return await use_case.voices()


@voices.post("/v1/audio/voices")
async def create_voice() -> None:
    """Not built yet."""
    raise NotBuilt(NO_CLONING)


@voices.post("/v1/audio/voice_consents")
async def consent() -> None:
    """Not built yet."""
    raise NotBuilt(NO_CLONING)


@stored.get("/media/{asset_id}", response_class=Response)
async def media(asset_id: str, request: Request, owner: OwnerDep, assets: AssetsDep) -> Response:
    """Return a stored file, whole or in part."""
    asset = await found(assets, owner.shared, asset_id)
    return await download(assets, owner.shared, asset, request)


@stored.get("/jobs")
async def list_jobs(
    owner: OwnerDep,
    jobs: JobsDep,
    modality: Modality = "video",
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Order = "desc",
) -> JobList:
    """List the tenant's jobs by age."""
    page = await jobs.list(owner, modality, after=after, limit=limit + 1, order=order)
    return JobList(data=[view(job) for job in page[:limit]], has_more=len(page) > limit)


@stored.get("/jobs/{job_id}")
async def get_job(job_id: str, owner: OwnerDep, jobs: JobsDep) -> JobView:
    """Show one job."""
    return view(known(await jobs.get(owner, job_id)))


@stored.post("/jobs/{job_id}/cancel")
async def cancel_job(job_id: str, owner: OwnerDep, jobs: JobsDep) -> JobView:
    """Stop a job; one that has ended stays as it is."""
    return view(known(await jobs.cancel(owner, job_id)))


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


def known(job: Job | None) -> Job:
    """Return a job that there is. Raises `NotFound`."""
    if job is None:
        raise NotFound(NO_JOB, param="job_id")
    return job


def view(job: Job) -> JobView:
    """Show a job."""
    return JobView(
        id=job.id,
        modality=job.modality,
        model=job.model,
        status=job.status,
        phase=job.phase,
        progress=job.progress,
        attempts=job.attempts,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        error={"code": job.error.code, "message": job.error.message} if job.error else None,
    )


router = APIRouter()
for part in (speech, voices, stored, inside):
    router.include_router(part)
