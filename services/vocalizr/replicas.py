"""Speech by replicas of a backend, each in a process of its own, and each with batches of its own."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

from chatacter.chassis.errors import NotReady
from chatacter.contracts.speech import Voice
from chatacter.serving.batching import untold
from chatacter.serving.replicas import RETRY_AFTER, Neighbours, Replicas, Replication
from vocalizr.as_loaded import AsLoaded
from vocalizr.backend import NothingToSay, Recording, SpeechBackend, SpeechCapabilities, SpeechChunk, Utterance
from vocalizr.clauses import stretches
from vocalizr.settings import VocalizrSettings

NAME: Final = "vocalizr"

Make = Callable[[], SpeechBackend]


class OnReplicas:
    """A backend whose work is done by replicas.

    What it can do is asked of one here, which is never loaded, and of them once they are loaded: a model that was
    named at a hub is not known before. Voices are asked for once: every request needs them, also one that is refused.
    """

    def __init__(self, capabilities: SpeechCapabilities, replicas: Replicas) -> None:
        self.capabilities = capabilities
        self._replicas = replicas
        self._voices: tuple[Voice, ...] | None = None

    def load(self) -> None:
        """Start the replicas; return once each is ready."""
        self._replicas.load()
        told: SpeechCapabilities = self._replicas.told("capabilities")
        self._voices = tuple(self._replicas.call("voices"))
        self.capabilities = replace(told, together=None, places=self.capabilities.places)

    def voices(self) -> Sequence[Voice]:
        """List the voices; every replica has the same."""
        if self._voices is None:
            raise NotReady("The replicas are not started.", retry_after=RETRY_AFTER)
        return self._voices

    def amiss(self) -> str | None:
        """Say when no replica is left."""
        return self._replicas.amiss()

    def give_up(self) -> None:
        """Wait no longer for replicas."""
        self._replicas.give_up()

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Have replicas speak, one a stretch: what one makes ahead of its listener is a stretch, not a chapter.

        Ray's streams hold nobody back. A stretch without a sound is left out where another has one. A voice that is
        somebody else for each utterance says all of it in one.
        """
        clock, refused = 0.0, None
        whole = utterance.voice in self.capabilities.drawn
        for part in [utterance.text] if whole else stretches(utterance.text):
            begun = clock
            try:
                for chunk in self._replicas.stream("speak", replace(utterance, text=part), cancelled=cancelled):
                    yield chunk.later(begun)
                    clock += chunk.samples.size / self.capabilities.sample_rate
            except NothingToSay as error:
                refused = error
        if refused is not None and not clock:
            raise refused

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Ask one replica."""
        return cast("bytes", self._replicas.call("conditioned", recordings))

    def blended(self, shares: Mapping[str, float]) -> bytes:
        """Have one replica blend its voices."""
        return cast("bytes", self._replicas.call("blended", dict(shares)))

    def close(self) -> None:
        """End the replicas."""
        self._voices = None
        self._replicas.close()


def on_replicas(settings: VocalizrSettings, make: Make) -> OnReplicas:
    """Return the backend that `VOCALIZR_ENGINE=ray` asks for. Starts nothing yet."""
    capable = make().capabilities
    plan = planned(settings, capable)
    return OnReplicas(behind(capable, plan), Replicas(plan, partial(in_batches, make)))


def beside(settings: VocalizrSettings, make: Make, handle: Any) -> OnReplicas:
    """Return the backend of a door whose replicas Ray Serve starts."""
    capable = make().capabilities
    plan = planned(settings, capable)
    return OnReplicas(behind(capable, plan), Neighbours(plan, make, handle))


def planned(settings: VocalizrSettings, capable: SpeechCapabilities) -> Replication:
    """Say how many replicas of what there are."""
    each = settings.vocalizr_concurrency or (capable.together.pieces if capable.together else 1)
    return Replication.of(settings, NAME, settings.served_name, each)


def behind(capable: SpeechCapabilities, plan: Replication) -> SpeechCapabilities:
    """Say what all replicas can do together; the batches are made in each."""
    return replace(capable, together=None, places=plan.ongoing * plan.replicas)


def in_batches(make: Make) -> SpeechBackend:
    """Make the backend of one replica."""
    return AsLoaded(make(), untold)
