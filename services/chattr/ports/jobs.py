"""Work that outlives a request. At least once executed, exactly once published.

A worker *leases* a job. The lease runs out unless heartbeats renew it; then anybody may take the job up again. Every
lease carries a *fence*, a number that grows with each lease of the job: what is said with an old fence is refused.
Jobs belong to a tenant; the person who asked is kept beside. Times are seconds since 1970 by the store's own clock.

Whose turn it is: of the tenants with work, the one with the fewest jobs running, and among equals the one that has
waited longest for a turn. Of its jobs the one of the highest priority, and among equals the oldest.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from chatacter.chassis.errors import Conflict
from chattr.domain.identity import Owner

Modality = Literal["speech", "video"]
Status = Literal["queued", "running", "completed", "failed", "cancelled"]
Priority = Literal["high", "normal", "low"]
Order = Literal["asc", "desc"]

SCHEMA: Final = 1
PRIORITIES: Final[tuple[Priority, ...]] = ("high", "normal", "low")
ENDED: Final[frozenset[Status]] = frozenset({"completed", "failed", "cancelled"})
QUEUED: Final = "queued"
DELETED: Final = "deleted"
# How many of a job's attempts, and how many durations of a model, are kept.
ATTEMPTS_KEPT: Final = 20
DURATIONS_KEPT: Final = 64
# For how many seconds an idempotency key stands for its job.
KEY_SECONDS: Final = 86_400.0


class LeaseLost(Conflict):
    """The job was deleted, cancelled or taken up by another: stop the work and throw its result away."""


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a code for programs, a sentence for people."""

    code: str
    message: str


WORKER_LOST: Final = JobError("worker_lost", "Every worker that took this job up was lost in the middle of it.")
EXPIRED: Final = JobError("expired", "Nobody could begin with this job before the time that it was given ran out.")


@dataclass(frozen=True, slots=True)
class Token:
    """An idempotency key: the same one from the same tenant names the same job, if the request's fingerprint agrees."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is asked for. `request` is JSON that the worker understands; `carrier` is the asker's trace context.

    `weight` is how much work it is, in a unit that its model's jobs share, such as characters to speak; durations are
    learnt by it. A job that has not begun `expires_in` seconds from now fails; one that has is finished, by
    whichever worker and attempt.
    """

    id: str
    modality: Modality
    model: str
    request: Mapping[str, Any]
    carrier: Mapping[str, str]
    max_attempts: int = 3
    priority: Priority = "normal"
    weight: float = 1.0
    expires_in: float | None = None
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. `progress` is 0…1; `result` is JSON, there once it is completed; `started_at` is when its
    latest attempt began; `ready_at` is when it may run, while it waits for that; `waiting_since` is when it was first
    given back for want of a predictor, until work on it begins. `expires_at` is there until then, too.
    """

    id: str
    owner: Owner
    modality: Modality
    model: str
    request: Mapping[str, Any]
    carrier: Mapping[str, str]
    max_attempts: int
    priority: Priority
    weight: float
    status: Status
    phase: str
    progress: float
    attempts: int
    fence: int
    created_at: float
    expires_at: float | None = None
    ready_at: float | None = None
    waiting_since: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    result: Mapping[str, Any] | None = None
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One lease of a job that is over, and how it ended: completed, failed, handed_back, cancelled, worker_lost."""

    fence: int
    worker: str
    started_at: float
    ended_at: float
    outcome: str
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a job's future. `ahead` is how many jobs will begin before it if nothing else comes; None when
    it does not stand in line. `running` counts those of the modality. `durations` are seconds per weight of its model's
    last jobs, `others` seconds of the modality's last jobs.
    """

    now: float
    ahead: int | None
    running: int
    durations: Sequence[float]
    others: Sequence[float]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A step of a job. Ids grow; `status` may also be `deleted`, with which a log ends."""

    id: str
    status: str
    phase: str
    progress: float
    attempts: int
    error: JobError | None = None

    @property
    def terminal(self) -> bool:
        """Whether nothing follows, unless somebody has the job tried again."""
        return self.status in ENDED or self.status == DELETED


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job until it runs out. `seconds` is how long a heartbeat keeps it."""

    job: Job
    fence: int
    seconds: float


class Jobs(Protocol):
    """The store of jobs, and their queue: one a modality.

    What changes a job returns once the change is where a restart of the store finds it.
    """

    async def enqueue(self, owner: Owner, job: NewJob) -> Job:
        """Store a job and put it into its queue; the same one twice is one, and one token names one job.

        Raises `Conflict` when the id is taken, `InvalidInput` when the token was used for something else.
        """
        ...

    async def get(self, owner: Owner, job_id: str) -> Job | None:
        """Return one of the tenant's, or None."""
        ...

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
        """Return the tenant's by age, or those that `failed` by when they did; `after` ended the previous page.

        It may have been removed meanwhile, minutes ago at most. Raises `NotFound` for one that is not in the list.
        """
        ...

    async def attempts(self, owner: Owner, job_id: str) -> Sequence[Attempt]:
        """Return the attempts that are over, oldest first; only the latest where there were many."""
        ...

    async def outlook(self, owner: Owner, job_id: str) -> Outlook | None:
        """Say what is ahead of one of the tenant's; None when there is none."""
        ...

    async def cancel(self, owner: Owner, job_id: str) -> Job | None:
        """End a job that has not ended; one that has stays as it is. Returns it, or None when there is none."""
        ...

    async def retry(self, owner: Owner, job_id: str) -> Job | None:
        """Put a job that failed or was cancelled into the queue again, with all its attempts; None when there is none.

        Raises `Conflict` for one that has not ended, or is completed.
        """
        ...

    async def delete(self, owner: Owner, job_id: str, *, only_ended: bool = False) -> Job | None:
        """Remove a job in any state, or none that has not ended. Returns it as it was, or None when there is none."""
        ...

    async def lease(self, modality: Modality, *, worker: str, seconds: float) -> Lease | None:
        """Take up the job whose turn it is, once what `sweep` does is done; None when no job may run.

        Where the answer is lost, the same worker's next call is given the same lease.
        """
        ...

    async def sweep(self, modality: Modality) -> None:
        """Do what it is time for. Jobs whose lease ran out are in the queue again, at their old place, or have failed
        when no attempt is left; those that nobody began in time have failed; those that waited for a time may run.
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
        """Give a job back unfinished, not counted as an attempt. It keeps its place, having begun; or it waits
        `delay` seconds, until somebody may be able to begin.

        Raises `LeaseLost`.
        """
        ...

    async def wait_for_work(self, modality: Modality, seconds: float) -> None:
        """Return when a job may have come, at the latest after that many seconds."""
        ...

    async def outstanding(self) -> Mapping[tuple[Modality, str], int]:
        """Count what is queued or running, of all tenants, for each modality and model ever asked for."""
        ...

    async def ended(self, modality: Modality, *, before: float, limit: int = 100) -> Sequence[Job]:
        """Return jobs of all tenants that ended before a time, the oldest first."""
        ...


class JobLog(Protocol):
    """What happens to jobs, as it happens, for anyone on any replica."""

    def follow(self, owner: Owner, job_id: str, after: str | None = None) -> AsyncGenerator[JobEvent | None]:
        """Yield the events after the one of that id, up to a terminal one; None now and then while nothing happens.

        Raises `NotFound` for an unknown job, `InvalidInput` for what cannot be an event's id. Of very many steps only
        the latest are kept.
        """
        ...
