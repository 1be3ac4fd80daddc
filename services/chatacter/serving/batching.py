"""Pieces of several requests, done in one go: whoever waits is taken along, and nobody waits for company."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from chatacter.chassis.errors import OutOfMemory
from chatacter.serving.memory import within_memory

P = TypeVar("P")
R = TypeVar("R")

# How many results of one request are made before they are wanted.
AHEAD: Final = 2
# How many pieces of one request are at hand: the one that is done, and who follows it.
AT_HAND: Final = 2
# Of a batch whose pieces are padded to the longest, at most this share is padding.
MOST_PADDING: Final = 1 / 3
# How soon a request that is not wanted any more leaves.
GLANCE: Final = 0.02
# After how many full batches that go well they are as large again as before one that found no memory.
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
class Left:
    """One piece, by its number in the batch, of which no more comes: it is not wanted any more, or failed alone."""

    number: int
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What is told of a batch, and each time others join it: its pieces, the share of its work that is padding.

    `waits` are how many seconds those that begin now had waited.
    """

    pieces: int
    padding: float
    waits: tuple[float, ...]


def untold(_: Batch) -> None:
    """Tell nobody."""


# Who joins a batch that runs, taken between two of its steps: their numbers go on from those that are in it.
Joining = Callable[[], Sequence[tuple[P, threading.Event]]]
# Does the pieces of a batch, and looks at each one's event; what is not wanted any more may be left out.
Do = Callable[[Sequence[P], Sequence[threading.Event], Joining[P]], Iterator[Made[R] | Left]]


def nobody() -> Sequence[tuple[Any, threading.Event]]:
    """Let nobody join."""
    return ()


class Turn(Generic[P, R]):
    """One request: the pieces that come, those of them at hand, and what was made and not taken yet."""

    def __init__(self, pieces: Iterable[P], cancelled: threading.Event, lock: threading.Lock) -> None:
        self.coming = iter(pieces)
        self.left: deque[P] = deque()
        self.all_here = False
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
    def short(self) -> bool:
        """Whether more of its pieces should be at hand."""
        return not self.all_here and len(self.left) < AT_HAND

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.cancelled.is_set() or (self.all_here and not self.made and not self.left)

    def taken(self) -> R:
        """Take the next result; a piece that had to wait for that waits for a place in a batch from now on."""
        if len(self.made) == AHEAD:
            self.since = time.monotonic()
        return self.made.popleft()

    def failed(self, error: Exception) -> None:
        """End with an error, after what was made before it."""
        self.left.clear()
        self.all_here, self.error = True, error


class Batcher(Generic[P, R]):
    """Does the next pieces of all requests together, in one thread that lives while there is work.

    A request that comes while a batch is done goes into the next one; on an idle server it begins at once. One piece
    of a request is in a batch at a time. The longest waiting piece is always in the next batch. A batch that fails is
    done again piece by piece, so that an error meets only the request that it belongs to; one that found no memory
    makes the following ones smaller, until many have gone well.

    Work that goes in steps may take others along while it runs, who then do not wait for its end. Whom it tells to have
    failed alone is not done again, unless for want of memory.
    """

    def __init__(
        self, do: Do[P, R], size: Callable[[P], int], limits: Limits, told: Callable[[Batch], None] = untold
    ) -> None:
        self._do = do
        self._size = size
        self._limits = limits
        self._told = told
        self._room = limits.work
        self._well = 0
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._turns: list[Turn[P, R]] = []
        self._thread: threading.Thread | None = None

    def results(self, pieces: Iterable[P], cancelled: threading.Event) -> Iterator[R]:
        """Yield what is made of one request's pieces, in their order; blocks. They are taken as they are wanted.

        Ends early once `cancelled` is set, when the batch that runs has let go of its piece: the model is at work till
        then.
        Raises what taking and doing its pieces raises.
        """
        turn: Turn[P, R] = Turn(pieces, cancelled, self._lock)
        self._fetch(turn)
        self._enter(turn)
        try:
            while True:
                with self._lock:
                    while not (turn.made or turn.short or turn.over):
                        turn.news.wait(GLANCE)
                    if turn.over:
                        break
                    result = [] if turn.short else [turn.taken()]
                    self._news.notify()
                if not result:
                    self._fetch(turn)
                yield from result
            if turn.error is not None and not cancelled.is_set():
                raise turn.error
        finally:
            self._leave(turn)

    def _fetch(self, turn: Turn[P, R]) -> None:
        """Have one more of a request's pieces at hand; what that raises is told after what the others have made.

        Nothing follows a piece that has failed meanwhile.
        """
        found: list[P] = []
        failure: Exception | None = None
        try:
            found = list(islice(turn.coming, 1))
        except Exception as error:  # noqa: BLE001 - raised in the request that it belongs to
            failure = error
        with self._lock:
            if turn.error is None:
                turn.left.extend(found)
                turn.all_here, turn.error = not found, failure
            self._news.notify()

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
        ready = self._ready()
        if not ready:
            return []
        first, *others = ready
        batch, sizes = [first], [self._size(first.left[0])]
        if first.alone:
            return batch
        if self._limits.padded:
            others.sort(key=lambda turn: abs(self._size(turn.left[0]) - sizes[0]))
        for turn in others:
            size = self._size(turn.left[0])
            if not turn.alone and self._fits(sizes, size):
                batch.append(turn)
                sizes.append(size)
        return batch

    def _ready(self) -> list[Turn[P, R]]:
        return sorted((turn for turn in self._turns if turn.ready), key=lambda turn: turn.since)

    def _fits(self, sizes: Sequence[int], size: int) -> bool:
        grown = [*sizes, size]
        room = len(grown) <= self._limits.pieces and self._limits.cost(grown) <= self._room
        return room and self._padding(grown) <= MOST_PADDING

    def _joining(self, seats: "Seats[P, R]") -> Sequence[tuple[P, threading.Event]]:
        """Choose who joins a batch that runs: in the order of their waiting, until one does not fit."""
        with self._lock:
            joining: list[Turn[P, R]] = []
            sizes = [self._size(turn.left[0]) for turn in seats.taken.values()]
            ready = self._ready()
            if any(turn.alone for turn in [*ready, *seats.taken.values()]):
                return ()
            for turn in ready:
                if not self._fits(sizes, self._size(turn.left[0])):
                    break
                turn.running = True
                joining.append(turn)
                sizes.append(self._size(turn.left[0]))
            seats.enter(joining)
        self._tell(joining, sizes)
        return [(turn.left[0], turn.cancelled) for turn in joining]

    def _padding(self, sizes: Sequence[int]) -> float:
        return 1.0 - sum(sizes) / max(1, self._limits.cost(sizes))

    def _tell(self, begun: Sequence[Turn[P, R]], sizes: Sequence[int]) -> None:
        now = time.monotonic()
        if begun:
            self._told(Batch(len(sizes), self._padding(sizes), tuple(now - turn.since for turn in begun)))

    def _done(self, batch: Sequence[Turn[P, R]]) -> None:
        seats: Seats[P, R] = Seats(batch)
        pieces = [turn.left[0] for turn in batch]
        events = [turn.cancelled for turn in batch]
        self._tell(batch, [self._size(piece) for piece in pieces])
        try:
            for made in within_memory(lambda: self._do(pieces, events, lambda: self._joining(seats))):
                self._hand_out(seats, made)
        except Exception as error:  # noqa: BLE001 - raised in the requests that it belongs to
            self._failed(seats, list(seats.taken), error)
        else:
            self._ended(seats)

    def _hand_out(self, seats: "Seats[P, R]", made: Made[R] | Left) -> None:
        if isinstance(made, Left) and made.error is not None:
            self._failed(seats, [made.number], made.error, again=isinstance(made.error, OutOfMemory))
            return
        with self._lock:
            turn = seats.taken[made.number]
            if isinstance(made, Made):
                turn.made.append(made.result)
                turn.heard = True
            if isinstance(made, Left) or made.last:
                del seats.taken[made.number]
                if isinstance(made, Made):
                    self._went_well(self._size(turn.left[0]))
                self._piece_ended(turn)
            turn.news.notify()

    def _went_well(self, size: int) -> None:
        """Let batches grow a little each time that a full one's work has gone well."""
        self._well += size
        if self._well >= self._room:
            self._well = 0
            self._room = min(self._limits.work, self._room + max(1, self._limits.work // GROWTH))

    def _ended(self, seats: "Seats[P, R]") -> None:
        """End the pieces of which no last result came, e.g. because they were not wanted any more."""
        with self._lock:
            for turn in seats.taken.values():
                self._piece_ended(turn)
                turn.news.notify()

    def _piece_ended(self, turn: Turn[P, R]) -> None:
        turn.left.popleft()
        turn.running = turn.heard = turn.alone = False
        turn.since = time.monotonic()

    def _failed(self, seats: "Seats[P, R]", numbers: Sequence[int], error: Exception, *, again: bool = True) -> None:
        """Have those of whom nothing was heard done again, in less company or alone; end the others with the error."""
        with self._lock:
            company = len(seats.taken)
            if isinstance(error, OutOfMemory) and company > 1:
                cost = self._limits.cost([self._size(turn.left[0]) for turn in seats.taken.values()])
                self._room, self._well = max(1, cost // 2), 0
            for number in numbers:
                turn = seats.taken.pop(number)
                turn.running = False
                turn.news.notify()
                if again and company > 1 and not turn.heard:
                    turn.alone = not isinstance(error, OutOfMemory)
                else:
                    turn.failed(error)


class Seats(Generic[P, R]):
    """Who is in a batch that runs, by the numbers that its work knows them by; those that came later, higher ones."""

    def __init__(self, batch: Sequence[Turn[P, R]]) -> None:
        self.taken = dict(enumerate(batch))
        self._next = len(batch)

    def enter(self, turns: Sequence[Turn[P, R]]) -> None:
        """Give seats to those who join."""
        self.taken.update(enumerate(turns, start=self._next))
        self._next += len(turns)
