"""Jobs in this process's memory, by the same rules as in Redis."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound
from chattr.domain.identity import Owner
from chattr.ports.jobs import (
    ATTEMPTS_KEPT,
    DELETED,
    DURATIONS_KEPT,
    ENDED,
    EXPIRED,
    PRIORITIES,
    QUEUED,
    WORKER_LOST,
    Attempt,
    Job,
    JobError,
    JobEvent,
    Lease,
    LeaseLost,
    Modality,
    NewJob,
    Order,
    Outlook,
    Status,
)

LOST = "This job was deleted, cancelled, or taken up by another worker."


@dataclass(slots=True)
class Entry:
    """A job as it was asked for and as it stands, its place in line, and when its lease runs out."""

    asked: NewJob
    job: Job
    place: int
    leased_until: float | None = None
    worker: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    events: list[JobEvent] = field(default_factory=list)

    @property
    def rank(self) -> tuple[int, int]:
        """Where it stands among its tenant's."""
        return PRIORITIES.index(self.job.priority), self.place

    def tell(self, status: str | None = None) -> None:
        """Note an event."""
        job = self.job
        event_id = f"{len(self.events) + 1}-0"
        self.events.append(JobEvent(event_id, status or job.status, job.phase, job.progress, job.attempts, job.error))

    def note(self, outcome: str, error: JobError | None = None) -> None:
        """Note an attempt that is over."""
        attempt = Attempt(self.job.fence, self.worker, self.job.started_at or 0, time.time(), outcome, error)
        self.attempts = [*self.attempts, attempt][-ATTEMPTS_KEPT:]

    def end(self, status: Status, **changes: Any) -> None:
        """End the job."""
        self.leased_until = None
        self.job = replace(self.job, status=status, phase=status, ended_at=time.time(), ready_at=None, **changes)
        self.tell()

    def begun(self) -> None:
        """Note that the job is to be finished, however late it is."""
        self.job = replace(self.job, expires_at=None, waiting_since=None)

    def line_up(self, phase: str, ready_at: float | None = None) -> None:
        """Put the job back into the queue."""
        self.leased_until = None
        self.job = replace(self.job, status="queued", phase=phase, progress=0.0, ready_at=ready_at)
        self.tell()


class FakeJobs:
    """Everything in one dict, oldest first. `most_a_tenant`: how many may run at a time; 0: any number."""

    def __init__(self, *, most_a_tenant: int = 0) -> None:
        self._most_a_tenant = most_a_tenant
        self._entries: dict[tuple[str, str], Entry] = {}
        self._logs: dict[tuple[str, str], list[JobEvent]] = {}
        self._tokens: dict[tuple[str, str], tuple[str, str]] = {}
        self._gone: dict[tuple[str, str, bool], Job] = {}
        self._served: dict[str, int] = {}
        self._took: dict[str, list[float]] = {}
        self._kinds: set[tuple[Modality, str]] = set()
        self._count = itertools.count(1)
        self._bell = asyncio.Event()

    async def enqueue(self, owner: Owner, job: NewJob) -> Job:
        """Store a job."""
        place = (owner.tenant, job.id)
        if job.token is not None:
            known, fingerprint = self._tokens.get((owner.tenant, job.token.key), ("", ""))
            if (there := self._entries.get((owner.tenant, known))) is not None:
                if fingerprint != job.token.fingerprint:
                    raise InvalidInput("This key was used for something else.", param="Idempotency-Key")
                return there.job
            self._tokens[owner.tenant, job.token.key] = (job.id, job.token.fingerprint)
        if place in self._entries:
            there = self._entries[place]
            if there.asked == job:
                return there.job
            raise Conflict("There is a job with this id already.", param="id")
        entry = Entry(job, new_job(owner, job, time.time()), next(self._count))
        self._entries[place] = entry
        self._logs[place] = entry.events
        self._kinds.add((job.modality, job.model))
        entry.tell()
        self._bell.set()
        return entry.job

    async def get(self, owner: Owner, job_id: str) -> Job | None:
        """Return one."""
        entry = self._entries.get((owner.tenant, job_id))
        return entry.job if entry else None

    async def list(
        self,
        owner: Owner,
        modality: Modality,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        failed: bool = False,
    ) -> Sequence[Job]:
        """Return the tenant's by age, or its failed ones by when they failed."""

        def place(job: Job) -> tuple[float, str]:
            return (job.ended_at or 0) if failed else job.created_at, job.id

        mine = [e.job for (tenant, _), e in self._entries.items() if tenant == owner.tenant]
        listed = (job for job in mine if job.modality == modality and (not failed or job.status == "failed"))
        jobs = sorted(listed, key=place, reverse=order == "desc")
        if after is None:
            return jobs[:limit]
        last = next((job for job in jobs if job.id == after), None) or self._gone.get((owner.tenant, after, failed))
        if last is None:
            raise NotFound("There is no such job in this list.", param="after")
        until = place(last)
        return [job for job in jobs if (place(job) < until if order == "desc" else place(job) > until)][:limit]

    async def attempts(self, owner: Owner, job_id: str) -> Sequence[Attempt]:
        """Return the attempts that are over."""
        entry = self._entries.get((owner.tenant, job_id))
        return list(entry.attempts) if entry else []

    async def outlook(self, owner: Owner, job_id: str) -> Outlook | None:
        """Say what is ahead of one."""
        entry = self._entries.get((owner.tenant, job_id))
        if entry is None:
            return None
        job = entry.job
        running = sum(e.job.status == "running" and e.job.modality == job.modality for e in self._entries.values())
        lanes = self._lanes(job.modality)
        ahead: int | None = None
        if entry in lanes.get(owner.tenant, ()):
            mine = lanes[owner.tenant].index(entry)
            own = self._seat(owner.tenant)
            others = [tenant for tenant in lanes if tenant != owner.tenant]
            ahead = mine + sum(min(len(lanes[t]), mine + (self._seat(t) < own)) for t in others)
        durations, all_of_them = self._took.get(f"{job.modality}/{job.model}", []), self._took.get(job.modality, [])
        return Outlook(time.time(), ahead, running, list(durations), list(all_of_them))

    async def cancel(self, owner: Owner, job_id: str) -> Job | None:
        """End a job that has not ended."""
        entry = self._entries.get((owner.tenant, job_id))
        if entry is None:
            return None
        if entry.job.status == "running":
            entry.note("cancelled")
        if entry.job.status not in ENDED:
            entry.end("cancelled")
        return entry.job

    async def retry(self, owner: Owner, job_id: str) -> Job | None:
        """Put a job that failed or was cancelled into the queue again."""
        entry = self._entries.get((owner.tenant, job_id))
        if entry is None:
            return None
        if entry.job.status not in {"failed", "cancelled"}:
            raise Conflict("Only one that failed or was cancelled can be tried again.", param="job_id")
        entry.place = next(self._count)
        self._unlist(entry.job)
        entry.job = replace(entry.job, attempts=0, error=None, ended_at=None)
        entry.begun()
        entry.line_up(QUEUED)
        self._bell.set()
        return entry.job

    async def delete(self, owner: Owner, job_id: str, *, only_ended: bool = False) -> Job | None:
        """Remove a job."""
        entry = self._entries.get((owner.tenant, job_id))
        if entry is None or (only_ended and entry.job.status not in ENDED):
            return None
        del self._entries[owner.tenant, job_id]
        self._gone[owner.tenant, job_id, False] = entry.job
        self._unlist(entry.job)
        entry.tell(DELETED)
        return entry.job

    async def lease(self, modality: Modality, *, worker: str, seconds: float) -> Lease | None:
        """Take up the job whose turn it is."""
        now = time.time()
        self._expire(modality, now)
        lanes = self._lanes(modality)
        if not lanes:
            return None
        tenant = min(lanes, key=self._seat)
        if self._most_a_tenant and self._running(tenant) >= self._most_a_tenant:
            return None
        return self._leased(lanes[tenant][0], worker, now, seconds)

    async def sweep(self, modality: Modality) -> None:
        """Do what it is time for."""
        self._expire(modality, time.time())

    def _leased(self, entry: Entry, worker: str, now: float, seconds: float) -> Lease:
        self._served[entry.job.owner.tenant] = next(self._count)
        entry.leased_until, entry.worker = now + seconds, worker
        entry.job = replace(
            entry.job,
            status="running",
            phase="starting",
            progress=0.0,
            attempts=entry.job.attempts + 1,
            fence=entry.job.fence + 1,
            started_at=now,
            ready_at=None,
        )
        entry.tell()
        return Lease(entry.job, entry.job.fence, seconds)

    async def heartbeat(self, lease: Lease, *, progress: float, phase: str) -> None:
        """Renew a lease."""
        entry = self._held(lease)
        entry.leased_until = time.time() + lease.seconds
        if (entry.job.progress, entry.job.phase) != (progress, phase):
            entry.job = replace(entry.job, progress=progress, phase=phase)
            entry.tell()

    async def complete(self, lease: Lease, result: Mapping[str, Any]) -> None:
        """Publish the result."""
        if self._said(lease, "completed"):
            return
        entry, job = self._held(lease), lease.job
        seconds = time.time() - (entry.job.started_at or 0)
        for name, value in ((job.modality, seconds), (f"{job.modality}/{job.model}", seconds / job.weight)):
            self._took[name] = [value, *self._took.get(name, [])][:DURATIONS_KEPT]
        entry.note("completed")
        entry.end("completed", result=dict(result), progress=1.0)
        self._bell.set()

    async def fail(self, lease: Lease, error: JobError, *, retry_after: float | None = None) -> None:
        """End a failed attempt."""
        if self._said(lease, "failed"):
            return
        entry = self._held(lease)
        entry.note("failed", error)
        if retry_after is None or entry.job.attempts >= entry.job.max_attempts:
            entry.end("failed", error=error)
        else:
            entry.begun()
            entry.line_up(QUEUED, time.time() + retry_after)
        self._bell.set()

    async def hand_back(self, lease: Lease, *, phase: str = QUEUED, delay: float | None = None) -> None:
        """Give a job back unfinished."""
        entry = self._held(lease)
        entry.note("handed_back")
        entry.job = replace(entry.job, attempts=entry.job.attempts - 1)
        if delay is None:
            entry.begun()
        else:
            entry.job = replace(entry.job, waiting_since=entry.job.waiting_since or time.time())
        entry.line_up(phase, None if delay is None else time.time() + delay)
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

    async def ended(self, modality: Modality, *, before: float, limit: int = 100) -> Sequence[Job]:
        """Return jobs that ended before a time."""
        jobs = [e.job for e in self._entries.values() if e.job.modality == modality and e.job.status in ENDED]
        over = [(job.ended_at or 0, job) for job in jobs if (job.ended_at or 0) <= before]
        return [job for _, job in sorted(over, key=lambda pair: pair[0])[:limit]]

    async def follow(self, owner: Owner, job_id: str, after: str | None = None) -> AsyncGenerator[JobEvent | None]:
        """Yield the events after one."""
        events = self._logs.get((owner.tenant, job_id))
        if events is None:
            raise NotFound("There is no such job.", param="job_id")
        if after is not None and not after.replace("-", "").isdigit():
            raise InvalidInput("This is no event's id.", param="Last-Event-ID")
        seen = int(after.partition("-")[0]) if after else 0
        while True:
            while seen < len(events):
                seen += 1
                yield events[seen - 1]
            if events[-1].terminal:
                return
            await asyncio.sleep(0.01)
            yield None

    def _unlist(self, job: Job) -> None:
        """Remember where a job stood among those that failed, for who turns their pages."""
        if job.status == "failed":
            self._gone[job.owner.tenant, job.id, True] = job

    def _expire(self, modality: Modality, now: float) -> None:
        """Take leases away that nobody renewed, and let go what waited for a time."""
        for entry in self._entries.values():
            job = entry.job
            if job.modality != modality:
                continue
            if entry.leased_until is not None and entry.leased_until <= now:
                entry.note("worker_lost", WORKER_LOST)
                if job.attempts >= job.max_attempts:
                    entry.end("failed", error=WORKER_LOST)
                else:
                    entry.begun()
                    entry.line_up(QUEUED)
                self._bell.set()
            elif job.status == "queued" and job.expires_at is not None and job.expires_at <= now:
                entry.end("failed", error=EXPIRED)
            elif job.ready_at is not None and job.ready_at <= now:
                entry.line_up(job.phase)

    def _lanes(self, modality: Modality) -> Mapping[str, Sequence[Entry]]:
        """Return each tenant's jobs that may run, the next first."""
        ready = [e for e in self._entries.values() if e.job.status == "queued" and e.job.ready_at is None]
        mine = sorted((e for e in ready if e.job.modality == modality), key=lambda one: one.rank)
        return {one.job.owner.tenant: [e for e in mine if e.job.owner.tenant == one.job.owner.tenant] for one in mine}

    def _running(self, tenant: str) -> int:
        jobs = (entry.job for entry in self._entries.values())
        return sum(job.owner.tenant == tenant and job.status == "running" for job in jobs)

    def _seat(self, tenant: str) -> tuple[int, int]:
        """Say where a tenant stands: few running first, then who has waited longest."""
        return self._running(tenant), self._served.get(tenant, 0)

    def _held(self, lease: Lease) -> Entry:
        entry = self._entries.get((lease.job.owner.tenant, lease.job.id))
        if entry is None or entry.job.status != "running" or entry.job.fence != lease.fence:
            raise LeaseLost(LOST)
        return entry

    def _said(self, lease: Lease, status: Status) -> bool:
        entry = self._entries.get((lease.job.owner.tenant, lease.job.id))
        return entry is not None and entry.job.status == status and entry.job.fence == lease.fence


def new_job(owner: Owner, asked: NewJob, now: float) -> Job:
    """Make the job that is asked for."""
    return Job(
        id=asked.id,
        owner=owner,
        modality=asked.modality,
        model=asked.model,
        request=dict(asked.request),
        carrier=dict(asked.carrier),
        max_attempts=asked.max_attempts,
        priority=asked.priority,
        weight=asked.weight,
        status="queued",
        phase=QUEUED,
        progress=0.0,
        attempts=0,
        fence=0,
        created_at=now,
        expires_at=None if asked.expires_in is None else now + asked.expires_in,
    )
