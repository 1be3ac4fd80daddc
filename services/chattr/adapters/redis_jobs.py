"""Jobs in Redis: a hash a job, sorted sets as queue and leases, one script a step. See `redis_jobs_scripts`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis

from chatacter.chassis.errors import Conflict, Misconfigured
from chattr.adapters import redis_jobs_scripts as scripts
from chattr.adapters.redis_connection import key, told
from chattr.domain.identity import Owner
from chattr.ports.jobs import (
    QUEUED,
    SCHEMA,
    WORKER_LOST,
    WORKER_LOST_MESSAGE,
    Job,
    JobError,
    Lease,
    LeaseLost,
    Modality,
    NewJob,
    Order,
)

MICRO: Final = 1_000_000
# Queues serve every tenant. No tenant can have this name: see `auth.Identifier`.
EVERY_TENANT: Final = Owner("*")
LOST: Final = "This job was deleted, cancelled, or taken up by another worker."


class RedisJobs:
    """The store and the queues."""

    def __init__(self, redis: Redis) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._enqueue = redis.register_script(scripts.ENQUEUE)
        self._lease = redis.register_script(scripts.LEASE)
        self._heartbeat = redis.register_script(scripts.HEARTBEAT)
        self._complete = redis.register_script(scripts.COMPLETE)
        self._fail = redis.register_script(scripts.FAIL)
        self._hand_back = redis.register_script(scripts.HAND_BACK)
        self._cancel = redis.register_script(scripts.CANCEL)
        self._delete = redis.register_script(scripts.DELETE)

    async def enqueue(self, owner: Owner, job: NewJob) -> Job:
        """Store a job and put it into its queue."""
        slot = key(EVERY_TENANT, "jobs", "outstanding", job.modality, job.model)
        with told():
            stored = await self._enqueue(
                keys=[
                    record_key(owner, job.id),
                    index_key(owner, job.modality),
                    queue_key(job.modality),
                    slot,
                    slots_key(),
                    bell_key(job.modality),
                ],
                args=[job.id, spec_of(owner, job), f"{job.modality}/{job.model}", job.max_attempts],
            )
        if not stored:
            raise Conflict("There is a job with this id already.", param="id")
        return job_of(paired(stored))

    async def get(self, owner: Owner, job_id: str) -> Job | None:
        """Return one of the tenant's, or None."""
        with told():
            stored = await self._redis.hgetall(record_key(owner, job_id))
        return job_of(stored) if stored else None

    async def list(
        self, owner: Owner, modality: Modality, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Sequence[Job]:
        """Return the tenant's by age."""
        index, newest_first = index_key(owner, modality), order == "desc"
        with told():
            rank: int | None = None
            if after is not None:
                found = self._redis.zrevrank(index, after) if newest_first else self._redis.zrank(index, after)
                rank = await found
            start = 0 if rank is None else rank + 1
            ids = await self._redis.zrange(index, start, start + limit - 1, desc=newest_first)
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in ids:
                    pipe.hgetall(record_key(owner, job_id.decode()))
                stored = await pipe.execute()
        return [job_of(one) for one in stored if one]

    async def cancel(self, owner: Owner, job_id: str) -> Job | None:
        """End a job that has not ended."""
        job = await self.get(owner, job_id)
        if job is None:
            return None
        with told():
            stored = await self._cancel(
                keys=[record_key(owner, job_id), leases_key(job.modality), queue_key(job.modality)]
            )
        return job_of(paired(stored)) if stored else None

    async def delete(self, owner: Owner, job_id: str) -> Job | None:
        """Remove a job in any state."""
        job = await self.get(owner, job_id)
        if job is None:
            return None
        with told():
            stored = await self._delete(
                keys=[
                    record_key(owner, job_id),
                    leases_key(job.modality),
                    queue_key(job.modality),
                    index_key(owner, job.modality),
                ],
                args=[job_id],
            )
        return job_of(paired(stored)) if stored else None

    async def lease(self, modality: Modality, *, worker: str, seconds: float) -> Lease | None:
        """Take up the oldest job that may run."""
        lost = orjson.dumps({"code": WORKER_LOST, "message": WORKER_LOST_MESSAGE})
        with told():
            stored = await self._lease(
                keys=[queue_key(modality), leases_key(modality)], args=[micro(seconds), worker, lost]
            )
        if not stored:
            return None
        job = job_of(paired(stored))
        return Lease(job, job.fence, seconds)

    async def heartbeat(self, lease: Lease, *, progress: float, phase: str) -> None:
        """Renew a lease and tell how far the work is."""
        with told():
            kept = await self._heartbeat(
                keys=held_keys(lease)[:2], args=[lease.fence, micro(lease.seconds), f"{progress:.4f}", phase]
            )
        if not kept:
            raise LeaseLost(LOST)

    async def complete(self, lease: Lease, result: Mapping[str, Any]) -> None:
        """Publish the result."""
        with told():
            kept = await self._complete(keys=held_keys(lease)[:3], args=[lease.fence, orjson.dumps(result)])
        if not kept:
            raise LeaseLost(LOST)

    async def fail(self, lease: Lease, error: JobError, *, retry_after: float | None = None) -> None:
        """End a failed attempt."""
        reason = orjson.dumps({"code": error.code, "message": error.message})
        with told():
            kept = await self._fail(keys=held_keys(lease), args=[lease.fence, reason, micro(retry_after)])
        if not kept:
            raise LeaseLost(LOST)

    async def hand_back(self, lease: Lease, *, phase: str = QUEUED, delay: float | None = None) -> None:
        """Give a job back unfinished."""
        with told():
            kept = await self._hand_back(keys=held_keys(lease), args=[lease.fence, phase, micro(delay)])
        if not kept:
            raise LeaseLost(LOST)

    async def wait_for_work(self, modality: Modality, seconds: float) -> None:
        """Return when the bell rings; one that another heard first is no loss, waiting is short."""
        with told():
            await self._redis.blpop([bell_key(modality)], timeout=seconds)

    async def outstanding(self) -> Mapping[tuple[Modality, str], int]:
        """Count what is queued or running."""
        with told():
            slots: dict[bytes, bytes] = await self._redis.hgetall(slots_key())
            async with self._redis.pipeline(transaction=True) as pipe:
                for slot in slots.values():
                    pipe.scard(slot)
                counts = await pipe.execute()
        kinds = (name.decode().partition("/") for name in slots)
        return {
            (cast(Modality, modality), model): int(count)
            for (modality, _, model), count in zip(kinds, counts, strict=True)
        }


def record_key(owner: Owner, job_id: str) -> str:
    """Name a job's record: the tenant's, so that whoever calls with its key sees it."""
    return key(owner.shared, "job", job_id)


def index_key(owner: Owner, modality: Modality) -> str:
    """Name a tenant's list of jobs by age."""
    return key(owner.shared, "jobs", modality)


def queue_key(modality: Modality) -> str:
    """Name the queue."""
    return key(EVERY_TENANT, "jobs", modality, "queued")


def leases_key(modality: Modality) -> str:
    """Name the set of leases by the time at which they run out."""
    return key(EVERY_TENANT, "jobs", modality, "leased")


def bell_key(modality: Modality) -> str:
    """Name the list that waiting workers block on."""
    return key(EVERY_TENANT, "jobs", modality, "bell")


def slots_key() -> str:
    """Name the hash of all sets of outstanding jobs."""
    return key(EVERY_TENANT, "jobs", "outstanding")


def held_keys(lease: Lease) -> list[str]:
    """Name what a held job's steps touch: record, leases, queue, bell."""
    job = lease.job
    return [record_key(job.owner, job.id), leases_key(job.modality), queue_key(job.modality), bell_key(job.modality)]


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
        }
    )


def paired(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Read a script's HGETALL."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def job_of(stored: Mapping[bytes, bytes]) -> Job:
    """Read a record. Raises `Misconfigured` for one that a newer version wrote."""
    spec = orjson.loads(stored[b"spec"])
    if spec["schema"] != SCHEMA:
        raise Misconfigured("A stored job was written by another version of Chattr. Run one version at a time.")
    error = orjson.loads(stored[b"error"]) if b"error" in stored else None
    return Job(
        id=spec["id"],
        owner=Owner(spec["tenant"], spec["person"]),
        modality=spec["modality"],
        model=spec["model"],
        request=spec["request"],
        carrier=spec["carrier"],
        max_attempts=spec["max_attempts"],
        status=cast(Any, stored[b"status"].decode()),
        phase=stored[b"phase"].decode(),
        progress=float(stored[b"progress"]),
        attempts=int(stored[b"attempts"]),
        fence=int(stored[b"fence"]),
        created_at=int(stored[b"created"]) / MICRO,
        started_at=int(stored[b"started"]) / MICRO if b"started" in stored else None,
        ended_at=int(stored[b"ended"]) / MICRO if b"ended" in stored else None,
        result=orjson.loads(stored[b"result"]) if b"result" in stored else None,
        error=JobError(error["code"], error["message"]) if error else None,
    )
