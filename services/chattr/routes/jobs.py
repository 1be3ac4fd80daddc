"""Work of any kind: what waits, what runs, what failed and may be tried again, and what happens as it happens."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import Caller, scope
from chatacter.chassis.errors import Conflict, NotFound
from chatacter.chassis.streaming import SSE, opened, sse
from chatacter.contracts.video_job import JobAttempt, JobDeleted, JobEstimate, JobList, JobView
from chattr.dependencies import AssetsDep, JobLogDep, JobsDep, OwnerDep
from chattr.domain.identity import Owner
from chattr.ports.jobs import Attempt, Job, JobEvent, JobLog, Jobs, Modality, Order, Outlook
from chattr.routes.download import download, found
from chattr.routes.kinds import SCOPES, require_scope
from chattr.usecases.estimates import estimate
from chattr.usecases.ordering import removed

router = APIRouter(prefix="/api/v1/jobs", tags=["Jobs"], dependencies=[Depends(scope("videos", "speech"))])

NO_JOB: Final = "There is no such job."
NOT_YET: Final = "This job is not completed. GET /api/v1/jobs/{id} tells how far it is."
# What keeps proxies and browsers from taking a stream in which nothing happens for a dead one.
HEARTBEAT: Final = b": nothing new\n\n"
RETRY_MS: Final = b"retry: 2000\n\n"


async def permitted(job_id: str, caller: Caller, owner: OwnerDep, jobs: JobsDep) -> None:
    """Let only those in who may order such a job; one that is gone may still be followed to its end."""
    job = await jobs.get(owner, job_id)
    if job is not None:
        require_scope(caller, SCOPES[job.modality])


PERMITTED: Final = [Depends(permitted)]


@router.get("")
async def list_jobs(
    caller: Caller,
    owner: OwnerDep,
    jobs: JobsDep,
    *,
    modality: Modality = "video",
    status: Literal["failed"] | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Order = "desc",
) -> JobList:
    """List the tenant's jobs by age; with `status=failed` those that failed, by when they did."""
    require_scope(caller, SCOPES[modality])
    page = await jobs.list(owner, modality, after=after, limit=limit + 1, order=order, failed=status == "failed")
    return JobList(data=[view(job) for job in page[:limit]], has_more=len(page) > limit)


@router.get("/{job_id}", dependencies=PERMITTED, response_model_exclude_none=True)
async def get_job(job_id: str, owner: OwnerDep, jobs: JobsDep) -> JobView:
    """Show one job with its place in line, when it may be expected to end, and every attempt that is over."""
    return await whole(owner, job_id, jobs)


@router.get(
    "/{job_id}/events", dependencies=PERMITTED, response_class=Response, responses={200: {"content": {SSE: {}}}}
)
async def follow_job(
    job_id: str,
    owner: OwnerDep,
    jobs: JobsDep,
    log: JobLogDep,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Tell what happens to a job as it happens, from its beginning or after `Last-Event-ID`, up to its end.

    204 where nothing follows: a browser's EventSource does not come back then.
    """
    events = told(owner, job_id, jobs, log, last_event_id)
    first = await anext(events, None)
    return Response(status_code=204) if first is None else await opened(going_on(first, events), SSE)


@router.get("/{job_id}/content", dependencies=PERMITTED, response_class=Response)
async def content(job_id: str, request: Request, owner: OwnerDep, jobs: JobsDep, assets: AssetsDep) -> Response:
    """Return what a completed job has made, whole or in part."""
    job = known(await jobs.get(owner, job_id))
    if job.result is None:
        raise Conflict(NOT_YET, param="job_id", retry_after=None if job.ended_at else 2)
    return await download(assets, owner.shared, await found(assets, owner.shared, job.result["asset"]), request)


@router.post("/{job_id}/cancel", dependencies=PERMITTED)
async def cancel_job(job_id: str, owner: OwnerDep, jobs: JobsDep) -> JobView:
    """Stop a job; one that has ended stays as it is."""
    return view(known(await jobs.cancel(owner, job_id)))


@router.post("/{job_id}/retry", dependencies=PERMITTED)
async def retry_job(job_id: str, owner: OwnerDep, jobs: JobsDep) -> JobView:
    """Try a job again that failed or was cancelled; it gets all its attempts anew."""
    return view(known(await jobs.retry(owner, job_id)))


@router.delete("/{job_id}", dependencies=PERMITTED)
async def delete_job(job_id: str, owner: OwnerDep, jobs: JobsDep, assets: AssetsDep) -> JobDeleted:
    """Remove a job with all that was stored for it; what runs is stopped."""
    known(await removed(jobs, assets, owner, job_id))
    return JobDeleted(id=job_id)


async def going_on(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Yield what was pulled already, then the rest, which is closed with this."""
    async with aclosing(rest):
        yield first
        async for each in rest:
            yield each


async def told(owner: Owner, job_id: str, jobs: Jobs, log: JobLog, after: str | None) -> AsyncGenerator[bytes]:
    """Write a job's log as server-sent events; while it waits, its place in line between them."""
    position: int | None = None
    async with aclosing(log.follow(owner, job_id, after)) as events:
        async for event in events:
            if event is not None:
                yield (RETRY_MS if event.status == "queued" else b"") + written(event)
                continue
            outlook = await jobs.outlook(owner, job_id)
            now = place(outlook)
            if now is None or now == position:
                yield HEARTBEAT
            else:
                position = now
                yield sse(orjson.dumps({"position": now}), event="job.position")


def written(event: JobEvent) -> bytes:
    """Write one step. The id lets a reader go on after it, on any replica."""
    said = {"status": event.status, "phase": event.phase, "progress": event.progress, "attempts": event.attempts}
    if event.error is not None:
        said["error"] = asdict(event.error)
    return sse(orjson.dumps(said), event=f"job.{event.status}", event_id=event.id)


async def whole(owner: Owner, job_id: str, jobs: Jobs) -> JobView:
    """Show a job with what is only told of one."""
    job = known(await jobs.get(owner, job_id))
    outlook = await jobs.outlook(owner, job_id)
    expected = estimate(job, outlook) if outlook else None
    return view(job).model_copy(
        update={
            "position": place(outlook),
            "estimate": JobEstimate(**asdict(expected)) if expected else None,
            "history": [attempt(each) for each in await jobs.attempts(owner, job_id)],
        }
    )


def place(outlook: Outlook | None) -> int | None:
    """Say where a job stands in line: 1 begins next."""
    return None if outlook is None or outlook.ahead is None else outlook.ahead + 1


def known(job: Job | None) -> Job:
    """Return a job that there is. Raises `NotFound`."""
    if job is None:
        raise NotFound(NO_JOB, param="job_id")
    return job


def attempt(made: Attempt) -> JobAttempt:
    """Show an attempt."""
    return JobAttempt.model_validate(made, from_attributes=True)


def view(job: Job) -> JobView:
    """Show a job."""
    return JobView.model_validate(job, from_attributes=True).model_copy(update={"run_after": job.ready_at})
