"""What nobody needs any more goes: jobs that ended long ago with their files, and what workers that died have left.

Any number of replicas may run it; one at a time does it.
"""

import asyncio
import logging
import time
from typing import Final

from chatacter.chassis.errors import ChatacterError
from chattr.ports.assets import Assets
from chattr.ports.duty import Duties
from chattr.ports.jobs import Jobs, Modality
from chattr.usecases.job_files import is_made, is_of_use, job_of_file
from chattr.usecases.ordering import removed

logger = logging.getLogger(__name__)

DUTY: Final = "tidying"
EVERY: Final = 3600.0
LOOK: Final = 300.0
DAY: Final = 86_400.0
# No order takes longer from its first file to its job, and no write from its first byte to its last.
UNFINISHED: Final = 6 * 3600.0
MODALITIES: Final[tuple[Modality, ...]] = ("video", "speech")


class Tidying:
    """Removes what is over. `days` after which a job that ended goes; 0: never. `every` is the pause in seconds between
    two rounds of whichever replica.
    """

    def __init__(
        self, jobs: Jobs, assets: Assets, duties: Duties, *, days: int, every: float = EVERY, look: float = LOOK
    ) -> None:
        self._jobs = jobs
        self._assets = assets
        self._duties = duties
        self._days = days
        self._every = every
        self._look = look

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                if await self._duties.taken(DUTY, self._every):
                    await self.tidy(time.time())
            except ChatacterError as error:
                logger.warning("tidying waits", extra={"error.type": type(error).__name__})
            await asyncio.sleep(self._look)

    async def tidy(self, now: float) -> None:
        """Remove everything that is over by now."""
        if self._days:
            for modality in MODALITIES:
                await self._forget(modality, now - self._days * DAY)
        await self._assets.sweep(before=now - UNFINISHED)
        await self._clear_leftovers(now - UNFINISHED)

    async def _forget(self, modality: Modality, before: float) -> None:
        """Remove jobs with their files, unless somebody has one tried again meanwhile. Where this breaks off, files
        stay that are found as those of a job that is gone.
        """
        while over := await self._jobs.ended(modality, before=before):
            for job in over:
                await removed(self._jobs, self._assets, job.owner, job.id, only_ended=True)

    async def _clear_leftovers(self, before: float) -> None:
        """Remove files of jobs that are gone, and what leases that lost have made."""
        async for owner, name in self._assets.names(before=before):
            job_id = job_of_file(name)
            if job_id is None:
                continue
            job = await self._jobs.get(owner, job_id)
            if job is None and not self._days and is_made(name):
                continue  # the jobs' store may have been lost, and what they made is to stay for ever
            if job is None or not is_of_use(name, job):
                await self._assets.delete(owner, name)
