"""Work that outlives a request. At least once executed, exactly once published.

A worker *leases* a job. The lease runs out unless heartbeats renew it; then anybody may take the job up again. Every
lease carries a *fence*, a number that grows with each lease of the job: what is said with an old fence is refused.
Jobs belong to a tenant; the person who asked is kept beside. Times are seconds since 1970 by the store's own clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from chatacter.chassis.errors import Conflict
from chattr.domain.identity import Owner

Modality = Literal["speech", "video"]
Status = Literal["queued", "running", "completed", "failed", "cancelled"]
Order = Literal["asc", "desc"]

SCHEMA: Final = 1
ENDED: Final[frozenset[Status]] = frozenset({"completed", "failed", "cancelled"})
QUEUED: Final = "queued"
WORKER_LOST: Final = "worker_lost"
WORKER_LOST_MESSAGE: Final = "Every worker that took this job up was lost in the middle of it."


class LeaseLost(Conflict):
    """The job was deleted, cancelled or taken up by another: stop the work and throw its result away."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is asked for. `request` is JSON that the worker understands; `carrier` is the asker's trace context."""

    id: str
    modality: Modality
    model: str
    request: Mapping[str, Any]
    carrier: Mapping[str, str]
    max_attempts: int = 3


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a code for programs, a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. `progress` is 0…1; `result` is JSON, there once it is completed; `started_at` is when its
    latest attempt began.
    """

    id: str
    owner: Owner
    modality: Modality
    model: str
    request: Mapping[str, Any]
    carrier: Mapping[str, str]
    max_attempts: int
    status: Status
    phase: str
    progress: float
    attempts: int
    fence: int
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    result: Mapping[str, Any] | None = None
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job until it runs out. `seconds` is how long a heartbeat keeps it."""

    job: Job
    fence: int
    seconds: float


class Jobs(Protocol):
    """The store of jobs, and their queue: one a modality, oldest first."""

    async def enqueue(self, owner: Owner, job: NewJob) -> Job:
        """Store a job and put it into its queue; the same one twice is one. Raises `Conflict` when the id is taken."""
        ...

    async def get(self, owner: Owner, job_id: str) -> Job | None:
        """Return one of the tenant's, or None."""
        ...

    async def list(
        self, owner: Owner, modality: Modality, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Sequence[Job]:
        """Return the tenant's by age; `after` is the id that the previous page ended with."""
        ...

    async def cancel(self, owner: Owner, job_id: str) -> Job | None:
        """End a job that has not ended; one that has stays as it is. Returns it, or None when there is none."""
        ...

    async def delete(self, owner: Owner, job_id: str) -> Job | None:
        """Remove a job in any state. Returns it as it was, or None when there is none."""
        ...

    async def lease(self, modality: Modality, *, worker: str, seconds: float) -> Lease | None:
        """Take up the oldest job that may run, of any tenant; None when there is none.

        Jobs whose lease ran out are in the queue again, or have failed when no attempt is left.
        """
        ...

    async def heartbeat(self, lease: Lease, *, progress: float, phase: str) -> None:
        """Renew a lease and tell how far the work is. Raises `LeaseLost`."""
        ...

    async def complete(self, lease: Lease, result: Mapping[str, Any]) -> None:
        """Publish the result. Saying it twice with one lease changes nothing. Raises `LeaseLost`."""
        ...

    async def fail(self, lease: Lease, error: JobError, *, retry_after: float | None = None) -> None:
        """End a failed attempt: the job runs again after that many seconds while attempts are left, else it failed.

        Without `retry_after` it has failed for good. Raises `LeaseLost`.
        """
        ...

    async def hand_back(self, lease: Lease, *, phase: str = QUEUED, delay: float | None = None) -> None:
        """Give a job back unfinished, not counted as an attempt. It keeps its place, or waits `delay` seconds.

        Raises `LeaseLost`.
        """
        ...

    async def wait_for_work(self, modality: Modality, seconds: float) -> None:
        """Return when a job may have come, at the latest after that many seconds."""
        ...

    async def outstanding(self) -> Mapping[tuple[Modality, str], int]:
        """Count what is queued or running, of all tenants, for each modality and model ever asked for."""
        ...
