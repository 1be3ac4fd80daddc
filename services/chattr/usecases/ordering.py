"""How an order becomes a job: first its files, then the job. What was refused leaves no files behind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from chatacter.chassis.errors import InvalidInput
from chattr.domain.identity import Owner
from chattr.ports.assets import Assets
from chattr.ports.jobs import Job, Jobs, NewJob
from chattr.usecases.job_files import files_of


@asynccontextmanager
async def putting(assets: Assets, owner: Owner, job_id: str) -> AsyncIterator[None]:
    """Hold while files are put away for a job that was not asked for yet: should that break off, they go."""
    try:
        yield
    except BaseException:
        with anyio.CancelScope(shield=True):
            await cleared(assets, owner, job_id)
        raise


async def enqueued(jobs: Jobs, assets: Assets, owner: Owner, new: NewJob) -> Job:
    """Store a job whose files are there. Raises what `Jobs.enqueue` does.

    The files go when it was refused, or when its token names another job. After any other error, such as an answer that
    was lost, the job may be stored and need them; if it is not, tidying finds them.
    """
    try:
        job = await jobs.enqueue(owner, new)
    except InvalidInput:  # `Conflict` is one
        await cleared(assets, owner, new.id)
        raise
    if job.id != new.id:
        await cleared(assets, owner, new.id)
    return job


async def cleared(assets: Assets, owner: Owner, job_id: str, fence: int = 0) -> None:
    """Remove what was put away for a job, up to that lease."""
    for name in files_of(job_id, fence):
        await assets.delete(owner.shared, name)
