"""Films by replicas of a backend, each in a process of its own."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from chatacter.serving.replicas import Neighbours, Replicas, Replication
from visualizr.backend import Film, Progress, Shot, VideoBackend, VideoCapabilities
from visualizr.settings import VisualizrSettings

NAME: Final = "visualizr"

Make = Callable[[], VideoBackend]


class OnReplicas:
    """A backend whose work is done by replicas; what it can do is asked of one here, which is never loaded."""

    def __init__(self, capabilities: VideoCapabilities, replicas: Replicas) -> None:
        self.capabilities = capabilities
        self._replicas = replicas

    def load(self) -> None:
        """Start the replicas; return once each is ready."""
        self._replicas.load()

    def amiss(self) -> str | None:
        """Say when no replica is left."""
        return self._replicas.amiss()

    def give_up(self) -> None:
        """Wait no longer for replicas."""
        self._replicas.give_up()

    def film(self, shot: Shot, cancelled: threading.Event) -> Iterator[Progress | Film]:
        """Have one replica film."""
        return self._replicas.stream("film", shot, cancelled=cancelled)

    def close(self) -> None:
        """End the replicas."""
        self._replicas.close()


def on_replicas(settings: VisualizrSettings, make: Make) -> OnReplicas:
    """Return the backend that `VISUALIZR_ENGINE=ray` asks for. Starts nothing yet."""
    return OnReplicas(make().capabilities, Replicas(planned(settings), make))


def beside(settings: VisualizrSettings, make: Make, handle: Any) -> OnReplicas:
    """Return the backend of a door whose replicas Ray Serve starts."""
    return OnReplicas(make().capabilities, Neighbours(planned(settings), make, handle))


def planned(settings: VisualizrSettings) -> Replication:
    """Say how many replicas there are."""
    return Replication.of(settings, NAME, settings.served_name, settings.visualizr_concurrency)
