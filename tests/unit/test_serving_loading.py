"""Loading in the background: what is told meanwhile, and who is let in."""

import asyncio
import threading

import pytest

from chatacter.chassis.errors import Misconfigured, NotReady, OutOfMemory, Unavailable
from chatacter.serving import loading as at
from chatacter.serving.loading import UNEXPECTED, Elsewhere, Loading
from tests.waiting import eventually

pytestmark = pytest.mark.unit


class Model:
    """A model whose load takes until it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go = threading.Event()
        self.error = error
        self.loaded = 0
        self.closed = 0

    def load(self) -> None:
        self.go.wait(10)
        if self.error:
            raise self.error
        self.loaded += 1

    def close(self) -> None:
        self.closed += 1


async def test_loading_then_ready_then_closed() -> None:
    model = Model()
    loading = Loading("voice", model.load, model.close)
    assert await loading.check() == "loading"
    async with loading.running():
        assert not loading.ready
        with pytest.raises(NotReady) as refused:
            await loading.obtain()
        assert refused.value.retry_after
        model.go.set()
        await loading.settled()
        assert await loading.check() is None
        await loading.obtain()
    assert (model.loaded, model.closed) == (1, 1)
    assert await loading.check() == "closed"
    with pytest.raises(NotReady):
        await loading.obtain()


@pytest.mark.parametrize(
    ("error", "told"), [(Misconfigured("install it"), "install it"), (ValueError("secret"), UNEXPECTED)]
)
async def test_a_failure_is_told_and_never_in_the_exceptions_words(error: Exception, told: str) -> None:
    model = Model(error)
    model.go.set()
    loading = Loading("voice", model.load, model.close)
    async with loading.running():
        await loading.settled()
        assert await loading.check() == f"failed: {told}"
        with pytest.raises(Misconfigured, match=told):
            await loading.obtain()


async def test_without_preload_the_first_request_loads() -> None:
    model = Model()
    model.go.set()
    loading = Loading("voice", model.load, model.close, preload=False)
    async with loading.running():
        assert loading.ready
        await asyncio.gather(loading.obtain())
        assert model.loaded == 1
        await loading.obtain()
        assert model.loaded == 1


async def test_a_service_that_ends_while_loading_waits_and_closes() -> None:
    model = Model()
    loading = Loading("voice", model.load, model.close)
    async with loading.running():
        asyncio.get_running_loop().call_soon(model.go.set)
    assert (model.loaded, model.closed) == (1, 1)


async def test_what_is_done_elsewhere_is_tried_again_until_it_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at, "RETRY_AFTER", 0.01)
    model = Model(Unavailable("None could start."))
    model.go.set()
    loading = Loading("voice", model.load, model.close, elsewhere=Elsewhere(lambda: None))
    async with loading.running():

        async def hindered() -> bool:
            return await loading.check() == "failed: None could start."

        await eventually(hindered)
        with pytest.raises(NotReady):
            await loading.obtain()
        model.error = None
        await loading.settled()
        assert await loading.check() is None
    assert (model.loaded, model.closed) == (1, 1)


async def test_a_service_that_ends_waits_neither_for_another_try_nor_for_others() -> None:
    over = threading.Event()
    refused = Unavailable("None could start.")

    def awaited() -> None:
        tries.append(over.wait(10))
        raise refused

    tries: list[bool] = []
    async with asyncio.timeout(3):
        async with Loading("voice", awaited, lambda: None, elsewhere=Elsewhere(lambda: None, over.set)).running():
            pass
    assert tries == [True]


async def test_a_load_that_a_request_began_and_that_failed_is_begun_again() -> None:
    model = Model(Misconfigured("fetch it"))
    model.go.set()
    loading = Loading("voice", model.load, model.close, preload=False)
    async with loading.running():
        with pytest.raises(Misconfigured, match="fetch it"):
            await loading.obtain()
        assert (loading.ready, loading.present, model.closed) == (True, False, 1)
        model.error = None
        await loading.obtain()
        assert model.loaded == 1


async def test_memory_that_could_not_be_had_is_told_as_such() -> None:
    model = Model(MemoryError())
    model.go.set()
    loading = Loading("voice", model.load, model.close, preload=False)
    async with loading.running():
        with pytest.raises(OutOfMemory, match="to load the model"):
            await loading.obtain()


async def test_who_is_cancelled_while_a_model_is_unloaded_waits_for_its_end() -> None:
    model, may = Model(), threading.Event()
    model.go.set()

    def close() -> None:
        may.wait(10)
        model.close()

    loading = Loading("voice", model.load, close, preload=False)
    async with loading.running():
        await loading.obtain()
        unloading = asyncio.create_task(loading.unload())
        await asyncio.sleep(0)
        unloading.cancel()
        asyncio.get_running_loop().call_later(0.05, may.set)
        with pytest.raises(asyncio.CancelledError):
            await unloading
        assert model.closed == 1


async def test_a_loaded_model_that_is_amiss_is_not_ready_until_it_is_well_again() -> None:
    model, wrong = Model(), ["No replica is left."]
    model.go.set()
    loading = Loading("voice", model.load, model.close, elsewhere=Elsewhere(lambda: wrong[0] if wrong else None))
    assert await loading.check() == "loading"
    async with loading.running():
        await loading.settled()
        assert await loading.check() == "No replica is left."
        wrong.clear()
        assert await loading.check() is None
