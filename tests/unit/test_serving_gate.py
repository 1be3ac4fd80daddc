"""The gate: who runs, who waits, who is sent away, and until when."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatacter.chassis.errors import Busy
from chatacter.serving.gate import Gate

pytestmark = pytest.mark.unit


async def hold(gate: Gate, leave: asyncio.Event) -> None:
    async with gate.place():
        await leave.wait()


async def turns(count: int = 3) -> None:
    """Let every other task go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_runs_one_waits_the_third_is_sent_away() -> None:
    gate, leave = Gate(concurrency=1, queue=1), asyncio.Event()
    tasks = [asyncio.create_task(hold(gate, leave)) for _ in range(2)]
    await turns()
    assert (gate.running, gate.waiting) == (1, 1)

    with pytest.raises(Busy) as refused:
        async with gate.place():
            pass
    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 1

    leave.set()
    await asyncio.gather(*tasks)
    assert (gate.running, gate.waiting) == (0, 0)


async def test_first_come_first_served() -> None:
    gate, order = Gate(concurrency=1, queue=5), []

    async def job(number: int) -> None:
        async with gate.place():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(job(number) for number in range(6)))
    assert order == list(range(6))


async def test_who_leaves_the_queue_gives_the_place_in_it_back() -> None:
    gate, leave = Gate(concurrency=1, queue=1), asyncio.Event()
    running = asyncio.create_task(hold(gate, leave))
    waiting = asyncio.create_task(hold(gate, leave))
    await turns()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (gate.running, gate.waiting) == (1, 0)
    leave.set()
    await running
    async with gate.place():
        assert gate.running == 1


async def test_a_job_that_fails_gives_its_place_back() -> None:
    gate = Gate(concurrency=1, queue=0)
    for _ in range(2):
        with pytest.raises(KeyError):
            async with gate.place():
                raise KeyError
    assert gate.running == 0


async def test_retry_after_grows_with_the_queue_and_with_how_long_jobs_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    recorded: list[float] = []
    gate = Gate(1, 2, recorded.append)
    for _ in range(3):
        async with gate.place():
            now += 10
    assert recorded == [10, 10, 10]
    assert gate.retry_after == pytest.approx(10)
    leave = asyncio.Event()
    tasks = [asyncio.create_task(hold(gate, leave)) for _ in range(3)]
    await turns()
    assert gate.retry_after == pytest.approx(30)
    leave.set()
    await asyncio.gather(*tasks)


async def test_one_chapter_does_not_send_the_next_ones_away_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    gate = Gate(1, 2)
    for seconds in (2, 1200, 2, 2):
        async with gate.place():
            now += seconds
    assert gate.retry_after == pytest.approx(2)


async def test_nobody_is_sent_away_for_as_long_as_chapters_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    gate = Gate(1, 2)
    async with gate.place():
        now += 1200
    assert gate.retry_after == pytest.approx(120)


@given(concurrency=st.integers(1, 4), queue=st.integers(0, 4), jobs=st.integers(0, 12))
def test_never_more_than_allowed(concurrency: int, queue: int, jobs: int) -> None:
    async def scenario() -> None:
        gate, most = Gate(concurrency, queue), 0

        async def job() -> bool:
            nonlocal most
            try:
                async with gate.place():
                    most = max(most, gate.running)
                    await asyncio.sleep(0)
            except Busy:
                return False
            return True

        served = await asyncio.gather(*(job() for _ in range(jobs)))
        assert most <= concurrency
        assert sum(served) == min(jobs, concurrency + queue)

    asyncio.run(scenario())


@pytest.mark.parametrize(("concurrency", "queue"), [(0, 1), (1, -1)])
def test_a_gate_that_lets_nobody_in_is_a_mistake(concurrency: int, queue: int) -> None:
    with pytest.raises(ValueError, match="at least one place"):
        Gate(concurrency, queue)


async def test_a_gate_that_grows_lets_those_in_who_wait_and_one_that_shrinks_lets_no_more_in() -> None:
    gate, leave = Gate(concurrency=1, queue=5), asyncio.Event()
    tasks = [asyncio.create_task(hold(gate, leave)) for _ in range(4)]
    await turns()
    assert (gate.running, gate.waiting) == (1, 3)
    gate.resize(3)
    await turns()
    assert (gate.running, gate.waiting) == (3, 1)
    gate.resize(1)
    tasks[0].cancel()
    await turns()
    assert (gate.running, gate.waiting) == (2, 1)
    leave.set()
    await asyncio.gather(*tasks[1:])
    assert (gate.running, gate.waiting) == (0, 0)


async def test_a_place_given_to_one_who_leaves_goes_to_the_next() -> None:
    gate, leave = Gate(concurrency=1, queue=5), asyncio.Event()
    first, second, third = (asyncio.create_task(hold(gate, asyncio.Event() if n < 2 else leave)) for n in range(3))
    await turns()
    first.cancel()
    await asyncio.sleep(0)  # the place is the second's by now, who has not run since
    second.cancel()
    await turns()
    assert (gate.running, gate.waiting) == (1, 0)
    leave.set()
    await third
    assert gate.running == 0
