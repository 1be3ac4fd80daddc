"""What one writes with `serve.batch`: whoever has come within 10 ms is said by one call, and nobody joins.

It answers with whole pieces: `serve.batch` can stream, and this peer does not, so that its first sound is its last.
"""

import threading
import time
from typing import Any

import numpy as np
from ray import serve

from vocalizr.backend import Utterance
from vocalizr.backends.coqui.backend import create_xtts
from vocalizr.settings import VocalizrSettings

Answer = tuple[np.ndarray, float, float]


class PlainBatches:
    """A deployment of XTTS; answers a text's whole first piece, and when it was asked and done, by CPU or clock."""

    def __init__(self, settings: VocalizrSettings, decoder: int) -> None:
        from tests.tiny_speech import mended  # noqa: PLC0415 - in the replica only

        mended(decoder)
        self._backend = create_xtts(settings)
        self._backend.load()
        self._clock = time.perf_counter if settings.vocalizr_device == "cuda" else time.process_time
        self._batch: Any = serve.batch(max_batch_size=16, batch_wait_timeout_s=0.01)(self._all)

    async def __call__(self, utterance: Utterance) -> Answer:
        """Say a text."""
        began = self._clock()
        sound: np.ndarray = await self._batch(utterance)
        return sound, began, self._clock()

    async def _all(self, utterances: list[Utterance]) -> list[np.ndarray]:
        pieces = [next(self._backend.pieces(utterance)) for utterance in utterances]
        sounds: list[list[np.ndarray]] = [[] for _ in pieces]
        for made in self._backend.speak_together(pieces, [threading.Event() for _ in pieces]):
            sounds[made.number].append(made.result.samples)
        return [np.concatenate(sound) for sound in sounds]
