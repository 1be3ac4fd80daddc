"""What one writes with `serve.batch`: whoever has come within 10 ms is said by one call, streamed, and nobody joins.

It speaks by the same verb as ours, so that what differs is how texts are brought together.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import numpy as np
from ray import serve

from chatacter.serving.batching import Made
from measuring.speech_models import Setup
from vocalizr.backend import Utterance

# Samples of a text, and when it was asked, taken in and answered: the first and the last by the clock that is measured
# with, the wait in seconds of the wall's.
Answer = tuple[np.ndarray, float, float, float]
Row = list[Any]
SILENT: Final = np.zeros(0, dtype=np.float32)


class PlainBatches:
    """A deployment of one model."""

    def __init__(self, setup: Setup) -> None:
        self._backend: Any = setup.opened()
        self._clock = time.perf_counter if setup.device == "cuda" else time.process_time

    async def __call__(self, utterance: Utterance) -> AsyncIterator[Answer]:
        """Say a text."""
        began, came = self._clock(), time.monotonic()
        async for samples, begun in self._batch(utterance):
            if samples.size:
                yield samples, began, self._clock(), begun - came

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.01)
    async def _batch(self, utterances: list[Utterance]) -> AsyncIterator[Row]:
        begun = time.monotonic()
        rows = self._rows(utterances, begun)
        while (row := await asyncio.to_thread(next, rows, None)) is not None:
            yield row

    def _rows(self, utterances: list[Utterance], begun: float) -> Iterator[Row]:
        """Yield what is new of one text, and nothing of the others; who has ended is told with the next row."""
        left = {number: iter(self._backend.pieces(utterance)) for number, utterance in enumerate(utterances)}
        row: Row = [(SILENT, begun)] * len(utterances)
        while left:
            pieces = {number: next(of, None) for number, of in left.items()}
            for number in [number for number, piece in pieces.items() if piece is None]:
                del left[number], pieces[number]
                row[number] = StopIteration
            numbers = list(pieces)
            events = [threading.Event() for _ in numbers]
            for made in self._backend.speak_together(list(pieces.values()), events) if numbers else ():
                if isinstance(made, Made):
                    yield [
                        (made.result.samples, begun) if number == numbers[made.number] else other
                        for number, other in zip(itertools.count(), row, strict=False)
                    ]
        yield row
