"""How calls by gRPC end: in their turn, by the caller's will, by the clock, and by that of SIGTERM."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from chatacter.serving.kserve_import import v2_messages
from tests.grpc_caller import begun, beside, calling, infer, media, refused, speech
from tests.puppet_process import Puppet, puppet, until
from tests.puppet_speech import LOAD_FAILS, LOAD_HELD, NOT_THERE

pytestmark = pytest.mark.integration

CLOSING_SECONDS = 15.0
REQUEST_SECONDS = 10


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Puppet]:
    """A Vocalizr with one place and no queue."""
    told = {"vocalizr_queue": "0", "request_timeout": str(REQUEST_SECONDS)}
    with puppet(tmp_path_factory.mktemp("narrow"), **told) as found:
        yield found


@pytest.fixture
def stub(narrow: Puppet) -> Iterator[Any]:
    with calling(narrow.grpc_port) as found:
        yield found


def terminate(found: Puppet) -> None:
    found.service.process.send_signal(signal.SIGTERM)


def refusing(stub: Any) -> bool:
    """Whether the server answers and takes no calls."""
    told = stub.ServerLive.future(v2_messages.ServerLiveRequest()).exception()
    return told is not None and told.code() == grpc.StatusCode.UNAVAILABLE and "shutting down" in told.details()


def running(found: Puppet) -> float:
    """How many have a place at the model."""
    lines = httpx.get(f"{found.service.url}/metrics", timeout=30).text.splitlines()
    (line,) = (line for line in lines if line.startswith("chatacter_inference_running{"))
    return float(line.rpartition(" ")[2])


def test_whoever_finds_no_place_is_told_when_to_come_back(narrow: Puppet, stub: Any) -> None:
    before = narrow.diary.count("begun")
    with narrow.held(), begun(stub, speech()) as first:
        narrow.until("begun", before + 1)
        error = refused(lambda: infer(stub, speech()))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert beside(error)["error-code"] == "busy"
        assert int(beside(error)["retry-after"]) >= 1
        narrow.release()
        assert media(first.result())[:4] == b"RIFF"


def test_a_cancelled_call_frees_its_place(narrow: Puppet, stub: Any) -> None:
    before = narrow.diary.count("begun"), narrow.diary.count("cancelled"), narrow.diary.count("ended")
    with narrow.held(), begun(stub, speech()) as call:
        narrow.until("begun", before[0] + 1)
        call.cancel()
        narrow.until("cancelled", before[1] + 1)
        assert running(narrow) == 1, "the model has not let go"
    narrow.until("ended", before[2] + 1)
    until(lambda: running(narrow) == 0, "its place is free")
    assert media(infer(stub, speech()))[:4] == b"RIFF"


def test_a_call_ends_after_the_time_that_an_answer_may_take(narrow: Puppet, stub: Any) -> None:
    before = narrow.diary.count("cancelled")
    with narrow.held(), begun(stub, speech()) as call:
        narrow.until("cancelled", before + 1)
        narrow.release()
        error = call.exception()
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "REQUEST_TIMEOUT" in error.details()


def test_once_the_end_begins_calls_come_to_theirs_and_no_new_ones_are_taken(tmp_path: Path) -> None:
    with (
        puppet(tmp_path, shutdown_grace="60") as found,
        calling(found.grpc_port) as stub,
        calling(found.grpc_port) as late,
    ):
        with found.held(), begun(stub, speech()) as call:
            found.until("begun")
            terminate(found)
            until(lambda: refusing(stub), "it takes no calls")
            for again in (stub, late):
                error = refused(lambda to=again: infer(to, speech()))  # type: ignore[misc]
                assert (error.code(), beside(error)["error-code"]) == (grpc.StatusCode.UNAVAILABLE, "unavailable")
            assert found.diary.count("begun") == 1
            found.release()
            assert media(call.result())[:4] == b"RIFF"
        assert found.service.process.wait(CLOSING_SECONDS) == 0
        assert found.diary == ["loading", "begun", "ended", "closed"]
        assert "Traceback" not in found.service.written()
        assert refused(lambda: infer(stub, speech())).code() == grpc.StatusCode.UNAVAILABLE


def test_a_call_that_takes_longer_than_the_grace_is_cut_and_told(tmp_path: Path) -> None:
    with puppet(tmp_path, shutdown_grace="1") as found, calling(found.grpc_port) as stub:
        with found.held(), begun(stub, speech()) as call:
            found.until("begun")
            terminate(found)
            found.until("cancelled")
            assert found.service.process.poll() is None, "its model has not let go"
            found.release()
            error = call.exception()
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert "SHUTDOWN_GRACE" in error.details()
        assert found.service.process.wait(CLOSING_SECONDS) == 0
        assert found.diary == ["loading", "begun", "cancelled", "ended", "closed"]
        assert "Traceback" not in found.service.written()


def test_the_end_waits_for_a_call_whose_time_was_up_and_whose_model_has_not_let_go(tmp_path: Path) -> None:
    with puppet(tmp_path, request_timeout="1", shutdown_grace="60") as found, calling(found.grpc_port) as stub:
        with found.held(), begun(stub, speech()) as call:
            found.until("cancelled")
            terminate(found)
            until(lambda: refusing(stub), "it takes no calls")
            assert found.service.process.poll() is None, "its model has not let go"
            found.release()
            error = call.exception()
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert found.service.process.wait(CLOSING_SECONDS) == 0
        assert found.diary == ["loading", "begun", "cancelled", "ended", "closed"]
        assert "Traceback" not in found.service.written()


def test_while_a_model_loads_it_is_not_ready(tmp_path: Path) -> None:
    with puppet(tmp_path, wait=False, strings=[LOAD_HELD]) as found, calling(found.grpc_port) as stub:
        found.until("loading")
        assert stub.ServerLive(v2_messages.ServerLiveRequest(), wait_for_ready=True).live
        assert not stub.ServerReady(v2_messages.ServerReadyRequest()).ready
        assert not stub.ModelReady(v2_messages.ModelReadyRequest(name="puppet")).ready
        error = refused(lambda: infer(stub, speech()))
        assert (error.code(), beside(error)["retry-after"]) == (grpc.StatusCode.UNAVAILABLE, "5")
        found.release(LOAD_HELD)
        until(lambda: stub.ServerReady(v2_messages.ServerReadyRequest()).ready)


def test_a_model_that_could_not_be_loaded_says_why(tmp_path: Path) -> None:
    with puppet(tmp_path, wait=False, strings=[LOAD_FAILS]) as found, calling(found.grpc_port) as stub:
        assert stub.ServerLive(v2_messages.ServerLiveRequest(), wait_for_ready=True).live
        until(lambda: "could not be loaded" in found.service.written())
        assert not stub.ServerReady(v2_messages.ServerReadyRequest()).ready
        error = refused(lambda: infer(stub, speech()))
        assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, NOT_THERE)
