"""Jobs in Redis: a hash a job, sorted sets as queue and leases, one script a step. See `redis_jobs_scripts`.

What a script wrote is on disk before its answer comes: by the server itself where it syncs its append-only file with
every write (`appendfsync always`), else by waiting for it (`WAITAOF`), as `redis_durability` finds out at start.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from uuid import uuid4

import orjson
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound, Unavailable
from chattr.adapters import redis_jobs_scripts as scripts
from chattr.adapters.redis_connection import told
from chattr.adapters.redis_jobs_records import (
    attempt_of,
    attempts_key,
    base_key,
    class_of,
    error_json,
    index_key,
    job_of,
    micro,
    paired,
    record_key,
    slot_key,
    slots_key,
    spec_of,
    token_key,
)
from chattr.domain.identity import Owner
from chattr.ports.jobs import (
    EXPIRED,
    KEY_SECONDS,
    QUEUED,
    WORKER_LOST,
    Attempt,
    Job,
    JobError,
    Lease,
    LeaseLost,
    Modality,
    NewJob,
    Order,
    Outlook,
)

LOST: Final = "This job was deleted, cancelled, or taken up by another worker."
NOT_LISTED: Final = "There is no such job in this list. `after` is the id of the last one of the page before."
TAKEN: Final = "There is a job with this id already."
OTHER: Final = "This Idempotency-Key was used for a different request. Use a new key for a new request."
NOT_OVER: Final = "This job has not ended. Only one that failed or was cancelled can be tried again."
DONE: Final = "This job is completed. Only one that failed or was cancelled can be tried again."
NOT_ON_DISK: Final = "Redis has not written this to its disk in time. Send it again: nothing is done twice."
# Less than a connection waits for an answer: what Redis says of its disk must be heard.
DISK_MS: Final = 3_000
PROBLEMS: Final = (error_json(WORKER_LOST), error_json(EXPIRED))
FOLLOWED_SECONDS: Final = 600


class NotOnDisk(Unavailable):
    """What a script wrote is in memory, and perhaps not on disk. `answer` is what it said."""

    def __init__(self, answer: Any) -> None:
        super().__init__(NOT_ON_DISK, retry_after=1)
        self.answer = answer


class RedisJobs:
    """The store and the queues. `most_a_tenant`: how many of its jobs may run at a time; 0: any number.

    `wait_for_disk`: this server syncs its file later than it answers, and has to be asked whether it has.
    """

    def __init__(self, redis: Redis, *, most_a_tenant: int = 0, wait_for_disk: bool = False) -> None:
        # Replies are bytes: `connected` decodes nothing, which redis-py's types do not know.
        self._redis: Any = redis
        self._most_a_tenant = most_a_tenant
        self._wait_for_disk = wait_for_disk
        # Tickets of leases that were asked for, and whose answer was lost: they are asked for again.
        self._unheard: dict[tuple[Modality, str], str] = {}
        self._enqueue = redis.register_script(scripts.ENQUEUE)
        self._lease = redis.register_script(scripts.LEASE)
        self._sweep = redis.register_script(scripts.SWEEP)
        self._heartbeat = redis.register_script(scripts.HEARTBEAT)
        self._complete = redis.register_script(scripts.COMPLETE)
        self._fail = redis.register_script(scripts.FAIL)
        self._hand_back = redis.register_script(scripts.HAND_BACK)
        self._cancel = redis.register_script(scripts.CANCEL)
        self._retry = redis.register_script(scripts.RETRY)
        self._delete = redis.register_script(scripts.DELETE)
        self._outlook = redis.register_script(scripts.OUTLOOK)

    async def _kept(self, script: AsyncScript, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Run a script; return its answer once what it wrote is on disk."""
        with told():
            if not self._wait_for_disk:
                return await script(keys=keys, args=args)
            async with self._redis.pipeline(transaction=False) as pipe:
                await script(keys=keys, args=args, client=pipe)
                pipe.execute_command("WAITAOF", 1, 0, DISK_MS)
                answer, synced = await pipe.execute()
        if not synced[0]:
            raise NotOnDisk(answer)
        return answer

    async def enqueue(self, owner: Owner, job: NewJob) -> Job:
        """Store a job and put it into its queue."""
        record, token = record_key(owner, job.id), job.token
        keys = [
            record,
            base_key(job.modality),
            index_key(owner, job.modality),
            slot_key(job.modality, job.model),
            slots_key(),
            token_key(owner, token.key) if token else record,
        ]
        args: list[Any] = [job.id, spec_of(owner, job), f"{job.modality}/{job.model}", owner.tenant, class_of(job)]
        args += [job.max_attempts, job.weight, job.model, micro(job.expires_in)]
        args += [token.fingerprint if token else "", round(KEY_SECONDS * 1000)]
        stored = await self._kept(self._enqueue, keys, args)
        if stored == b"taken":
            raise Conflict(TAKEN, param="id")
        if stored == b"other":
            raise InvalidInput(OTHER, param="Idempotency-Key")
        return job_of(paired(stored))

    async def get(self, owner: Owner, job_id: str) -> Job | None:
        """Return one of the tenant's, or None."""
        with told():
            stored = await self._redis.hgetall(record_key(owner, job_id))
        return job_of(stored) if stored else None

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
        index, newest_first = index_key(owner, modality) + (":failed" if failed else ""), order == "desc"
        with told():
            start = 0 if after is None else await self._following(index, after, newest_first=newest_first)
            ids = await self._redis.zrange(index, start, start + limit - 1, desc=newest_first)
        return await self._read([record_key(owner, job_id.decode()) for job_id in ids])

    async def _following(self, index: str, after: str, *, newest_first: bool) -> int:
        """Return the rank of what comes after a job in a list, which may have gone a moment ago.

        Jobs that one sweep failed have one time; they stand in the order of their ids.
        """
        rank = await (self._redis.zrevrank(index, after) if newest_first else self._redis.zrank(index, after))
        if rank is not None:
            return int(rank) + 1
        place = await self._redis.get(f"{index}:gone:{after}")
        if place is None:
            raise NotFound(NOT_LISTED, param="after")
        beside = f"({place.decode()}"
        before = await self._redis.zcount(index, *((beside, "+inf") if newest_first else ("-inf", beside)))
        equals: Sequence[bytes] = await self._redis.zrange(index, place, place, byscore=True)
        return int(before) + sum((one > after.encode()) == newest_first for one in equals)

    async def _read(self, records: Sequence[str | bytes]) -> Sequence[Job]:
        """Return the jobs that stand in records; some may be gone meanwhile."""
        with told():
            async with self._redis.pipeline(transaction=False) as pipe:
                for record in records:
                    pipe.hgetall(record)
                stored = await pipe.execute()
        return [job_of(one) for one in stored if one]

    async def attempts(self, owner: Owner, job_id: str) -> Sequence[Attempt]:
        """Return the attempts that are over."""
        with told():
            stored = await self._redis.lrange(attempts_key(owner, job_id), 0, -1)
        return [attempt_of(one) for one in stored]

    async def outlook(self, owner: Owner, job_id: str) -> Outlook | None:
        """Say what is ahead of one of the tenant's."""
        job = await self.get(owner, job_id)
        if job is None:
            return None
        with told():
            found = await self._outlook(keys=steps(owner, job))
        if not found:
            return None
        now, ahead, running, durations, others = found
        return Outlook(
            now=int(now) / 1e6,
            ahead=int(ahead) if ahead >= 0 else None,
            running=int(running),
            durations=[float(one) for one in durations],
            others=[float(one) for one in others],
        )

    async def cancel(self, owner: Owner, job_id: str) -> Job | None:
        """End a job that has not ended."""
        job = await self.get(owner, job_id)
        if job is None:
            return None
        stored = await self._kept(self._cancel, steps(owner, job))
        return job_of(paired(stored)) if stored else None

    async def retry(self, owner: Owner, job_id: str) -> Job | None:
        """Put a job that failed or was cancelled into the queue again."""
        job = await self.get(owner, job_id)
        if job is None:
            return None
        stored = await self._kept(self._retry, steps(owner, job), [FOLLOWED_SECONDS])
        if not stored:
            return None
        if isinstance(stored, bytes):
            raise Conflict(DONE if stored == b"completed" else NOT_OVER, param="job_id")
        return job_of(paired(stored))

    async def delete(self, owner: Owner, job_id: str, *, only_ended: bool = False) -> Job | None:
        """Remove a job."""
        job = await self.get(owner, job_id)
        if job is None:
            return None
        keys = [*steps(owner, job), index_key(owner, job.modality)]
        was = await self._kept(self._delete, keys, [job_id, FOLLOWED_SECONDS, int(only_ended)])
        return job_of(paired(was)) if was else None

    async def lease(self, modality: Modality, *, worker: str, seconds: float) -> Lease | None:
        """Take up the job whose turn it is."""
        base = base_key(modality)
        ticket = self._unheard.pop((modality, worker), None) or uuid4().hex
        args = [micro(seconds), worker, self._most_a_tenant, *PROBLEMS, ticket]
        try:
            stored = await self._kept(self._lease, [base, base], args)
        except NotOnDisk as error:
            if error.answer:  # nobody will work on it
                self._unheard[modality, worker] = ticket
                job = job_of(paired(error.answer))
                with told():
                    await self._hand_back(keys=steps(job.owner, job), args=[job.fence, QUEUED, "", 1])
                del self._unheard[modality, worker]
            raise
        except Unavailable:
            self._unheard[modality, worker] = ticket
            raise
        if not stored:
            return None
        job = job_of(paired(stored))
        return Lease(job, job.fence, seconds)

    async def sweep(self, modality: Modality) -> None:
        """Do what it is time for."""
        base = base_key(modality)
        await self._kept(self._sweep, [base, base], PROBLEMS)

    async def heartbeat(self, lease: Lease, *, progress: float, phase: str) -> None:
        """Renew a lease and tell how far the work is. A power cut may take it back: nobody acts on it."""
        with told():
            kept = await self._heartbeat(
                keys=held(lease), args=[lease.fence, micro(lease.seconds), f"{progress:.4f}", phase]
            )
        require(kept)

    async def complete(self, lease: Lease, result: Mapping[str, Any]) -> None:
        """Publish the result."""
        require(await self._kept(self._complete, held(lease), [lease.fence, orjson.dumps(result)]))

    async def fail(self, lease: Lease, error: JobError, *, retry_after: float | None = None) -> None:
        """End a failed attempt."""
        require(await self._kept(self._fail, held(lease), [lease.fence, error_json(error), micro(retry_after)]))

    async def hand_back(self, lease: Lease, *, phase: str = QUEUED, delay: float | None = None) -> None:
        """Give a job back unfinished."""
        require(await self._kept(self._hand_back, held(lease), [lease.fence, phase, micro(delay), 0]))

    async def wait_for_work(self, modality: Modality, seconds: float) -> None:
        """Return when the bell rings; one that another heard first is no loss, waiting is short."""
        with told():
            await self._redis.blpop([f"{base_key(modality)}:bell"], timeout=seconds)

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

    async def ended(self, modality: Modality, *, before: float, limit: int = 100) -> Sequence[Job]:
        """Return jobs that ended before a time."""
        with told():
            records = await self._redis.zrange(
                f"{base_key(modality)}:ended", "-inf", micro(before), byscore=True, offset=0, num=limit
            )
        return await self._read(records)


def steps(owner: Owner, job: Job) -> list[str]:
    """Name what every script is given: the record, and the base of its modality."""
    return [record_key(owner, job.id), base_key(job.modality)]


def held(lease: Lease) -> list[str]:
    """The same for a leased job."""
    return steps(lease.job.owner, lease.job)


def require(kept: Any) -> None:
    """Raise `LeaseLost` where a script refused a fence."""
    if not kept:
        raise LeaseLost(LOST)
