"""How much work there is for each model: the one number that replicas are scaled by.

Jobs count themselves. A request that is answered while it is held counts through `holding`.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from chattr.ports.jobs import Modality


class Demand(Protocol):
    """Requests in flight, counted for all processes together."""

    def holding(self, modality: Modality, model: str) -> AbstractAsyncContextManager[None]:
        """Count one request for the length of the block. A process that dies is counted out within seconds.

        A request that ends in `Unavailable` counts for a while longer: it is what should wake a sleeping predictor.

        A store that is away does not stop the request; it is not counted then.
        """
        ...

    async def outstanding(self) -> Mapping[tuple[Modality, str], int]:
        """Count the requests that are held."""
        ...
