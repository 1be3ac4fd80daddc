"""Jobs in this process's memory, by the same rules as in Redis."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chatacter.chassis.errors import Conflict
from chattr.domain.identity import Owner
from chattr.ports.jobs import (
    ENDED,
    QUEUED,
    WORKER_LOST,
    WORKER_LOST_MESSAGE,
    Job,
    JobError,
    Lease,
    LeaseLost,
    Modality,
    NewJob,
    Order,
    Status,
)

LOST = "This job was deleted, cancelled, or taken up by another worker."


@dataclass(slots=True)
class Entry:
    """A job as it was asked for and as it stands, when it may run, and when its lease runs out."""

    asked: NewJob
    job: Job
    ready_at: float
    leased_until: float | None = None


class FakeJobs:
    """Everything in one dict, oldest first."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._kinds: set[tuple[Modality, str]] = set()
        self._bell = asyncio.Event()

    async def enqueue(self, owner: Owner, job: NewJob) -> Job:
        """Store a job."""
        place = (owner.tenant, job.id)
        if place in self._entries:
            there = self._entries[place]
            if there.asked == job:
                return there.job
            raise Conflict("There is a job with this id already.", param="id")
        now = time.time()
        new = Job(
            id=job.id,
            owner=owner,
            modality=job.modality,
            model=job.model,
            request=dict(job.request),
            carrier=dict(job.carrier),
            max_attempts=job.max_attempts,
            status="queued",
            phase=QUEUED,
            progress=0.0,
            attempts=0,
            fence=0,
            created_at=now,
        )
        self._entries[place] = Entry(job, new, now)
        self._kinds.add((job.modality, job.model))
        self._bell.set()
        return new

    async def get(self, owner: Owner, job_id: str) -> Job | None:
        """Return one."""
        entry = self._entries.get((owner.tenant, job_id))
        return entry.job if entry else None

    async def list(
        self, owner: Owner, modality: Modality, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Sequence[Job]:
        """Return the tenant's by age."""
        jobs = [
            e.job for (tenant, _), e in self._entries.items() if tenant == owner.tenant and e.job.modality == modality
        ]
        if order == "desc":
            jobs.reverse()
        ids = [job.id for job in jobs]
        start = ids.index(after) + 1 if after in ids else 0
        return jobs[start : start + limit]

    async def cancel(self, owner: Owner, job_id: str) -> Job | None:
        """End a job that has not ended."""
        entry = self._entries.get((owner.tenant, job_id))
        if entry is None:
            return None
        if entry.job.status not in ENDED:
            end(entry, "cancelled")
        return entry.job

    async def delete(self, owner: Owner, job_id: str) -> Job | None:
        """Remove a job."""
        entry = self._entries.pop((owner.tenant, job_id), None)
        return entry.job if entry else None

    async def lease(self, modality: Modality, *, worker: str, seconds: float) -> Lease | None:
        """Take up the oldest job that may run."""
        now = time.time()
        mine = [entry for entry in self._entries.values() if entry.job.modality == modality]
        for entry in mine:
            if entry.leased_until is not None and entry.leased_until <= now:
                expire(entry)
        ready = [entry for entry in mine if entry.job.status == "queued" and entry.ready_at <= now]
        if not ready:
            return None
        entry = min(ready, key=lambda one: one.ready_at)
        entry.leased_until = now + seconds
        entry.job = replace(
            entry.job,
            status="running",
            phase="starting",
            progress=0.0,
            attempts=entry.job.attempts + 1,
            fence=entry.job.fence + 1,
            started_at=now,
        )
        return Lease(entry.job, entry.job.fence, seconds)

    async def heartbeat(self, lease: Lease, *, progress: float, phase: str) -> None:
        """Renew a lease."""
        entry = self._held(lease)
        entry.leased_until = time.time() + lease.seconds
        entry.job = replace(entry.job, progress=progress, phase=phase)

    async def complete(self, lease: Lease, result: Mapping[str, Any]) -> None:
        """Publish the result."""
        if self._said(lease, "completed"):
            return
        entry = self._held(lease)
        entry.job = replace(entry.job, result=dict(result), progress=1.0)
        end(entry, "completed")

    async def fail(self, lease: Lease, error: JobError, *, retry_after: float | None = None) -> None:
        """End a failed attempt."""
        if self._said(lease, "failed"):
            return
        entry = self._held(lease)
        if retry_after is None or entry.job.attempts >= entry.job.max_attempts:
            entry.job = replace(entry.job, error=error)
            end(entry, "failed")
        else:
            requeue(entry, QUEUED, time.time() + retry_after)
            self._bell.set()

    async def hand_back(self, lease: Lease, *, phase: str = QUEUED, delay: float | None = None) -> None:
        """Give a job back unfinished."""
        entry = self._held(lease)
        entry.job = replace(entry.job, attempts=entry.job.attempts - 1)
        requeue(entry, phase, entry.job.created_at if delay is None else time.time() + delay)
        self._bell.set()

    async def wait_for_work(self, modality: Modality, seconds: float) -> None:
        """Return when a job may have come."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return
        self._bell.clear()

    async def outstanding(self) -> Mapping[tuple[Modality, str], int]:
        """Count what is queued or running."""
        counts = dict.fromkeys(self._kinds, 0)
        for entry in self._entries.values():
            if entry.job.status not in ENDED:
                counts[entry.job.modality, entry.job.model] += 1
        return counts

    def _held(self, lease: Lease) -> Entry:
        entry = self._entries.get((lease.job.owner.tenant, lease.job.id))
        if entry is None or entry.job.status != "running" or entry.job.fence != lease.fence:
            raise LeaseLost(LOST)
        return entry

    def _said(self, lease: Lease, status: Status) -> bool:
        entry = self._entries.get((lease.job.owner.tenant, lease.job.id))
        return entry is not None and entry.job.status == status and entry.job.fence == lease.fence


def end(entry: Entry, status: Status) -> None:
    """End a job."""
    entry.leased_until = None
    entry.job = replace(entry.job, status=status, phase=status, ended_at=time.time())


def requeue(entry: Entry, phase: str, ready_at: float) -> None:
    """Put a job back into the queue."""
    entry.leased_until = None
    entry.ready_at = ready_at
    entry.job = replace(entry.job, status="queued", phase=phase, progress=0.0)


def expire(entry: Entry) -> None:
    """Take a lease away that nobody renewed."""
    if entry.job.attempts >= entry.job.max_attempts:
        entry.job = replace(entry.job, error=JobError(WORKER_LOST, WORKER_LOST_MESSAGE))
        end(entry, "failed")
    else:
        requeue(entry, QUEUED, entry.job.created_at)
