"""Batches that others join while they run: who does, who waits, and whose error is whose."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from chatacter.chassis.errors import InvalidInput, OutOfMemory
from chatacter.serving.batching import Batch, Batcher, Joining, Left, Limits, Made

pytestmark = pytest.mark.unit

SECONDS = 10.0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Spelling:
    """Spells words, a letter of each in a step; holds each step until it may go on. `!` in a word fails."""

    def __init__(self, pieces: int = 8, work: int = 1000) -> None:
        self.may = threading.Semaphore(0)
        self.steps: list[list[str]] = []
        self.told: list[Batch] = []
        self.batches = 0
        self.least = 0
        self.batcher: Batcher[str, str] = Batcher(self.do, len, Limits(pieces, work, padded=False), self.told.append)

    def do(
        self, words: Sequence[str], cancelled: Sequence[threading.Event], joining: Joining[str]
    ) -> Iterator[Made[str] | Left]:
        self.batches += 1
        known = dict(enumerate(zip(words, cancelled, strict=True)))
        going = dict.fromkeys(known, 0)
        count = len(known)
        while going:
            for number in [number for number in going if known[number][1].is_set()]:
                del going[number]
                yield Left(number)
            self.steps.append([known[number][0] for number in going])
            assert self.may.acquire(timeout=SECONDS)
            if self.least and len(going) > self.least:
                last = max(going)
                del going[last]
                yield Left(last, OutOfMemory("full"))
            for number, at in list(going.items()):
                word = known[number][0]
                if word[at] == "!":
                    del going[number]
                    yield Left(number, InvalidInput("This cannot be spelt."))
                    continue
                last_letter = at + 1 == len(word)
                going[number] = at + 1
                if last_letter:
                    del going[number]
                yield Made(number, word[at], last_letter)
            for coming in joining():
                known[count] = coming
                going[count] = 0
                count += 1


class People:
    """Requests, each in a thread."""

    def __init__(self, model: Spelling) -> None:
        self.model = model
        self.threads = ThreadPoolExecutor(32)
        self.events: list[threading.Event] = []

    def ask(self, *words: str) -> "Future[str]":
        """Ask, and return once the batcher knows of it."""
        event = threading.Event()
        self.events.append(event)
        before = len(self.model.batcher._turns)
        asked = self.threads.submit(lambda: "".join(self.model.batcher.results(words, event)))
        until(lambda: len(self.model.batcher._turns) > before or asked.done())
        return asked

    def stepped(self, steps: int = 1) -> None:
        """Let steps be made, and wait until the next one is about to be."""
        before = len(self.model.steps)
        self.model.may.release(steps)
        until(lambda: len(self.model.steps) >= before + steps)


@pytest.fixture
def model() -> Spelling:
    return Spelling()


@pytest.fixture
def people(model: Spelling) -> Iterator[People]:
    found = People(model)
    yield found
    model.may.release(1000)
    found.threads.shutdown(wait=True)


def begun(people: People, *words: str) -> "Future[str]":
    """Ask, and wait for the first step."""
    asked = people.ask(*words)
    until(lambda: bool(people.model.steps))
    return asked


def test_who_comes_joins_at_the_next_step_and_ends_before_the_others(model: Spelling, people: People) -> None:
    first = begun(people, "abcdefgh")
    people.stepped(2)
    second, third = people.ask("xy"), people.ask("z")
    people.stepped(3)
    assert (second.result(SECONDS), third.result(SECONDS)) == ("xy", "z")
    assert not first.done()
    model.may.release(100)
    assert first.result(SECONDS) == "abcdefgh"
    assert model.batches == 1
    assert model.steps[2:6] == [["abcdefgh"], ["abcdefgh", "xy", "z"], ["abcdefgh", "xy"], ["abcdefgh"]]
    assert [(batch.pieces, len(batch.waits)) for batch in model.told] == [(1, 1), (3, 2)]


def test_a_second_piece_joins_behind_its_first(model: Spelling, people: People) -> None:
    other, asked = begun(people, "long-long-long"), people.ask("ab", "cd", "ef")
    model.may.release(100)
    assert asked.result(SECONDS) == "abcdef"
    assert other.result(SECONDS) == "long-long-long"
    assert not any({"ab", "cd"} <= set(step) or {"cd", "ef"} <= set(step) for step in model.steps)


def test_no_more_join_than_there_are_places_and_who_waits_longest_is_first() -> None:
    model = Spelling(pieces=2)
    people = People(model)
    first = begun(people, "abcdef")
    others = [people.ask(word) for word in ("gh", "ij", "kl")]
    model.may.release(100)
    assert [one.result(SECONDS) for one in [first, *others]] == ["abcdef", "gh", "ij", "kl"]
    assert max(len(step) for step in model.steps) == 2
    ended = [word for step in model.steps for word in step if word != "abcdef"]
    assert ended == ["gh", "gh", "ij", "ij", "kl", "kl"]


def test_a_large_piece_is_not_overtaken_for_ever() -> None:
    model = Spelling(work=12)
    people = People(model)
    first = begun(people, "abcdef")
    large = people.ask("0123456789")
    small = people.ask("xyz")
    model.may.release(100)
    assert (first.result(SECONDS), large.result(SECONDS), small.result(SECONDS)) == ("abcdef", "0123456789", "xyz")
    assert ["abcdef", "xyz"] not in model.steps


def test_who_hangs_up_is_gone_at_the_next_step(model: Spelling, people: People) -> None:
    staying, leaving = begun(people, "abcdefgh"), people.ask("stuvwxyz")
    people.stepped(3)
    people.events[1].set()
    people.stepped(2)
    assert leaving.result(SECONDS) in {"st", ""}
    assert model.steps[-1] == ["abcdefgh"]
    model.may.release(100)
    assert staying.result(SECONDS) == "abcdefgh"


def test_an_error_is_only_its_own_requests(model: Spelling, people: People) -> None:
    first, bad = begun(people, "abcdefgh"), people.ask("xy!z")
    model.may.release(100)
    with pytest.raises(InvalidInput):
        bad.result(SECONDS)
    assert first.result(SECONDS) == "abcdefgh"


def test_who_fails_alone_is_told_at_once_and_keeps_nobody_from_joining(model: Spelling, people: People) -> None:
    first, bad = begun(people, "abcdefgh"), people.ask("!")
    people.stepped(2)
    with pytest.raises(InvalidInput):
        bad.result(SECONDS)
    other = people.ask("xyz")
    people.stepped(2)
    assert model.steps[-1] == ["abcdefgh", "xyz"]
    model.may.release(100)
    assert (first.result(SECONDS), other.result(SECONDS)) == ("abcdefgh", "xyz")
    assert model.batches == 1


def test_who_finds_no_memory_unheard_waits_until_there_is_some(model: Spelling, people: People) -> None:
    model.least = 1
    first, second = begun(people, "abcdefgh"), people.ask("xyz")
    model.may.release(100)
    assert (first.result(SECONDS), second.result(SECONDS)) == ("abcdefgh", "xyz")
    assert sum("xyz" in step and len(step) > 1 for step in model.steps) == 1
