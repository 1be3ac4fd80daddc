"""Long texts, a chapter for instance, said in the background."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.contracts.speech import LongSpeech
from chatacter.contracts.video_job import JobView
from chattr.dependencies import OwnerDep, ReadAloudDep
from chattr.routes.idempotency import IdempotentRoute, OwnKeyDep
from chattr.routes.jobs import view

router = APIRouter(
    prefix="/api/v1/jobs", tags=["Speech"], dependencies=[Depends(scope("speech"))], route_class=IdempotentRoute
)


@router.post("/speech", status_code=202)
async def read_aloud(
    body: LongSpeech, response: Response, owner: OwnerDep, use_case: ReadAloudDep, key: OwnKeyDep
) -> JobView:
    """Have a long text said as a job; its sound is the job's content once it is completed."""
    job = await use_case.create(owner, body, key=key)
    response.headers["location"] = f"/api/v1/jobs/{job.id}"
    return view(job)
