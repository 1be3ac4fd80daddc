"""Whether a model speaks for several at once is known for certain when it is loaded: a hub's name may not tell."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from chatacter.contracts.speech import Voice
from chatacter.serving.batching import Batch
from vocalizr.backend import (
    Blending,
    Recording,
    SpeechBackend,
    SpeechCapabilities,
    SpeechChunk,
    Utterance,
)
from vocalizr.together import together


class AsLoaded:
    """A backend that speaks in batches as soon as its capabilities say that it can, and alone until then."""

    def __init__(self, backend: SpeechBackend, told: Callable[[Batch], None]) -> None:
        self._backend = backend
        self._told = told
        self._choosing = threading.Lock()
        self._able = backend.capabilities.together
        self._speaker = together(backend, told)

    @property
    def capabilities(self) -> SpeechCapabilities:
        """What the backend can do."""
        return self._backend.capabilities

    def load(self) -> None:
        """Load the backend."""
        self._backend.load()

    def voices(self) -> Sequence[Voice]:
        """List the backend's voices."""
        return self._backend.voices()

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Speak as the backend can now."""
        with self._choosing:
            if self.capabilities.together != self._able:
                self._able = self.capabilities.together
                self._speaker = together(self._backend, self._told)
            speaker = self._speaker
        return speaker.speak(utterance, cancelled)

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Ask the backend."""
        return self._backend.conditioned(recordings)

    def blended(self, shares: Mapping[str, float]) -> bytes:
        """Ask the backend, which has `blending`."""
        return cast("Blending", self._backend).blended(shares)

    def close(self) -> None:
        """Close the backend."""
        self._backend.close()
