"""Batches: who goes together, what is never kept waiting, and whose error is whose."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from chatacter.chassis.errors import InvalidInput, OutOfMemory
from chatacter.serving.batching import AHEAD, AT_HAND, GROWTH, MOST_PADDING, Batch, Batcher, Joining, Left, Limits, Made

pytestmark = pytest.mark.unit

SECONDS = 10.0


class Model:
    """Doubles words; holds each batch until it may go on, unless it is `free`."""

    def __init__(self, *, free: bool = False, pieces: int = 8, work: int = 1000, padded: bool = True) -> None:
        self.free = free
        self.may = threading.Semaphore(0)
        self.batches: list[list[str]] = []
        self.told: list[Batch] = []
        self.gone: list[list[bool]] = []
        self.failing: Callable[[Sequence[str]], None] = lambda _: None
        self.batcher: Batcher[str, str] = Batcher(self.do, len, Limits(pieces, work, padded), self.told.append)

    def do(self, words: Sequence[str], cancelled: Sequence[threading.Event], _: Joining[str]) -> Iterator[Made[str]]:
        self.batches.append(list(words))
        if not self.free:
            assert self.may.acquire(timeout=SECONDS)
        self.failing(words)
        self.gone.append([event.is_set() for event in cancelled])
        for number, word in enumerate(words):
            yield Made(number, word * 2)

    def until(self, batches: int) -> None:
        """Wait until so many batches have begun."""
        until(lambda: len(self.batches) >= batches)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class People:
    """Requests, each in a thread."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.threads = ThreadPoolExecutor(32)
        self.events: list[threading.Event] = []

    def ask(self, *words: str) -> "Future[list[str]]":
        """Ask, and return once the batcher knows of it."""
        event = threading.Event()
        self.events.append(event)
        before = len(self.model.batcher._turns)
        asked = self.threads.submit(lambda: list(self.model.batcher.results(words, event)))
        until(lambda: len(self.model.batcher._turns) > before or asked.done())
        return asked


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def people(model: Model) -> Iterator[People]:
    found = People(model)
    yield found
    found.threads.shutdown(wait=True)


def test_who_waits_while_one_is_served_goes_together(model: Model, people: People) -> None:
    first = people.ask("aa")
    model.until(1)
    others = [people.ask(word) for word in ("bb", "cc", "dd")]
    model.may.release(2)
    assert first.result(SECONDS) == ["aaaa"]
    assert [other.result(SECONDS) for other in others] == [["bbbb"], ["cccc"], ["dddd"]]
    assert model.batches == [["aa"], ["bb", "cc", "dd"]]
    assert [batch.pieces for batch in model.told] == [1, 3]


def test_an_idle_server_keeps_nobody_waiting() -> None:
    model = Model(free=True)
    for number in range(20):
        assert list(model.batcher.results([f"w{number}"], threading.Event())) == [f"w{number}" * 2]
    waits = sorted(wait for batch in model.told for wait in batch.waits)
    assert 0 <= waits[0] <= waits[len(waits) // 2] < 0.010


def test_pieces_of_one_request_come_in_order_and_one_at_a_time(model: Model, people: People) -> None:
    words = [f"{number:02}" for number in range(9)]
    asked, other = people.ask(*words), people.ask("xx", "yy")
    model.may.release(100)
    assert asked.result(SECONDS) == [word * 2 for word in words]
    assert other.result(SECONDS) == ["xxxx", "yyyy"]
    assert all(sum(word.isdigit() for word in batch) <= 1 for batch in model.batches)


def test_lengths_that_differ_much_do_not_go_together(model: Model, people: People) -> None:
    first = people.ask("-")
    model.until(1)
    asked = [people.ask("x" * size) for size in (10, 100, 11, 90, 12, 95)]
    model.may.release(100)
    for one in [first, *asked]:
        one.result(SECONDS)
    assert [sorted(len(word) for word in batch) for batch in model.batches] == [[1], [10, 11, 12], [90, 95, 100]]
    assert all(batch.padding <= MOST_PADDING for batch in model.told)
    assert model.told[1].padding == pytest.approx(1 - 33 / 36)


def test_without_padding_lengths_do_not_matter() -> None:
    model = Model(padded=False)
    people = People(model)
    first = people.ask("-")
    model.until(1)
    asked = [people.ask("x" * size) for size in (10, 100, 11)]
    model.may.release(100)
    for one in [first, *asked]:
        one.result(SECONDS)
    assert [len(batch) for batch in model.batches] == [1, 3]
    assert model.told[1].padding == 0


def test_a_batch_is_bounded_in_pieces_and_in_work() -> None:
    model = Model(pieces=3, work=25)
    people = People(model)
    first = people.ask("-")
    model.until(1)
    asked = [people.ask("x" * 5) for _ in range(4)] + [people.ask("y" * 10) for _ in range(3)] + [people.ask("z" * 99)]
    model.may.release(100)
    for one in [first, *asked]:
        one.result(SECONDS)
    assert [[len(word) for word in batch] for batch in model.batches] == [[1], [5] * 3, [5, 10], [10, 10], [99]]


def test_who_goes_away_leaves_with_the_batch_and_their_other_pieces_are_not_done(model: Model, people: People) -> None:
    leaving, staying = people.ask("aa", "bb", "cc"), people.ask("dd", "ee")
    model.until(1)
    people.events[0].set()
    until(lambda: len(model.batcher._turns) == 1)
    with pytest.raises(TimeoutError):
        leaving.result(0.05)
    model.may.release(100)
    assert leaving.result(SECONDS) == []
    assert staying.result(SECONDS) == ["dddd", "eeee"]
    assert not any(word in batch for batch in model.batches for word in ("bb", "cc"))


def test_the_model_is_told_who_has_left_a_batch_that_runs(model: Model, people: People) -> None:
    first = people.ask("--")
    model.until(1)
    leaving, staying = people.ask("aa"), people.ask("bb")
    model.may.release()
    model.until(2)
    people.events[1].set()
    model.may.release()
    leaving.result(SECONDS)
    assert (first.result(SECONDS), staying.result(SECONDS)) == (["----"], ["bbbb"])
    assert model.gone == [[False], [True, False]]


def test_a_generator_that_is_closed_leaves_too(model: Model) -> None:
    results = model.batcher.results(["aa", "bb"], threading.Event())
    model.may.release(100)
    assert next(results) == "aaaa"
    results.close()  # type: ignore[attr-defined]
    assert model.batcher._turns == []


def test_an_error_of_one_does_not_spoil_the_others(model: Model, people: People) -> None:
    def fail(words: Sequence[str]) -> None:
        if "bad" in words:
            raise InvalidInput("This cannot be said.")

    model.failing = fail
    first = people.ask("one")
    model.until(1)
    asked = [people.ask("two", "six"), people.ask("bad"), people.ask("ten")]
    model.may.release(100)
    assert first.result(SECONDS) == ["oneone"]
    assert asked[0].result(SECONDS) == ["twotwo", "sixsix"]
    assert asked[2].result(SECONDS) == ["tenten"]
    with pytest.raises(InvalidInput):
        asked[1].result(SECONDS)


def test_what_was_made_before_an_error_is_heard(model: Model) -> None:
    def fail(words: Sequence[str]) -> None:
        if "bad" in words:
            raise InvalidInput("This cannot be said.")

    model.failing = fail
    model.may.release(100)
    results = model.batcher.results(["one", "bad", "two"], threading.Event())
    assert next(results) == "oneone"
    with pytest.raises(InvalidInput):
        next(results)


def test_pieces_are_taken_as_they_are_wanted() -> None:
    """However many a text has: the one that is done and the next one are at hand, and what was made ahead."""
    model = Model(free=True)
    cut: list[str] = []
    words = (cut.append(str(number)) or str(number) for number in range(100_000))  # type: ignore[func-returns-value]
    results = model.batcher.results(words, threading.Event())
    for taken in range(1, 20):
        next(results)
        assert len(cut) <= taken + AHEAD + AT_HAND
    results.close()  # type: ignore[attr-defined]


def test_what_cannot_be_cut_is_told_after_what_was_made_before_it() -> None:
    def pieces() -> Iterator[str]:
        yield from ("one", "two")
        raise InvalidInput("This cannot be cut.")

    model = Model(free=True)
    results = model.batcher.results(pieces(), threading.Event())
    assert [next(results), next(results)] == ["oneone", "twotwo"]
    with pytest.raises(InvalidInput):
        next(results)
    assert model.batcher._turns == []


@pytest.mark.parametrize("cut", [True, False])
def test_nothing_follows_a_piece_that_fails_while_the_next_is_cut(model: Model, cut: bool) -> None:
    def words() -> Iterator[str]:
        yield "bad"
        model.may.release()
        (turn,) = model.batcher._turns
        until(lambda: turn.error is not None)
        if not cut:
            raise ValueError("what is cut after that is of no interest")
        yield "next"

    def fail(_: Sequence[str]) -> None:
        raise InvalidInput("I cannot say that.")

    model.failing = fail
    heard: list[str] = []
    with pytest.raises(InvalidInput):
        heard.extend(model.batcher.results(words(), threading.Event()))
    assert heard == []
    assert model.batches == [["bad"]]


def test_a_batch_that_finds_no_memory_is_done_in_smaller_ones(model: Model, people: People) -> None:
    def fail(words: Sequence[str]) -> None:
        if len(words) > 2:
            raise MemoryError

    model.failing = fail
    first = people.ask("-----")
    model.until(1)
    asked = [people.ask(letter * 5) for letter in "abcd"]
    model.may.release(100)
    for one in [first, *asked]:
        assert len(one.result(SECONDS)) == 1
    assert [len(batch) for batch in model.batches] == [1, 4, 2, 2]


def test_after_batches_that_go_well_they_are_as_large_as_before(model: Model, people: People) -> None:
    def fail(words: Sequence[str]) -> None:
        if "first" in model.batches[-1] and len(words) > 1:
            raise MemoryError

    model.failing = fail
    held = people.ask("-----")
    model.until(1)
    asked = [people.ask("first"), people.ask("other")]
    model.may.release(100)
    for one in [held, *asked]:
        one.result(SECONDS)
    after = model.batcher._room
    assert after <= 5 + 1000 // GROWTH
    for _ in range(GROWTH):
        assert list(model.batcher.results(["."], threading.Event())) == [".."]
    assert model.batcher._room <= after + 2 * (1000 // GROWTH), "much has to go well, not many pieces"
    full = "x" * 1000
    for _ in range(GROWTH + 1):
        assert list(model.batcher.results([full], threading.Event())) == [full * 2]
    assert model.batcher._room == 1000


def test_who_went_away_proves_nothing_about_memory() -> None:
    class Leaving(Model):
        def do(
            self, words: Sequence[str], cancelled: Sequence[threading.Event], _: Joining[str]
        ) -> Iterator[Made[str] | Left]:  # type: ignore[override]
            for number, event in enumerate(cancelled):
                assert event.wait(SECONDS)
                yield Left(number)

    model = Leaving(free=True)
    model.batcher._room = 1
    people = People(model)
    for number in range(3):
        asked = people.ask("word")
        people.events[number].set()
        assert asked.result(SECONDS) == []
    assert model.batcher._room == 1


def test_one_that_alone_finds_no_memory_is_told(model: Model) -> None:
    def fail(_: Sequence[str]) -> None:
        raise MemoryError

    model.failing = fail
    model.may.release(100)
    with pytest.raises(OutOfMemory):
        list(model.batcher.results(["one"], threading.Event()))


def test_no_more_is_made_than_is_wanted() -> None:
    model = Model(free=True)
    results = model.batcher.results([f"{number}" for number in range(1000)], threading.Event())
    for taken in range(1, 20):
        next(results)
        assert len(model.batches) <= taken + AHEAD
    results.close()  # type: ignore[attr-defined]


def test_a_slow_listener_keeps_nobody_waiting() -> None:
    model = Model(free=True)
    slow = model.batcher.results([f"{number}" for number in range(100)], threading.Event())
    next(slow)
    until(lambda: len(model.batches) == 1 + AHEAD)
    assert list(model.batcher.results(["aa", "bb"], threading.Event())) == ["aaaa", "bbbb"]
    slow.close()  # type: ignore[attr-defined]


def test_many_at_once_get_what_is_theirs() -> None:
    model = Model(free=True, pieces=5, work=40)
    people = People(model)
    wanted = {str(number): [f"{number}-{piece}" for piece in range(number % 7)] for number in range(32)}
    asked = {
        name: people.threads.submit(lambda w=w: list(model.batcher.results(w, threading.Event())))
        for name, w in wanted.items()
    }
    for name, words in wanted.items():
        assert asked[name].result(SECONDS) == [word * 2 for word in words]
    assert model.batcher._turns == []


def test_the_thread_ends_when_there_is_no_work_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatacter.serving.batching.LINGER", 0.01)
    model = Model(free=True)
    for _ in range(3):
        assert list(model.batcher.results(["aa"], threading.Event())) == ["aaaa"]
        until(lambda: model.batcher._thread is None)
