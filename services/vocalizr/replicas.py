"""Speech by replicas of a backend, each in a process of its own, and each with batches of its own."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, cast

from chatacter.contracts.speech import Voice
from chatacter.serving.batching import untold
from chatacter.serving.replicas import Replicas, Replication
from vocalizr.backend import Recording, SpeechBackend, SpeechCapabilities, SpeechChunk, Utterance
from vocalizr.settings import VocalizrSettings
from vocalizr.together import together

NAME: Final = "vocalizr"

Make = Callable[[], SpeechBackend]


class OnReplicas:
    """A backend whose work is done by replicas; what it can do is asked of one here, which is never loaded."""

    def __init__(self, capabilities: SpeechCapabilities, replicas: Replicas) -> None:
        self.capabilities = capabilities
        self._replicas = replicas

    def load(self) -> None:
        """Start the replicas; return once each is ready."""
        self._replicas.load()

    def voices(self) -> Sequence[Voice]:
        """List the voices; every replica has the same."""
        return cast("Sequence[Voice]", self._replicas.call("voices"))

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Have one replica speak."""
        return self._replicas.stream("speak", utterance, cancelled=cancelled)

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Ask one replica."""
        return cast("bytes", self._replicas.call("conditioned", recordings))

    def blended(self, shares: Mapping[str, float]) -> bytes:
        """Have one replica blend its voices."""
        return cast("bytes", self._replicas.call("blended", dict(shares)))

    def close(self) -> None:
        """End the replicas."""
        self._replicas.close()


def on_replicas(settings: VocalizrSettings, make: Make, name: str = NAME) -> OnReplicas:
    """Return the backend that `VOCALIZR_ENGINE=ray` asks for; Ray Serve knows it by `name`. Starts nothing yet."""
    capable = make().capabilities
    each = settings.vocalizr_concurrency or (capable.together.pieces if capable.together else 1)
    plan = Replication.of(settings, name, each)
    # The batches are made in the replicas.
    capable = replace(capable, together=None, places=each * plan.replicas)
    return OnReplicas(capable, Replicas(plan, partial(in_batches, make)))


def in_batches(make: Make) -> SpeechBackend:
    """Make the backend of one replica."""
    return together(make(), untold)
