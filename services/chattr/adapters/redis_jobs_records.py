"""How jobs are written in Redis: their keys, and what stands in a record."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import orjson

from chatacter.chassis.errors import Misconfigured
from chattr.adapters.redis_connection import key
from chattr.domain.identity import Owner
from chattr.ports.jobs import PRIORITIES, SCHEMA, Attempt, Job, JobError, JobEvent, Modality, NewJob

MICRO: Final = 1_000_000
# Queues serve every tenant. No tenant can have this name: see `auth.Identifier`.
EVERY_TENANT: Final = Owner("*")
OTHER_VERSION: Final = "A stored job was written by another version of Chattr. Run one version at a time."


def record_key(owner: Owner, job_id: str) -> str:
    """Name a job's record: the tenant's, so that whoever calls with its key sees it."""
    return key(owner.shared, "job", job_id)


def events_key(owner: Owner, job_id: str) -> str:
    """Name the log of what happens to a job."""
    return f"{record_key(owner, job_id)}:events"


def attempts_key(owner: Owner, job_id: str) -> str:
    """Name the list of a job's attempts."""
    return f"{record_key(owner, job_id)}:attempts"


def index_key(owner: Owner, modality: Modality) -> str:
    """Name a tenant's list of jobs by age; with `:failed`, of those that failed by when they did."""
    return key(owner.shared, "jobs", modality)


def base_key(modality: Modality) -> str:
    """Name what all keys of a modality's queue begin with."""
    return key(EVERY_TENANT, "jobs", modality)


def slots_key() -> str:
    """Name the hash of all sets of outstanding jobs."""
    return key(EVERY_TENANT, "jobs", "outstanding")


def slot_key(modality: Modality, model: str) -> str:
    """Name the set of outstanding jobs of a modality and model."""
    return key(EVERY_TENANT, "jobs", "outstanding", modality, model)


def token_key(owner: Owner, token: str) -> str:
    """Name what an idempotency key stands for."""
    return key(owner.shared, "job-token", token)


def micro(seconds: float | None) -> str:
    """Write seconds as whole microseconds; nothing for None."""
    return "" if seconds is None else str(round(seconds * MICRO))


def spec_of(owner: Owner, job: NewJob) -> bytes:
    """Write what never changes of a job."""
    return orjson.dumps(
        {
            "schema": SCHEMA,
            "id": job.id,
            "tenant": owner.tenant,
            "person": owner.person,
            "modality": job.modality,
            "model": job.model,
            "request": dict(job.request),
            "carrier": dict(job.carrier),
            "max_attempts": job.max_attempts,
            "priority": job.priority,
            "weight": job.weight,
        }
    )


def error_json(error: JobError) -> bytes:
    """Write an error."""
    return orjson.dumps({"code": error.code, "message": error.message})


def error_of(stored: bytes | str | None) -> JobError | None:
    """Read an error; None where there is none."""
    return JobError(**orjson.loads(stored)) if stored else None


def paired(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Read a script's HGETALL."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def job_of(stored: Mapping[bytes, bytes]) -> Job:
    """Read a record. Raises `Misconfigured` for one that a newer version wrote."""
    spec = orjson.loads(stored[b"spec"])
    if spec["schema"] != SCHEMA:
        raise Misconfigured(OTHER_VERSION)

    def moment(name: bytes) -> float | None:
        return int(stored[name]) / MICRO if name in stored else None

    return Job(
        id=spec["id"],
        owner=Owner(spec["tenant"], spec["person"]),
        modality=spec["modality"],
        model=spec["model"],
        request=spec["request"],
        carrier=spec["carrier"],
        max_attempts=spec["max_attempts"],
        priority=spec.get("priority", "normal"),
        weight=spec.get("weight", 1.0),
        status=cast(Any, stored[b"status"].decode()),
        phase=stored[b"phase"].decode(),
        progress=float(stored[b"progress"]),
        attempts=int(stored[b"attempts"]),
        fence=int(stored[b"fence"]),
        created_at=int(stored[b"created"]) / MICRO,
        expires_at=moment(b"expires"),
        ready_at=moment(b"ready"),
        waiting_since=moment(b"waiting"),
        started_at=moment(b"started"),
        ended_at=moment(b"ended"),
        result=orjson.loads(stored[b"result"]) if b"result" in stored else None,
        error=error_of(stored.get(b"error")),
    )


def attempt_of(stored: bytes) -> Attempt:
    """Read an attempt that is over."""
    said = orjson.loads(stored)
    return Attempt(
        fence=int(said["fence"]),
        worker=said["worker"],
        started_at=int(said["started"]) / MICRO,
        ended_at=int(said["ended"]) / MICRO,
        outcome=said["outcome"],
        error=error_of(said["error"]),
    )


def event_of(event_id: bytes, fields: Mapping[bytes, bytes]) -> JobEvent:
    """Read one step of a job."""
    return JobEvent(
        id=event_id.decode(),
        status=fields[b"status"].decode(),
        phase=fields[b"phase"].decode(),
        progress=float(fields[b"progress"]),
        attempts=int(fields[b"attempts"]),
        error=error_of(fields[b"error"]),
    )


def class_of(job: NewJob) -> int:
    """Number a job's priority: the first is served first."""
    return PRIORITIES.index(job.priority)
