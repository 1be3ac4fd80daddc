"""Takes jobs up and sees them through: a task inside Chattr, or a process of its own; any number of them.

While a job's work runs, heartbeats keep its lease and tell its progress. A job that was deleted, cancelled or taken up
by another is stopped at once, and with it the predictor. At the end the lease's fence decides who publishes: exactly
one does, whatever died in between.
"""

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, Self

from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from chatacter.chassis.errors import ChatacterError, Unavailable
from chatacter.chassis.tasks import stopped
from chattr.ports.jobs import JobError, Jobs, Lease, LeaseLost, Modality
from chattr.usecases.filming import WAITING, Report
from chattr.usecases.ordering import lost_fences

logger = logging.getLogger(__name__)

INTERNAL: Final = "Something went wrong on our side. Quote the job's id when you report it."
POLL_SECONDS: Final = 1.0
HAND_BACK_SECONDS: Final = 2.0
FIRST_BEAT_SECONDS: Final = 0.2
LONGEST_RETRY: Final = 60.0
# A job whose predictor is away is asked for again after a part of the time that it has waited already.
AGE_OF_A_PAUSE: Final = 8.0
LONGEST_PAUSE: Final = 30.0


class Work(Protocol):
    """What is done for a job."""

    async def perform(self, lease: Lease, report: Report) -> Mapping[str, Any]:
        """Do it and return the job's result. Raises `Unavailable` when it could not even begin."""
        ...

    async def discard(self, lease: Lease) -> None:
        """Remove what a lease has put away that is not to be published."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds. `retry` is the wait before a second attempt, doubled for each further one. A job waits for an
    absent predictor no longer than `give_up` from when that was first found away.
    """

    lease: float = 10.0
    heartbeat: float = 1.0
    grace: float = 30.0
    retry: float = 2.0
    give_up: float = 24 * 3600.0

    @classmethod
    def of(cls, *, lease: float, grace: float) -> Self:
        """Beat often enough that a few lost heartbeats lose no lease."""
        return cls(lease=lease, heartbeat=min(1.0, lease / 5), grace=grace)


@dataclass(slots=True)
class Running:
    """A job under way."""

    lease: Lease
    report: Report = field(default_factory=Report)
    lost: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    work: asyncio.Task[Mapping[str, Any]] | None = None

    def stop(self) -> None:
        """Stop the work; closing its stream stops the predictor."""
        if self.work is not None:
            self.work.cancel()


class Dispatcher:
    """Runs jobs of one modality, `concurrency` at a time."""

    def __init__(
        self,
        jobs: Jobs,
        work: Work,
        *,
        worker: str,
        tracer: Tracer,
        modality: Modality = "video",
        concurrency: int = 1,
        pace: Pace | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._jobs = jobs
        self._work = work
        self._worker = worker
        self._tracer = tracer
        self._modality: Modality = modality
        self._concurrency = concurrency
        self._pace = pace or Pace()
        self._chance = chance
        self._running: dict[asyncio.Task[None], Running] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; then let what runs finish within the grace, and hand back the rest.

        When it is cancelled instead it hands nothing back, like a process that died: the leases run out.
        """
        try:
            while not stopping.is_set():
                lease = await self._leased() if len(self._running) < self._concurrency else None
                if lease is not None:
                    self._start(lease)
                else:
                    await self._something_happens(stopping)
            await self._drain()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _leased(self) -> Lease | None:
        try:
            return await self._jobs.lease(self._modality, worker=self._worker, seconds=self._pace.lease)
        except Unavailable:
            logger.warning("jobs cannot be leased: their store is away")
            return None
        except Exception:  # one job that cannot be read must not end the work on all others
            logger.exception("jobs cannot be leased")
            return None

    def _start(self, lease: Lease) -> None:
        running = Running(lease)
        task = asyncio.create_task(self._see_through(running))
        self._running[task] = running
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a job could not be settled; its lease will run out", exc_info=error)

    async def _something_happens(self, stopping: asyncio.Event) -> None:
        """Wait for the end, for a job to end, or, with a place free, for a job to come; return after a while anyway."""
        free = len(self._running) < self._concurrency
        comes = self._work_comes() if free else self._time_passes()
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(stopping.wait()), asyncio.create_task(comes)]
        try:
            await asyncio.wait({*waits, *self._running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _work_comes(self) -> None:
        try:
            await self._jobs.wait_for_work(self._modality, POLL_SECONDS)
        except Unavailable:
            await asyncio.sleep(POLL_SECONDS)
        except Exception:  # it is asked for all the same, and not without a pause
            logger.exception("jobs cannot be waited for")
            await asyncio.sleep(POLL_SECONDS)

    async def _time_passes(self) -> None:
        """Take part, with every place taken, in what time does: what was lost or is too late is told at once."""
        await asyncio.sleep(POLL_SECONDS)
        try:
            await self._jobs.sweep(self._modality)
        except Unavailable:
            logger.warning("jobs cannot be swept: their store is away")
        except Exception:  # what runs goes on; who looks after this must learn of it
            logger.exception("jobs cannot be swept")

    async def _drain(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=self._pace.grace)
        for running in self._running.values():
            running.stop()
        if self._running:
            await asyncio.wait(self._running, timeout=HAND_BACK_SECONDS)

    async def _see_through(self, running: Running) -> None:
        """Do a job's work as part of its asker's trace, and settle it."""
        job = running.lease.job
        attributes: dict[str, str | int] = {"job.id": job.id, "job.model": job.model, "job.attempt": job.attempts}
        with self._tracer.start_as_current_span(
            f"job {self._modality}",
            context=propagate.extract(dict(job.carrier)),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
        ) as span:
            work = running.work = asyncio.create_task(self._perform(running))
            beat = asyncio.create_task(self._beat(running))
            try:
                await asyncio.wait({work, beat}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                running.over.set()
                await stopped(work)
                await asyncio.gather(beat, return_exceptions=True)
            error = None if work.cancelled() else work.exception()
            if error is not None:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
            await self._settle(running, work, error)

    async def _perform(self, running: Running) -> Mapping[str, Any]:
        return await self._work.perform(running.lease, running.report)

    async def _beat(self, running: Running) -> None:
        """Keep the lease until the work is over; ends before it when the lease is lost.

        A store that is away is asked again: the fence stands whatever happens meanwhile. A fresh lease needs no beat:
        the first one only tells the phase, and leaves the store's disk to work that is over before it.
        """
        await within(running.over, min(FIRST_BEAT_SECONDS, self._pace.heartbeat))
        while not running.over.is_set():
            report = running.report
            try:
                await self._jobs.heartbeat(running.lease, progress=report.progress, phase=report.phase)
            except LeaseLost:
                running.lost = True
                return
            except Unavailable:
                logger.warning("a job's heartbeat could not be told: the store is away")
            await within(running.over, self._pace.heartbeat)

    async def _settle(
        self, running: Running, work: asyncio.Task[Mapping[str, Any]], error: BaseException | None
    ) -> None:
        lease = running.lease
        if not work.cancelled() and error is None:
            await self._publish(lease, work.result())
            return
        await self._discard(lease)
        if running.lost:
            return
        try:
            if error is None:
                await self._jobs.hand_back(lease)
            else:
                await self._failed(lease, error)
        except LeaseLost:
            return
        except Unavailable:
            logger.warning("a job's end could not be told; its lease will run out")

    async def _publish(self, lease: Lease, result: Mapping[str, Any]) -> None:
        """Publish a finished work. The store being away is no reason to lose it."""
        while True:
            try:
                await self._jobs.complete(lease, result)
            except LeaseLost:
                await self._discard(lease)
                return
            except Unavailable:
                await asyncio.sleep(POLL_SECONDS)
            else:
                break
        logger.info("a job is published", extra={"job.id": lease.job.id, "job.fence": lease.fence})
        await self._tidy(lease)

    async def _tidy(self, lease: Lease) -> None:
        """Remove what workers that died had put away."""
        try:
            lost = await lost_fences(self._jobs, lease.job.owner, lease.job.id)
        except Unavailable:
            return  # tidying finds it
        for fence in sorted(lost - {lease.fence}):
            await self._discard(replace(lease, fence=fence))

    async def _failed(self, lease: Lease, error: BaseException) -> None:
        job = lease.job
        retry = self._jittered(min(self._pace.retry * 2 ** (job.attempts - 1), LONGEST_RETRY))
        if not isinstance(error, ChatacterError):
            logger.error("a job's work failed unexpectedly", exc_info=error)
            await self._jobs.fail(lease, JobError("internal", INTERNAL), retry_after=retry)
            return
        told = JobError(error.code, error.message)
        age = 0.0 if job.waiting_since is None else (job.started_at or job.waiting_since) - job.waiting_since
        if isinstance(error, Unavailable) and age <= self._pace.give_up:
            delay = self._jittered(pause(error.retry_after or self._pace.retry, age))
            await self._jobs.hand_back(lease, phase=WAITING, delay=delay)
        elif error.retryable and not isinstance(error, Unavailable):
            await self._jobs.fail(lease, told, retry_after=retry)
        else:
            await self._jobs.fail(lease, told)

    def _jittered(self, seconds: float) -> float:
        """Stretch a wait by up to a half, so that what failed together does not come back together."""
        return seconds * (1 + self._chance() / 2)

    async def _discard(self, lease: Lease) -> None:
        try:
            await self._work.discard(lease)
        except ChatacterError:
            logger.warning("a file of a job that came to nothing could not be removed")


def pause(told: float, age: float) -> float:
    """Return how many seconds a job waits for an absent predictor: what it told, longer for one long waited for."""
    return max(told, min(age / AGE_OF_A_PAUSE, LONGEST_PAUSE))


async def within(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, no longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def until_signalled(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run until SIGTERM or Ctrl-C, which set the event that `run` is given."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        await run(stopping)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
