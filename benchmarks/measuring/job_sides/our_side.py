"""Our side: the dispatcher over Redis, with work that takes a while."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from job_ruler import Ruler
from opentelemetry.trace import NoOpTracer

from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_jobs import RedisJobs
from chattr.dispatcher import Dispatcher, Pace, until_signalled
from chattr.ports.jobs import Lease
from chattr.usecases.filming import Report


class Sleep:
    """Work that is none."""

    def __init__(self) -> None:
        self._ruler = Ruler()

    async def perform(self, lease: Lease, report: Report) -> Mapping[str, Any]:
        await asyncio.to_thread(self._ruler.began, lease.job.id)
        await asyncio.sleep(lease.job.request["seconds"])
        await asyncio.to_thread(self._ruler.ended, lease.job.id)
        return {"asset": lease.job.id}

    async def discard(self, lease: Lease) -> None:
        """Nothing was put away."""


async def main() -> None:
    pace = Pace.of(lease=float(os.environ["MISSED_AFTER"]), grace=5.0)
    async with connected(os.environ["JOBS_URL"]) as redis:
        dispatcher = Dispatcher(RedisJobs(redis), Sleep(), worker=os.environ["WORKER"], tracer=NoOpTracer(), pace=pace)
        await until_signalled(dispatcher.run)


if __name__ == "__main__":
    asyncio.run(main())
