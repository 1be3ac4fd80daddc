"""Jobs: where they are kept, who works on them, who clears up after them."""

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Protocol
from uuid import uuid4

from redis.asyncio import Redis

from chatacter.chassis.drain import Drain
from chatacter.chassis.telemetry import Telemetry
from chattr.adapters.by_model import FilmersByModel, SpeakersByModel
from chattr.adapters.redis_durability import disk_must_be_awaited, require_durable
from chattr.bootstrap.beside import run_beside
from chattr.dispatcher import Dispatcher, Pace, Work
from chattr.ports.assets import Assets
from chattr.ports.demand import Demand
from chattr.ports.duty import Duties
from chattr.ports.jobs import Jobs, Modality
from chattr.settings import ChattrSettings
from chattr.usecases.filming import FilmWork
from chattr.usecases.reading_aloud import SpeechWork
from chattr.usecases.tidying import Tidying


class JobStores(Protocol):
    """The stores that work on jobs touches."""

    @property
    def jobs(self) -> Jobs:
        """The jobs."""
        ...

    @property
    def demand(self) -> Demand:
        """What is asked of predictors beside them."""
        ...

    @property
    def duties(self) -> Duties:
        """What one replica does at a time."""
        ...


class Behind(Protocol):
    """The predictors' clients; None where a modality is switched off."""

    @property
    def speaker(self) -> SpeakersByModel | None:
        """Who speaks."""
        ...

    @property
    def filmer(self) -> FilmersByModel | None:
        """Who films."""
        ...


async def open_for_jobs(redis: Redis, settings: ChattrSettings, *, apart: bool) -> bool:
    """Refuse a Redis that may lose a job; say whether a write of one has to be waited for.

    `apart`: it is not the records', which were asked already whether they keep what they hold.
    """
    named = "JOBS" if settings.jobs.url is not None else "RECORDS"
    vouched = settings.jobs.durable or (settings.jobs.url is None and settings.records.durable)
    if apart:
        await require_durable(redis, named, vouched=vouched)
    return await disk_must_be_awaited(redis, named, vouched=vouched)


def dispatchers(
    settings: ChattrSettings, stores: JobStores, assets: Assets, behind: Behind, telemetry: Telemetry
) -> list[Dispatcher]:
    """Make the dispatcher of each modality that has jobs and is switched on."""
    works: dict[Modality, Work] = {}
    if behind.filmer is not None:
        works["video"] = FilmWork(
            behind.speaker,
            behind.filmer,
            assets,
            stores.demand,
            speaking=settings.vocalizr.timeout,
            filming=settings.visualizr.timeout,
        )
    if behind.speaker is not None:
        works["speech"] = SpeechWork(behind.speaker, assets, seconds=settings.vocalizr.timeout)
    return [
        Dispatcher(
            stores.jobs,
            work,
            worker=f"{socket.gethostname()}-{uuid4().hex[:8]}",
            tracer=telemetry.tracer,
            modality=modality,
            concurrency=settings.dispatcher_concurrency,
            pace=Pace.of(lease=settings.jobs.lease, grace=settings.shutdown_grace),
        )
        for modality, work in works.items()
    ]


def run_dispatcher(stack: AsyncExitStack, made: list[Dispatcher], drain: Drain) -> None:
    """Run dispatchers inside this process; at the end they stop leasing and hand back what they cannot finish."""
    tasks = [asyncio.create_task(dispatcher.run(drain.begun)) for dispatcher in made]

    async def stop() -> None:
        drain.begin()
        await asyncio.gather(*tasks)

    stack.push_async_callback(stop)


def tidy_up(stack: AsyncExitStack, settings: ChattrSettings, stores: JobStores, assets: Assets) -> None:
    """Clear up beside everything else, whenever it is this replica's duty."""
    run_beside(stack, Tidying(stores.jobs, assets, stores.duties, days=settings.asset_cleanup_days).run)
