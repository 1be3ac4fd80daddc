"""How an order becomes a job, first its files, then the job; and how both go. What was refused leaves no files."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from chatacter.chassis.errors import InvalidInput
from chattr.domain.identity import Owner
from chattr.ports.assets import Assets
from chattr.ports.jobs import Job, Jobs, NewJob
from chattr.usecases.job_files import files_of

LEFT_BEHIND: Final = frozenset({"worker_lost", "cancelled"})


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


async def removed(jobs: Jobs, assets: Assets, owner: Owner, job_id: str, *, only_ended: bool = False) -> Job | None:
    """Remove a job, then its files. Returns it as it was; None where there is none, or none that has ended."""
    fences = await lost_fences(jobs, owner, job_id)
    job = await jobs.delete(owner, job_id, only_ended=only_ended)
    if job is not None:
        await cleared(assets, owner, job_id, {*fences, job.fence})
    return job


async def lost_fences(jobs: Jobs, owner: Owner, job_id: str) -> set[int]:
    """Return the leases whose worker may have died before it tidied up. What is older than the attempts that are kept
    is found by tidying.
    """
    return {one.fence for one in await jobs.attempts(owner, job_id) if one.outcome in LEFT_BEHIND}


async def cleared(assets: Assets, owner: Owner, job_id: str, fences: Iterable[int] = ()) -> None:
    """Remove what was put away for a job, and what those leases made."""
    for name in files_of(job_id, fences):
        await assets.delete(owner.shared, name)
