"""A voice that hums. `pip install` its wheel, then VOCALIZR_MODEL=hum python -m vocalizr."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np

from chatacter.chassis.errors import Unsupported
from chatacter.contracts.speech import Voice
from vocalizr.backend import Recording, SpeechCapabilities, SpeechChunk, Utterance
from vocalizr.settings import VocalizrSettings

RATE = 24_000


def create(settings: VocalizrSettings) -> "Hum":
    return Hum()


class Hum:
    capabilities = SpeechCapabilities(
        languages=frozenset({"en"}),
        sample_rate=RATE,
        cloning=False,
        instructions=False,
        timings=False,
        speed=(1.0, 1.0),
        max_characters=4096,
    )

    def load(self) -> None:
        """Read weights here, never in the constructor: this runs off the event loop, in the background."""

    def voices(self) -> Sequence[Voice]:
        return [Voice(id="hum", name="Hum", model="hum", language="en")]

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        for word in utterance.text.split():
            if cancelled.is_set():
                return
            times = np.arange(int(RATE * 0.08 * len(word)), dtype=np.float32) / RATE
            yield SpeechChunk(0.2 * np.sin(2 * np.pi * 220 * times))

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        raise Unsupported("Humming is all that it can.")

    def close(self) -> None:
        """Free what `load` took."""
