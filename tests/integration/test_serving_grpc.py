"""What is asked of a predictor by gRPC: what it gives, what it refuses and how, who may ask, and how much at a time."""

import base64
import io
import json
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format

from chatacter.chassis import problems
from chatacter.chassis.auth import new_key
from chatacter.chassis.errors import Misconfigured
from chatacter.contracts.whose import TENANT_HEADER
from chatacter.serving import grpc_door
from chatacter.serving.kserve_import import v2_messages
from tests.grpc_caller import ROW, begun, beside, calling, infer, media, output, pairs, refused, speech
from tests.plugin_site import ROOT
from tests.puppet_process import Puppet, puppet, until
from visualizr import rayservice as films_on_ray
from vocalizr import rayservice as speech_on_ray

pytestmark = pytest.mark.integration

RATE = 24_000
BLEND = {"name": "Middle", "blend": {"high": 1, "low": 1}}
LARGEST = 1024
TOKEN = "the shared secret"
BEARER = f"Bearer {TOKEN}"


@pytest.fixture(scope="module")
def open_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Puppet]:
    """A Vocalizr that anybody on this machine may ask."""
    with puppet(tmp_path_factory.mktemp("open"), max_request_bytes=str(LARGEST), log_format="json") as found:
        yield found


@pytest.fixture
def stub(open_door: Puppet) -> Iterator[Any]:
    with calling(open_door.grpc_port) as found:
        yield found


@pytest.fixture
def web(open_door: Puppet) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=open_door.service.url, timeout=30) as client:
        yield client


@pytest.mark.parametrize("raw", [True, False])
def test_speech_is_that_of_the_rest_door(stub: Any, web: httpx.Client, raw: bool) -> None:
    answer = infer(stub, speech(raw=raw))
    rest = web.post("/v1/models/puppet:predict", json={"instances": [ROW]}).json()["predictions"][0]
    assert (answer.id, answer.model_name, bool(answer.raw_output_contents)) == ("7", "puppet", raw)
    assert media(answer) == base64.b64decode(rest["audio"])
    assert output(answer, "seconds") == pytest.approx(rest["seconds"])
    with wave.open(io.BytesIO(media(answer))) as sound:
        heard = len(sound.readframes(RATE)) / sound.getsampwidth()
        assert heard / sound.getframerate() == pytest.approx(rest["seconds"])


def test_what_the_server_and_the_model_are(stub: Any, web: httpx.Client) -> None:
    assert stub.ServerLive(v2_messages.ServerLiveRequest()).live
    assert stub.ServerReady(v2_messages.ServerReadyRequest()).ready
    assert stub.ModelReady(v2_messages.ModelReadyRequest(name="puppet")).ready
    assert stub.ServerMetadata(v2_messages.ServerMetadataRequest()).name == "vocalizr"
    told = stub.ModelMetadata(v2_messages.ModelMetadataRequest(name="puppet"))
    rest = web.get("/v2/models/puppet").json()
    for ours, theirs in ((told.inputs, rest["inputs"]), (told.outputs, rest["outputs"])):
        assert [(each.name, each.datatype) for each in ours] == [(each["name"], each["datatype"]) for each in theirs]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"voice": "alloy"}, grpc.StatusCode.NOT_FOUND),
        ({"response_format": "tape"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"speed": "secret"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"input": "..."}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"model": "other"}, grpc.StatusCode.NOT_FOUND),
        ({"input": "I devour all there is."}, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_what_is_wrong_is_said_as_by_rest(stub: Any, web: httpx.Client, row: dict[str, str], code: Any) -> None:
    error = refused(lambda: infer(stub, speech(**row)))
    given = {"model": "puppet", **ROW, **row}
    model = given.pop("model")
    inputs = [{"name": n, "shape": [1], "datatype": "BYTES", "data": [v]} for n, v in given.items()]
    rest = web.post(f"/v2/models/{model}/infer", json={"inputs": inputs}).json()
    assert (error.code(), error.details()) == (code, rest["detail"])
    assert "secret" not in error.details()
    assert f"urn:chatacter:problem:{beside(error)['error-code'].replace('_', '-')}" == rest["type"]


@pytest.mark.parametrize(
    "broken",
    [
        {"raw_input_contents": [b"\x01"]},
        {"raw_input_contents": [b"\xff\xff\xff\xff"], "inputs": [{"name": "input", "datatype": "BYTES", "shape": [1]}]},
        {"inputs": [{"name": "input", "datatype": "X", "shape": [1]}]},
        {"inputs": [{"name": "input", "datatype": "BYTES", "shape": [9]}]},
        {"inputs": []},
        {"inputs": [{"name": "other", "datatype": "BYTES", "shape": [0]}]},
    ],
)
def test_a_broken_request_is_refused(stub: Any, broken: dict[str, Any]) -> None:
    error = refused(lambda: infer(stub, v2_messages.ModelInferRequest(model_name="puppet", **broken)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_models_have_no_versions_and_are_not_loaded_from_outside(stub: Any) -> None:
    error = refused(lambda: stub.ModelReady(v2_messages.ModelReadyRequest(name="puppet", version="2")))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    for call in (
        lambda: stub.RepositoryModelLoad(v2_messages.RepositoryModelLoadRequest(model_name="puppet")),
        lambda: stub.RepositoryModelUnload(v2_messages.RepositoryModelUnloadRequest(model_name="puppet")),
    ):
        assert refused(call).code() == grpc.StatusCode.UNIMPLEMENTED
    assert stub.ModelReady(v2_messages.ModelReadyRequest(name="puppet")).ready


def test_a_row_may_name_a_voice_of_the_tenants_own(stub: Any, web: httpx.Client) -> None:
    voice = web.post("/v1/audio/voices", json=BLEND, headers={TENANT_HEADER: "acme"}).raise_for_status().json()["id"]
    tenant = TENANT_HEADER.replace("-", "_")
    assert media(infer(stub, speech(voice=voice), **{tenant: "acme"}))[:4] == b"RIFF"
    for others in ({tenant: "evil"}, {}):
        error = refused(lambda told=others: infer(stub, speech(voice=voice), **told))  # type: ignore[misc]
        assert error.code() == grpc.StatusCode.NOT_FOUND
    error = refused(lambda: infer(stub, speech(), **{tenant: "not a name"}))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert TENANT_HEADER in error.details()


def test_a_request_is_as_large_as_a_body_may_be_and_an_answer_larger(stub: Any) -> None:
    assert len(media(infer(stub, speech()))) > 20 * LARGEST
    error = refused(lambda: infer(stub, speech(input="Hello there. " * 100)))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(LARGEST) in error.details()


def test_a_failed_prediction_tells_nothing(stub: Any, open_door: Puppet) -> None:
    error = refused(lambda: infer(stub, speech(input="I stumble.")))
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, problems.INTERNAL)
    trace = beside(error)["trace-id"]
    assert len(trace) == 32
    assert trace in open_door.service.written()


def test_sound_is_marked_as_made_by_a_machine(stub: Any) -> None:
    _, call = stub.ModelInfer.with_call(speech(), timeout=30)
    assert "trainedAlgorithmicMedia" in dict(call.initial_metadata())["x-digital-source-type"]


def test_a_connection_is_made_anew_and_no_call_is_lost(open_door: Puppet, stub: Any) -> None:
    states: list[grpc.ChannelConnectivity] = []
    before = open_door.diary.count("begun")
    with open_door.held(), begun(stub, speech()) as call:
        open_door.until("begun", before + 1)
        with grpc.insecure_channel(f"127.0.0.1:{open_door.grpc_port}") as younger:
            younger.subscribe(states.append, try_to_connect=True)
            until(lambda: grpc.ChannelConnectivity.READY in states)
            until(lambda: states[-1] is grpc.ChannelConnectivity.IDLE, seconds=3 * grpc_door.CONNECTION_SECONDS)
        open_door.release()
        assert media(call.result())[:4] == b"RIFF"
    assert media(infer(stub, speech()))[:4] == b"RIFF"


def test_the_documented_client_runs_as_it_stands(open_door: Puppet, tmp_path: Path) -> None:
    blocks = (ROOT / "docs" / "api.md").read_text("utf-8").split("```python\n")[1:]
    (program,) = (block.partition("```")[0] for block in blocks if "InferenceGRPCClient" in block)
    here = {"localhost:8081": f"localhost:{open_door.grpc_port}", "kokoro": "puppet", "af_heart": "high"}
    for documented, ours in here.items():
        assert documented in program
        program = program.replace(documented, ours)
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=tmp_path, timeout=60)
    assert (tmp_path / "evening.wav").read_bytes()[:4] == b"RIFF"


def test_the_documented_json_of_grpcurl_is_a_request(stub: Any) -> None:
    block = (ROOT / "docs" / "api.md").read_text("utf-8").partition("\ngrpcurl ")[2]
    written = block.partition("-d '")[2].partition("'")[0].replace('"kokoro"', '"puppet"')
    asked = json_format.Parse(written, v2_messages.ModelInferRequest())
    given = {tensor.name: tensor.contents.bytes_contents for tensor in asked.inputs}
    assert given == {"input": [b"Good evening."], "voice": [b"af_heart"]}
    given["voice"][:] = [b"high"]
    told = json.loads(json_format.MessageToJson(infer(stub, asked)))
    (sound,) = (output["contents"]["bytesContents"][0] for output in told["outputs"] if output["name"] == "audio")
    assert base64.b64decode(base64.b64decode(sound))[:4] == b"RIFF"


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    """A key by the name of its only scope."""
    return {}


@pytest.fixture(scope="module")
def closed_door(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, str]) -> Iterator[Puppet]:
    """A Vocalizr that asks for a key."""
    folder = tmp_path_factory.mktemp("closed")
    known = []
    for scope in ("chat", "inference"):
        keys[scope], key = new_key(scope, "acme", [scope])  # type: ignore[list-item]
        known.append(key.model_dump(mode="json"))
    (folder / "keys.json").write_text(json.dumps(known))
    told = {"require_api_key": "true", "service_token": TOKEN, "api_keys_file": str(folder / "keys.json")}
    with puppet(folder, max_request_bytes=str(LARGEST), **told) as found:
        yield found


def test_without_a_key_only_the_probes_are_open(closed_door: Puppet) -> None:
    with calling(closed_door.grpc_port) as stub:
        assert stub.ServerLive(v2_messages.ServerLiveRequest()).live
        assert stub.ServerReady(v2_messages.ServerReadyRequest()).ready
        assert stub.ModelReady(v2_messages.ModelReadyRequest(name="puppet")).ready
        for given in ({}, {"authorization": "Bearer wrong"}):
            metadata = pairs(given)
            for call in (
                lambda told=metadata: stub.ModelInfer(speech(), metadata=told),  # type: ignore[misc]
                lambda told=metadata: stub.ServerMetadata(v2_messages.ServerMetadataRequest(), metadata=told),  # type: ignore[misc]
                lambda told=metadata: stub.ModelMetadata(
                    v2_messages.ModelMetadataRequest(name="puppet"), metadata=told
                ),  # type: ignore[misc]
            ):
                assert refused(call).code() == grpc.StatusCode.UNAUTHENTICATED
        assert media(infer(stub, speech(), authorization=BEARER))[:4] == b"RIFF"


def test_who_may_ask_is_looked_at_before_what_is_asked_is_read(closed_door: Puppet, keys: dict[str, str]) -> None:
    large = speech(input="Hello there. " * 100)
    with calling(closed_door.grpc_port) as stub:
        told = {
            key: refused(lambda key=key: infer(stub, large, authorization=f"Bearer {key}"))  # type: ignore[misc]
            for key in ("wrong", keys["chat"], TOKEN)
        }
    assert [error.code() for error in told.values()] == [
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ]
    assert beside(told["wrong"])["error-code"] == "unauthenticated"


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("ServerLive", None),
        ("ServerReady", None),
        ("RepositoryModelLoad", grpc.StatusCode.UNIMPLEMENTED),
        ("RepositoryModelUnload", grpc.StatusCode.UNIMPLEMENTED),
        ("ModelReady", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_of_what_anyone_may_ask_only_the_name_of_a_model_is_read(closed_door: Puppet, method: str, code: Any) -> None:
    asked = getattr(v2_messages, f"{method}Request").FromString(speech(input="Hello there. " * 100).SerializeToString())
    assert asked.ByteSize() > LARGEST
    with calling(closed_door.grpc_port) as stub:
        if code is None:
            told = getattr(stub, method)(asked, timeout=30)
            assert told.live if method == "ServerLive" else told.ready
        else:
            assert refused(lambda: getattr(stub, method)(asked, timeout=30)).code() is code


def test_a_key_without_the_scope_is_refused_and_its_tenant_is_its_own(
    closed_door: Puppet, keys: dict[str, str]
) -> None:
    with calling(closed_door.grpc_port) as stub:
        error = refused(lambda: infer(stub, speech(), authorization=f"Bearer {keys['chat']}"))
        assert error.code() == grpc.StatusCode.PERMISSION_DENIED
        forged = {TENANT_HEADER.replace("-", "_"): "not a name, and not looked at"}
        answer = infer(stub, speech(), authorization=f"Bearer {keys['inference']}", **forged)
        assert media(answer)[:4] == b"RIFF"


def test_every_error_has_a_status() -> None:
    for kind in problems.TABLE:
        found = grpc_door.code_of(kind("It did not work."))
        assert found is not grpc.StatusCode.INTERNAL or kind.code == "internal"


@pytest.mark.parametrize("side", [speech_on_ray, films_on_ray])
def test_an_application_of_ray_serve_refuses_a_port(side: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_PORT", "8081")
    with pytest.raises(Misconfigured, match="GRPC_PORT"):
        side.application({})
