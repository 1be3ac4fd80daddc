"""What a trace tells of a call by gRPC: how it ended, and nothing that was said."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from chatacter.serving.kserve_import import v2_messages
from tests.grpc_caller import begun, beside, calling, infer, refused, speech
from tests.otlp_receiver import Collected, Span, collecting
from tests.puppet_process import Puppet, puppet
from tests.puppet_speech import SECRET

pytestmark = pytest.mark.integration

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
REFUSED: dict[str, Callable[[Any], Any]] = {
    "ModelReady": lambda stub: stub.ModelReady(v2_messages.ModelReadyRequest(name="other")),
    "ModelMetadata": lambda stub: stub.ModelMetadata(v2_messages.ModelMetadataRequest(name="other")),
    "ModelInfer": lambda stub: infer(stub, speech(voice="alloy")),
    "RepositoryModelLoad": lambda stub: stub.RepositoryModelLoad(v2_messages.RepositoryModelLoadRequest()),
    "RepositoryModelUnload": lambda stub: stub.RepositoryModelUnload(v2_messages.RepositoryModelUnloadRequest()),
}


@pytest.fixture
def collected() -> Iterator[Collected]:
    with collecting() as made:
        yield made


@pytest.fixture
def traced(collected: Collected, tmp_path: Path) -> Iterator[Puppet]:
    with puppet(tmp_path, otel_exporter_otlp_endpoint=collected.url) as found:
        yield found


def calls(spans: list[Span]) -> list[tuple[str, Any, bool]]:
    """Each call's name, status and whether it is the server's fault."""
    doors = [span for span in spans if span.name.startswith("inference.")]
    return [(span.name.rpartition("/")[2], span.attributes.get("rpc.grpc.status_code"), span.failed) for span in doors]


def test_every_refusal_names_its_trace_and_only_what_is_our_fault_is_an_error(
    traced: Puppet, collected: Collected
) -> None:
    with calling(traced.grpc_port) as stub:
        told = {name: beside(refused(lambda call=call: call(stub)))["trace-id"] for name, call in REFUSED.items()}  # type: ignore[misc]
        stub.ServerLive(v2_messages.ServerLiveRequest())
    traced.service.stop()
    ours = {
        "ServerLive": (grpc.StatusCode.OK, False),
        "ModelReady": (grpc.StatusCode.NOT_FOUND, False),
        "ModelMetadata": (grpc.StatusCode.NOT_FOUND, False),
        "ModelInfer": (grpc.StatusCode.NOT_FOUND, False),
        "RepositoryModelLoad": (grpc.StatusCode.UNIMPLEMENTED, True),
        "RepositoryModelUnload": (grpc.StatusCode.UNIMPLEMENTED, True),
    }
    assert sorted(calls(collected.spans)) == sorted(
        (name, code.value[0], fault) for name, (code, fault) in ours.items()
    )
    for name, trace in told.items():
        assert [call[0] for call in calls(collected.trace(trace))] == [name]


def test_a_trace_holds_nothing_of_what_a_failure_says(traced: Puppet, collected: Collected) -> None:
    before = traced.diary.count("begun")
    with calling(traced.grpc_port) as stub:
        infer(stub, speech(), traceparent=TRACEPARENT)
        error = refused(lambda: infer(stub, speech(input="I stumble."), traceparent=TRACEPARENT))
        assert beside(error)["trace-id"] == TRACE_ID
        with traced.held(), begun(stub, speech()) as call:
            traced.until("begun", before + 3)
            call.cancel()
            traced.until("cancelled")
    traced.service.stop()
    assert sorted(calls(collected.trace(TRACE_ID))) == [("ModelInfer", 0, False), ("ModelInfer", 13, True)]
    assert ("ModelInfer", 1, False) in calls(collected.spans)
    assert not [span.name for span in collected.spans if SECRET in span.written]
    assert [span.attributes["error.type"] for span in collected.spans if span.failed] == ["ValueError"] * 2
