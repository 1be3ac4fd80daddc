"""No room for a request: what allocators really raise is told as one error, and what was taken is given back."""

import gc
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from chatacter.chassis.errors import OutOfMemory
from chatacter.serving.memory import is_exhausted, tried, within_memory
from chatacter.serving.work import streamed

pytestmark = pytest.mark.unit


def pythons() -> None:
    bytearray(2**62)


def numpys() -> None:
    np.ones(2**48)


def torchs() -> None:
    torch = pytest.importorskip("torch")
    torch.empty(2**50)


def torchs_on_a_gpu() -> None:
    torch = pytest.importorskip("torch")
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    cv2.resize(np.zeros((10, 10)), (10 * 2**15, 10 * 2**15))


def wrapped() -> None:
    try:
        pythons()
    except MemoryError as error:
        raise ValueError("the library says something else") from error


@pytest.mark.parametrize("fail", [pythons, numpys, torchs, torchs_on_a_gpu, opencvs, wrapped])
async def test_what_allocators_raise_is_told_as_one_error(fail: Callable[[], None]) -> None:
    def work(_: object) -> Iterator[int]:
        yield 1
        fail()

    pieces = streamed(work)
    assert await anext(pieces) == 1
    with pytest.raises(OutOfMemory) as told:
        await anext(pieces)
    assert told.value.__context__ is None
    assert [piece async for piece in streamed(lambda _: iter([2]))] == [2]


@pytest.mark.parametrize("error", [ValueError("CUDA out of memory"), RuntimeError("something else"), KeyError()])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    def work() -> Iterator[int]:
        raise error
        yield

    assert not is_exhausted(error)
    with pytest.raises(type(error)):
        list(within_memory(work))


def test_what_the_failed_work_held_is_free_when_it_is_told() -> None:
    held: list[weakref.ref[np.ndarray]] = []

    def work() -> Iterator[int]:
        large = np.zeros(1000)
        held.append(weakref.ref(large))
        yield large.size
        raise MemoryError

    pieces = within_memory(work)
    next(pieces)
    gc.disable()
    try:
        with pytest.raises(OutOfMemory):
            next(pieces)
        assert held[0]() is None
    finally:
        gc.enable()


def test_what_is_tried_and_finds_no_memory_holds_none_when_it_is_told() -> None:
    held: list[weakref.ref[np.ndarray]] = []

    def work() -> int:
        large = np.zeros(1000)
        held.append(weakref.ref(large))
        raise MemoryError

    gc.disable()
    try:
        failure = tried(work)
        assert held[0]() is None
    finally:
        gc.enable()
    assert isinstance(failure, OutOfMemory)
    assert failure.__context__ is None


def test_what_is_tried_returns_what_it_is_or_its_own_error() -> None:
    error = ValueError("something else")

    def work() -> int:
        raise error

    assert tried(work) is error
    assert tried(lambda: 2) == 2
