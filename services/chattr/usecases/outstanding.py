"""Work that is queued or running, per model: the one number that autoscaling and monitoring both read, from Redis."""

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from chatacter.chassis.errors import Unavailable
from chattr.ports.demand import Demand
from chattr.ports.jobs import Jobs, Modality

GAUGE: Final = "chatacter.jobs.outstanding"

Counts = Mapping[tuple[Modality, str], int]


class Outstanding:
    """Counts jobs and held requests. The gauge shows what `refresh` read last, the same on every replica."""

    def __init__(self, jobs: Jobs, demand: Demand, meter: Meter) -> None:
        self._jobs = jobs
        self._demand = demand
        self._latest: Counts = {}
        meter.create_observable_gauge(
            GAUGE,
            callbacks=[self._observed],
            unit="{job}",
            description="Work queued or running. Equal on every replica: take the maximum, never the sum",
        )

    async def count(self) -> Counts:
        """Count now. Raises `Unavailable`."""
        counts = dict(await self._jobs.outstanding())
        for kind, number in (await self._demand.outstanding()).items():
            counts[kind] = counts.get(kind, 0) + number
        return counts

    async def refresh(self) -> None:
        """Read the numbers for the gauge; while Redis is away it shows none, rather than old ones."""
        try:
            self._latest = await self.count()
        except Unavailable:
            self._latest = {}

    def _observed(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(number, {"chatacter.modality": modality, "chatacter.model": model})
            for (modality, model), number in self._latest.items()
        ]
