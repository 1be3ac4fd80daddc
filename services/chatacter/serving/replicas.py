"""Replicas of a model, each in a process of its own with its share of a GPU, behind the verbs of a backend."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final
from uuid import uuid4

from chatacter.chassis.errors import Misconfigured, NotReady, Unavailable
from chatacter.chassis.settings import tame_ray
from chatacter.serving.settings import PredictorSettings

GLANCE: Final = 0.02
RETRY_AFTER: Final = 5.0
# How long one answer may take, the wait for a free replica included.
ANSWER_SECONDS: Final = 120.0
NONE_LEFT: Final = "No replica is left; Ray starts others."
SILENT: Final = "No replica answered in time. Another try may find one free."
# What Ray Serve's names had better not hold.
UNNAMED: Final = r"[^A-Za-z0-9_.-]+"
MISSING: Final = "Replicas need Ray: pip install 'chatacter[ray]'"

# Makes a backend: something with `load`, `close` and a streaming verb.
Make = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Replication:
    """How many replicas of what: `ongoing` is how much one does side by side, `address` None a Ray of our own.

    `name` is theirs alone: others of the same service and model may be on the same cluster.
    """

    name: str
    replicas: int
    gpus: float
    cpus: float
    ongoing: int
    grace: float
    address: str | None

    @classmethod
    def of(cls, settings: PredictorSettings, service: str, model: str, ongoing: int) -> "Replication":
        """Read it from a predictor's settings; each time it has another name."""
        return cls(
            name=f"{service}-{re.sub(UNNAMED, '-', model)}-{uuid4().hex}",
            replicas=settings.ray_replicas,
            gpus=settings.ray_replica_gpus,
            cpus=settings.ray_replica_cpus,
            ongoing=ongoing,
            grace=settings.shutdown_grace,
            address=settings.ray_address,
        )


class Replicas:
    """The replicas as their service sees them: started by `load`, asked by `call` and `stream`, ended by `close`."""

    def __init__(self, replication: Replication, make: Make) -> None:
        self._plan = replication
        self._make = make
        self._ray: Any = None
        self._handle: Any = None
        self._own = False
        self._application: str | None = replication.name
        self._looking = threading.Lock()
        self._amiss: str | None = None
        self._over = threading.Event()

    def load(self) -> None:
        """Start the replicas; return once each has loaded its model. Raises `Misconfigured`."""
        self._ray = ray_side()
        self._own = self._ray.joined(self._plan.address) or self._own
        self._handle = self._ray.started(self._plan, self._make)

    def amiss(self) -> str | None:
        """Return None while a replica is there, else a sentence that says that none is. It may block.

        Where Ray does not answer, one thread waits for it, and the others are told what was last known.
        """
        if self._ray is not None and self._looking.acquire(blocking=False):
            try:
                self._amiss = None if self._ray.standing(self._application) else NONE_LEFT
            finally:
                self._looking.release()
        return self._amiss

    def give_up(self) -> None:
        """Wait no longer for replicas that others start: the service ends."""
        self._over.set()

    def call(self, verb: str, *arguments: Any) -> Any:
        """Ask any replica for one answer.

        Raises what its backend raises, `Unavailable` for a replica that is lost or where none answers in time.
        """
        return self._answer(self._ready().call.remote(verb, arguments))

    def told(self, name: str) -> Any:
        """Read one of the loaded backend's attributes from any replica. Raises as `call` does."""
        return self._answer(self._ready().told.remote(name))

    def _answer(self, asked: Any) -> Any:
        try:
            return asked.result(timeout_s=ANSWER_SECONDS)
        except TimeoutError as error:
            asked.cancel()
            raise Unavailable(SILENT, retry_after=RETRY_AFTER) from error
        except Exception as error:
            raise self._ray.meant(error) from error

    def stream(self, verb: str, *arguments: Any, cancelled: threading.Event) -> Iterator[Any]:
        """Yield what one replica's streaming verb yields; the replica is free soon after `cancelled` is set.

        Raises what its backend raises, `Unavailable` for a replica that is lost.
        """
        if cancelled.is_set():
            return
        pieces = self._ready().options(stream=True).stream.remote(verb, arguments)
        finished = threading.Event()

        def watch() -> None:
            while not finished.wait(GLANCE):
                if cancelled.is_set():
                    pieces.cancel()
                    return

        watcher = threading.Thread(target=watch, name="replica cancel", daemon=True)
        watcher.start()
        try:
            for piece in pieces:
                if cancelled.is_set():
                    return
                yield piece
        except Exception as error:
            if cancelled.is_set():
                return
            raise self._ray.meant(error) from error
        finally:
            finished.set()
            watcher.join()
            pieces.cancel()

    def close(self) -> None:
        """End the replicas, and Ray where it is our own."""
        if self._ray is not None:
            self._ray.ended(self._plan.name, own=self._own)
        self._handle = self._ray = None
        self._own = False

    def _ready(self) -> Any:
        if self._handle is None:
            raise NotReady("The replicas are not started.", retry_after=RETRY_AFTER)
        return self._handle


class Neighbours(Replicas):
    """The replicas of an application of Ray Serve, as its door sees them: Ray starts and ends both."""

    def __init__(self, replication: Replication, make: Make, handle: Any) -> None:
        super().__init__(replication, make)
        self._given = handle
        self._application = None

    def load(self) -> None:
        """Return once a replica has loaded its model. Raises `Unavailable` where Ray tries none, and once given up."""
        self._ray = ray_side()
        self._ray.awaited(self._over)
        self._handle = self._given

    def close(self) -> None:
        """Ask them nothing more."""
        self._handle = self._ray = None


def ray_side() -> Any:
    """Import what speaks with Ray. Raises `Misconfigured` without it."""
    tame_ray()
    try:
        return import_module("chatacter.serving.on_ray")
    except ImportError as error:
        raise Misconfigured(MISSING) from error
