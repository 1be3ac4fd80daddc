"""Pieces of several requests, done in one go: whoever waits is taken along, and nobody waits for company."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from chatacter.chassis.errors import OutOfMemory
from chatacter.serving.memory import within_memory

P = TypeVar("P")
R = TypeVar("R")

# How many results of one request are made before they are wanted.
AHEAD: Final = 2
# Of a batch whose pieces are padded to the longest, at most this share is padding.
MOST_PADDING: Final = 1 / 3
# How soon a request that is not wanted any more leaves.
GLANCE: Final = 0.02
# After how many batches that go well they are as large again as before one that found no memory.
GROWTH: Final = 32
# How long the thread waits for more work before it ends.
LINGER: Final = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is done in one go: at most `pieces`, and at most `work` of them together, in the unit of their sizes.

    `padded`: in a batch each piece costs as much as the longest, so that pieces of like size belong together.
    """

    pieces: int
    work: int
    padded: bool

    def cost(self, sizes: Sequence[int]) -> int:
        """How much work a batch of pieces of these sizes is."""
        return max(sizes) * len(sizes) if self.padded else sum(sizes)


@dataclass(frozen=True, slots=True)
class Made(Generic[R]):
    """What came of one piece of a batch, by its number in the batch; `last` when no more comes of it."""

    number: int
    result: R
    last: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """What is told of a batch: how many pieces, which share of its work was padding, how long each had waited."""

    pieces: int
    padding: float
    waits: tuple[float, ...]


def untold(_: Batch) -> None:
    """Tell nobody."""


# Does the pieces of a batch, and looks at each one's event; what is not wanted any more may be left out.
Do = Callable[[Sequence[P], Sequence[threading.Event]], Iterator[Made[R]]]


class Turn(Generic[P, R]):
    """One request: the pieces that are left of it, and what was made and not taken yet."""

    def __init__(self, pieces: Iterable[P], cancelled: threading.Event, lock: threading.Lock) -> None:
        self.left = deque(pieces)
        self.made: deque[R] = deque()
        self.cancelled = cancelled
        self.news = threading.Condition(lock)
        self.error: Exception | None = None
        self.heard = False
        self.running = False
        self.alone = False
        self.gone = False
        self.since = time.monotonic()

    @property
    def ready(self) -> bool:
        """Whether its next piece can be done now: not while its listener is behind."""
        wanted = not self.gone and not self.cancelled.is_set()
        return bool(self.left) and not self.running and len(self.made) < AHEAD and wanted

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.cancelled.is_set() or (not self.made and (self.error is not None or not self.left))

    def taken(self) -> R:
        """Take the next result; a piece that had to wait for that waits for a place in a batch from now on."""
        if len(self.made) == AHEAD:
            self.since = time.monotonic()
        return self.made.popleft()

    def failed(self, error: Exception) -> None:
        """End with an error, after what was made before it."""
        self.left.clear()
        self.error = error


class Batcher(Generic[P, R]):
    """Does the next pieces of all requests together, in one thread that lives while there is work.

    A request that comes while a batch is done goes into the next one; on an idle server it begins at once. One piece
    of a request is in a batch at a time. The longest waiting piece is always in the next batch. A batch that fails is
    done again piece by piece, so that an error meets only the request that it belongs to; one that found no memory
    makes the following ones smaller, until some have gone well.
    """

    def __init__(
        self, do: Do[P, R], size: Callable[[P], int], limits: Limits, told: Callable[[Batch], None] = untold
    ) -> None:
        self._do = do
        self._size = size
        self._limits = limits
        self._told = told
        self._room = limits.work
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._turns: list[Turn[P, R]] = []
        self._thread: threading.Thread | None = None

    def results(self, pieces: Iterable[P], cancelled: threading.Event) -> Iterator[R]:
        """Yield what is made of one request's pieces, in their order; blocks.

        Ends early once `cancelled` is set, when the batch that runs has let go of its piece: the model is at work till
        then.
        Raises what doing its pieces raises.
        """
        turn: Turn[P, R] = Turn(pieces, cancelled, self._lock)
        self._enter(turn)
        try:
            while True:
                with self._lock:
                    while not turn.made and not turn.over:
                        turn.news.wait(GLANCE)
                    if turn.over:
                        break
                    result = turn.taken()
                    self._news.notify()
                yield result
            if turn.error is not None and not cancelled.is_set():
                raise turn.error
        finally:
            self._leave(turn)

    def _enter(self, turn: Turn[P, R]) -> None:
        with self._lock:
            self._turns.append(turn)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
                self._thread.start()
            self._news.notify()

    def _leave(self, turn: Turn[P, R]) -> None:
        """Take a request out of the batches to come, and wait for the end of its piece in the one that runs."""
        with self._lock:
            turn.gone = True
            self._turns.remove(turn)
            while turn.running:
                turn.news.wait()

    def _run(self) -> None:
        while batch := self._next():
            self._done(batch)

    def _next(self) -> list[Turn[P, R]]:
        """Wait for the next batch; it is empty when the thread is not needed any more."""
        with self._lock:
            while not (batch := self._chosen()):
                if not self._news.wait(LINGER) and not self._turns:
                    self._thread = None
                    return []
            for turn in batch:
                turn.running = True
        return batch

    def _chosen(self) -> list[Turn[P, R]]:
        """Choose who goes next: the one that waits longest, and with it who fits."""
        ready = sorted((turn for turn in self._turns if turn.ready), key=lambda turn: turn.since)
        if not ready:
            return []
        first, *others = ready
        batch, sizes = [first], [self._size(first.left[0])]
        if first.alone:
            return batch
        if self._limits.padded:
            others.sort(key=lambda turn: abs(self._size(turn.left[0]) - sizes[0]))
        for turn in others:
            if len(batch) >= self._limits.pieces:
                break
            grown = [*sizes, self._size(turn.left[0])]
            if not turn.alone and self._limits.cost(grown) <= self._room and self._padding(grown) <= MOST_PADDING:
                batch.append(turn)
                sizes = grown
        return batch

    def _padding(self, sizes: Sequence[int]) -> float:
        return 1.0 - sum(sizes) / max(1, self._limits.cost(sizes))

    def _done(self, batch: Sequence[Turn[P, R]]) -> None:
        pieces = [turn.left[0] for turn in batch]
        now = time.monotonic()
        waits = tuple(now - turn.since for turn in batch)
        sizes = [self._size(piece) for piece in pieces]
        try:
            for made in within_memory(lambda: self._do(pieces, [turn.cancelled for turn in batch])):
                self._hand_out(batch[made.number], made)
        except Exception as error:  # noqa: BLE001 - raised in the requests that it belongs to
            self._failed(batch, error, self._limits.cost(sizes))
        else:
            self._ended(batch)
        self._told(Batch(len(batch), self._padding(sizes), waits))

    def _hand_out(self, turn: Turn[P, R], made: Made[R]) -> None:
        with self._lock:
            turn.made.append(made.result)
            turn.heard = True
            if made.last:
                self._piece_ended(turn)
            turn.news.notify()

    def _ended(self, batch: Sequence[Turn[P, R]]) -> None:
        """End the pieces of which no last result came, e.g. because they were not wanted any more."""
        with self._lock:
            self._room = min(self._limits.work, self._room + max(1, self._limits.work // GROWTH))
            for turn in batch:
                if turn.running:
                    self._piece_ended(turn)
                    turn.news.notify()

    def _piece_ended(self, turn: Turn[P, R]) -> None:
        turn.left.popleft()
        turn.running = turn.heard = turn.alone = False
        turn.since = time.monotonic()

    def _failed(self, batch: Sequence[Turn[P, R]], error: Exception, cost: int) -> None:
        with self._lock:
            if isinstance(error, OutOfMemory) and len(batch) > 1:
                self._room = max(1, cost // 2)
            for turn in batch:
                if not turn.running:
                    continue
                turn.running = False
                turn.news.notify()
                if len(batch) > 1 and not turn.heard:
                    turn.alone = not isinstance(error, OutOfMemory)
                else:
                    turn.failed(error)
