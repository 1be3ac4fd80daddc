"""KServe's own gRPC client at our port: what it gets, what it is told, and how its calls end."""

import asyncio
import base64
import io
import json
import sys
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from chatacter.chassis import problems
from chatacter.chassis.auth import new_key
from chatacter.chassis.errors import Misconfigured
from chatacter.contracts.whose import TENANT_HEADER
from chatacter.serving import grpc_door
from chatacter.serving.kserve_import import v2_messages
from tests.redis_server import free_port
from tests.served import served
from tests.tone_people import ears
from tests.vocalizr_server import Held, until_answered, until_metric, vocalizr, vocalizr_of
from tests.waiting import until
from visualizr import rayservice as films_on_ray
from vocalizr import rayservice as speech_on_ray
from vocalizr.backends.fake import RATE, FakeSpeech

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
ROW = {"input": "Hello there.", "voice": "high", "response_format": "wav"}
BLEND = {"name": "Middle", "blend": {"high": 1, "low": 1}}
TOKEN = "the shared secret"
BEARER = ("authorization", f"Bearer {TOKEN}")


@pytest.fixture
def kserve() -> Any:
    """The kserve package, imported as the service does."""
    return __import__("kserve")


@pytest.fixture
def asked(kserve: Any) -> Callable[..., Any]:
    """Makes a request of one row, raw or written out."""

    def make(*, raw: bool = True, model: str = "fake", **row: str) -> Any:
        inputs = []
        for name, value in {**ROW, **row}.items():
            tensor = kserve.InferInput(name, [1], "BYTES")
            tensor.set_data_from_numpy(np.array([value], dtype=np.object_), binary_data=raw)
            inputs.append(tensor)
        return kserve.InferRequest(model_name=model, infer_inputs=inputs, request_id="7")

    return make


@asynccontextmanager
async def calling(kserve: Any, port: int) -> AsyncIterator[Any]:
    async with kserve.InferenceGRPCClient(f"127.0.0.1:{port}", timeout=20, retries=0) as client:
        yield client


@asynccontextmanager
async def speaking(kserve: Any, backend: Any = None, **given: Any) -> AsyncIterator[tuple[Any, httpx.AsyncClient]]:
    """A Vocalizr in this loop, and both clients of it."""
    port = free_port()
    async with (
        vocalizr(backend or FakeSpeech(), grpc_port=port, **given) as web,
        calling(kserve, port) as client,
    ):
        yield client, web


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await call
    return told.value


def beside(error: grpc.aio.AioRpcError) -> dict[str, str]:
    return dict(error.trailing_metadata())


def sound_of(answer: Any) -> bytes:
    return base64.b64decode(answer.get_output_by_name("audio").as_numpy()[0])


@pytest.mark.parametrize("raw", [True, False])
async def test_speech_is_that_of_the_rest_door(kserve: Any, asked: Callable[..., Any], raw: bool) -> None:
    async with speaking(kserve) as (client, web):
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("fake")
        answer = await client.infer(asked(raw=raw))
        rest = (await web.post("/v1/models/fake:predict", json={"instances": [ROW]})).json()["predictions"][0]
        assert (answer.id, answer.model_name) == ("7", "fake")
        assert sound_of(answer) == base64.b64decode(rest["audio"])
        assert answer.get_output_by_name("seconds").as_numpy()[0] == pytest.approx(rest["seconds"])
        with wave.open(io.BytesIO(sound_of(answer))) as sound:
            heard = len(sound.readframes(RATE)) / sound.getsampwidth()
            assert heard / sound.getframerate() == pytest.approx(rest["seconds"])


async def test_what_the_server_and_the_model_are(kserve: Any) -> None:
    async with speaking(kserve) as (client, web):
        stub = client._client_stub
        assert (await stub.ServerMetadata(v2_messages.ServerMetadataRequest())).name == "vocalizr"
        told = await stub.ModelMetadata(v2_messages.ModelMetadataRequest(name="fake"))
        rest = (await web.get("/v2/models/fake")).json()
        assert [tensor.name for tensor in told.outputs] == [tensor["name"] for tensor in rest["outputs"]]
        assert [tensor.datatype for tensor in told.inputs] == [tensor["datatype"] for tensor in rest["inputs"]]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"voice": "alloy"}, grpc.StatusCode.NOT_FOUND),
        ({"response_format": "tape"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"speed": "secret"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"model": "other"}, grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_what_is_wrong_is_said_as_by_rest(
    kserve: Any, asked: Callable[..., Any], row: dict[str, str], code: grpc.StatusCode
) -> None:
    async with speaking(kserve) as (client, web):
        error = await refused(client.infer(asked(**row)))
        given = {"model": "fake", **ROW, **row}
        model = given.pop("model")
        inputs = [{"name": n, "shape": [1], "datatype": "BYTES", "data": [v]} for n, v in given.items()]
        rest = (await web.post(f"/v2/models/{model}/infer", json={"inputs": inputs})).json()
        assert (error.code(), error.details()) == (code, rest["detail"])
        assert "secret" not in error.details()


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
async def test_a_broken_request_is_refused(kserve: Any, broken: dict[str, Any]) -> None:
    async with speaking(kserve) as (client, _):
        request = v2_messages.ModelInferRequest(model_name="fake", **broken)
        error = await refused(client._client_stub.ModelInfer(request))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_models_have_no_versions_and_are_not_loaded_from_outside(kserve: Any) -> None:
    async with speaking(kserve) as (client, _):
        stub = client._client_stub
        error = await refused(stub.ModelReady(v2_messages.ModelReadyRequest(name="fake", version="2")))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        for call in (
            stub.RepositoryModelLoad(v2_messages.RepositoryModelLoadRequest(model_name="fake")),
            stub.RepositoryModelUnload(v2_messages.RepositoryModelUnloadRequest(model_name="fake")),
        ):
            assert (await refused(call)).code() == grpc.StatusCode.UNIMPLEMENTED
        assert await client.is_model_ready("fake")


async def test_without_the_token_only_the_probes_are_open(kserve: Any, asked: Callable[..., Any]) -> None:
    async with speaking(kserve, require_api_key=True, service_token=SecretStr(TOKEN)) as (client, _):
        stub = client._client_stub
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("fake")
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            for call in (
                client.infer(asked(), headers=metadata),
                stub.ServerMetadata(v2_messages.ServerMetadataRequest(), metadata=metadata),
                stub.ModelMetadata(v2_messages.ModelMetadataRequest(name="fake"), metadata=metadata),
            ):
                assert (await refused(call)).code() == grpc.StatusCode.UNAUTHENTICATED
        assert sound_of(await client.infer(asked(), headers=(BEARER,)))[:4] == b"RIFF"


async def test_a_row_may_name_a_voice_of_the_tenants_own(
    kserve: Any, asked: Callable[..., Any], tmp_path: Path
) -> None:
    tenant = (TENANT_HEADER, "acme")
    async with speaking(kserve, ears=ears(), vocalizr_voices_url=tmp_path.as_uri()) as (client, web):
        voice = (await web.post("/v1/audio/voices", json=BLEND, headers=dict([tenant]))).json()["id"]
        assert sound_of(await client.infer(asked(voice=voice), headers=(tenant,)))[:4] == b"RIFF"
        for headers in (((TENANT_HEADER, "evil"),), ()):
            error = await refused(client.infer(asked(voice=voice), headers=headers))
            assert error.code() == grpc.StatusCode.NOT_FOUND
        error = await refused(client.infer(asked(), headers=((TENANT_HEADER, "not a name"),)))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert TENANT_HEADER in error.details()


async def test_a_key_without_the_scope_is_refused_and_its_tenant_is_its_own(
    kserve: Any, asked: Callable[..., Any], tmp_path: Path
) -> None:
    chatting, chat_key = new_key("ann", "acme", ["chat"])
    asking, inference_key = new_key("bob", "acme", ["inference"])
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([key.model_dump(mode="json") for key in (chat_key, inference_key)]))
    async with speaking(kserve, require_api_key=True, api_keys_file=keys) as (client, _):
        error = await refused(client.infer(asked(), headers=(("authorization", f"Bearer {chatting}"),)))
        assert error.code() == grpc.StatusCode.PERMISSION_DENIED
        forged = (("authorization", f"Bearer {asking}"), (TENANT_HEADER, "not a name, and not looked at"))
        assert sound_of(await client.infer(asked(), headers=forged))[:4] == b"RIFF"


@asynccontextmanager
async def held(kserve: Any, grace: float) -> AsyncIterator[tuple[Held, Any, Any]]:
    """A Vocalizr whose model waits, a client of it, and its application."""
    backend, port = Held(), free_port()
    app = await asyncio.to_thread(vocalizr_of, backend, grpc_port=port, shutdown_grace=grace)
    async with served(app) as url, calling(kserve, port) as client, httpx.AsyncClient(base_url=url) as web:
        await until_answered(web, "/readyz", "200")
        yield backend, client, app
        backend.may.release(100)
    assert (backend.ended, backend.closed) == (1, 1)


async def test_once_the_end_begins_calls_come_to_theirs_and_no_new_ones_are_taken(
    kserve: Any, asked: Callable[..., Any]
) -> None:
    async with held(kserve, 20) as (backend, client, app):
        call = asyncio.create_task(client.infer(asked()))
        await until(lambda: backend.begun == 1)
        app.state.drain.begin()
        await asyncio.sleep(0)
        for new in (client.infer(asked()), client.is_server_ready()):
            assert (await refused(new)).code() == grpc.StatusCode.UNAVAILABLE
        assert backend.begun == 1
        backend.may.release(100)
        assert sound_of(await call)[:4] == b"RIFF"


async def test_a_call_that_takes_longer_than_the_grace_is_cut(kserve: Any, asked: Callable[..., Any]) -> None:
    async with held(kserve, 0.2) as (backend, client, app):
        call = asyncio.create_task(refused(client.infer(asked())))
        await until(lambda: backend.begun == 1)
        app.state.drain.begin()
        await until(backend.cancelled.is_set)
        assert (await call).code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
        assert backend.closed == 0


async def test_whoever_finds_no_place_is_told_when_to_come_back(kserve: Any, asked: Callable[..., Any]) -> None:
    backend = Held()
    async with speaking(kserve, backend, vocalizr_queue=0) as (client, _):
        first = asyncio.create_task(client.infer(asked()))
        await until(lambda: backend.begun == 1)
        error = await refused(client.infer(asked()))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(beside(error)["retry-after"]) >= 1
        backend.may.release(100)
        assert sound_of(await first)[:4] == b"RIFF"


async def test_a_cancelled_call_frees_its_place(kserve: Any, asked: Callable[..., Any]) -> None:
    backend = Held()
    async with speaking(kserve, backend, vocalizr_queue=0) as (client, web):
        call = asyncio.create_task(client.infer(asked()))
        await until(lambda: backend.begun == 1)
        call.cancel()
        await until(backend.cancelled.is_set)
        backend.may.release(100)
        await until(lambda: backend.ended == 1)
        assert backend.chunks == 0
        await until_metric(web, "chatacter_inference_running", 0)
        assert sound_of(await client.infer(asked()))[:4] == b"RIFF"


async def test_a_call_ends_after_the_time_that_an_answer_may_take(kserve: Any, asked: Callable[..., Any]) -> None:
    backend = Held()
    async with speaking(kserve, backend, request_timeout=0.3) as (client, _):
        waiting = asyncio.create_task(refused(client.infer(asked())))
        await until(lambda: backend.begun == 1)
        await until(backend.cancelled.is_set)
        backend.may.release(100)
        error = await waiting
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "REQUEST_TIMEOUT" in error.details()


async def test_a_request_is_as_large_as_a_body_may_be_and_an_answer_larger(
    kserve: Any, asked: Callable[..., Any]
) -> None:
    async with speaking(kserve, max_request_bytes=1024) as (client, _):
        assert len(sound_of(await client.infer(asked()))) > 20_000
        error = await refused(client.infer(asked(input="Hello there. " * 100)))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "1024" in error.details()


async def test_while_a_model_loads_it_is_not_ready(kserve: Any, asked: Callable[..., Any]) -> None:
    loading = Held()
    loading.load = lambda: loading.may.acquire(timeout=10)  # type: ignore[assignment, method-assign]
    port = free_port()
    async with vocalizr(loading, ready=False, grpc_port=port) as web, calling(kserve, port) as client:
        await until_answered(web, "/livez", "200")
        assert await client.is_server_live()
        assert not await client.is_server_ready()
        assert not await client.is_model_ready("fake")
        error = await refused(client.infer(asked()))
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert beside(error)["retry-after"] == "5"
        loading.may.release(100)
        await until_ready(client)


async def until_ready(client: Any) -> None:
    async with asyncio.timeout(10):
        while not await client.is_server_ready():
            await asyncio.sleep(0.01)


async def test_a_failed_prediction_tells_nothing(kserve: Any, asked: Callable[..., Any]) -> None:
    def fail(_: int) -> None:
        raise ValueError("a secret")

    async with speaking(kserve, FakeSpeech(before=fail)) as (client, _):
        error = await refused(client.infer(asked()))
        assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, problems.INTERNAL)
        assert len(beside(error)["trace-id"]) == 32


async def test_sound_is_marked_as_made_by_a_machine(kserve: Any, asked: Callable[..., Any]) -> None:
    async with speaking(kserve) as (client, _):
        call = client._client_stub.ModelInfer(asked().to_grpc())
        await call
        assert "trainedAlgorithmicMedia" in dict(await call.initial_metadata())["x-digital-source-type"]


async def test_the_documented_client_runs_as_it_stands(kserve: Any, tmp_path: Path) -> None:
    blocks = (ROOT / "docs" / "api.md").read_text().split("```python\n")[1:]
    (program,) = (block.partition("```")[0] for block in blocks if "InferenceGRPCClient" in block)
    port = free_port()
    async with vocalizr(FakeSpeech(), grpc_port=port):
        for documented, ours in {"localhost:8081": f"localhost:{port}", "kokoro": "fake", "af_heart": "high"}.items():
            assert documented in program
            program = program.replace(documented, ours)
        command = (sys.executable, "-W", "ignore", "-c", program)
        client = await asyncio.create_subprocess_exec(*command, cwd=tmp_path)
        assert await asyncio.wait_for(client.wait(), 60) == 0
    assert (tmp_path / "evening.wav").read_bytes()[:4] == b"RIFF"


def test_every_error_has_a_status() -> None:
    for kind in problems.TABLE:
        found = grpc_door.code_of(kind("It did not work."))
        assert found is not grpc.StatusCode.INTERNAL or kind.code == "internal"


@pytest.mark.parametrize("side", [speech_on_ray, films_on_ray])
def test_an_application_of_ray_serve_refuses_a_port(side: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_PORT", "8081")
    with pytest.raises(Misconfigured, match="GRPC_PORT"):
        side.application({})
