"""When a job may be expected to end, learnt from the last jobs of its model.

Medians, since one stuck job among many must not move what is told of the others.
"""

import statistics
from dataclasses import dataclass
from typing import Final

from chattr.ports.jobs import Job, Outlook

# Fewer durations than that tell nothing worth saying; under this progress it says less than they do.
FEWEST: Final = 3
TELLING_PROGRESS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds until a job begins and ends, and from how many others that is known."""

    begins_in: float
    ends_in: float
    samples: int


def estimate(job: Job, outlook: Outlook) -> Estimate | None:
    """Say when a job that is in line or running ends; None where nothing is known of its like."""
    samples = len(outlook.durations)
    typical = statistics.median(outlook.durations) * job.weight if samples >= FEWEST else None
    if job.status == "running":
        left = time_left(job, outlook.now, typical)
        return None if left is None else Estimate(0.0, left, samples)
    if job.status != "queued" or typical is None:
        return None
    if outlook.ahead is None:
        begins = max(0.0, (job.ready_at or outlook.now) - outlook.now)
    else:
        begins = outlook.ahead * statistics.median(outlook.others) / max(1, outlook.running)
    return Estimate(begins, begins + typical, samples)


def time_left(job: Job, now: float, typical: float | None) -> float | None:
    """Say how long a running job still takes: at its beginning as others did, later as it goes itself."""
    elapsed = max(0.0, now - (job.started_at or now))
    by_progress = elapsed * (1 - job.progress) / job.progress if job.progress >= TELLING_PROGRESS else None
    by_others = None if typical is None else max(0.0, typical - elapsed)
    if by_progress is None or by_others is None:
        return by_others if by_progress is None else by_progress
    return job.progress * by_progress + (1 - job.progress) * by_others
