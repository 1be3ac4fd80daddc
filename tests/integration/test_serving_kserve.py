"""KServe's own client at our doors, both protocols; what is closed; what a broken request is told."""

import asyncio
import base64
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from tests.vocalizr_server import Held, vocalizr
from tests.waiting import until
from vocalizr.backends.fake import RATE, FakeSpeech

pytestmark = pytest.mark.integration

ROW = {"input": "Hello there.", "voice": "high", "response_format": "pcm"}
SECONDS = 0.6
ROOT = Path(__file__).parents[2]
V2 = {
    "inputs": [
        {"name": "input", "shape": [2], "datatype": "BYTES", "data": ["Hello there.", "Hi!"]},
        {"name": "voice", "shape": [2], "datatype": "BYTES", "data": ["high", "low"]},
        {"name": "speed", "shape": [2], "datatype": "FP32", "data": [1.0, 2.0]},
        {"name": "response_format", "shape": [2], "datatype": "BYTES", "data": ["pcm", "pcm"]},
    ]
}


def tensor(name: str, datatype: str, value: object, shape: int = 1) -> bytes:
    """A request of one tensor."""
    return json.dumps({"inputs": [{"name": name, "shape": [shape], "datatype": datatype, "data": [value]}]}).encode()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with vocalizr(FakeSpeech()) as found:
        yield found


@pytest.fixture
def kserve() -> Any:
    """The kserve package, imported as the service does."""
    from chatacter.serving import kserve_import  # noqa: F401 - hides the command line from kserve's import

    return __import__("kserve")


@pytest.fixture(params=["v1", "v2"])
async def kserve_client(request: pytest.FixtureRequest, kserve: Any) -> AsyncIterator[Any]:
    config = await asyncio.to_thread(kserve.RESTConfig, protocol=request.param, retries=0, timeout=20)
    found = await asyncio.to_thread(kserve.InferenceRESTClient, config)
    yield found
    await found.close()


async def test_kserves_client_asks_for_health(client: httpx.AsyncClient, kserve_client: Any) -> None:
    url = str(client.base_url).rstrip("/")
    assert await kserve_client.is_model_ready(url, model_name="fake")
    if kserve_client._config.protocol == "v2":
        assert await kserve_client.is_server_live(url)
        assert await kserve_client.is_server_ready(url)


async def test_kserves_client_gets_speech(client: httpx.AsyncClient, kserve: Any, kserve_client: Any) -> None:
    url = str(client.base_url).rstrip("/")
    if kserve_client._config.protocol == "v1":
        answer = await kserve_client.infer(url, model_name="fake", data={"instances": [{**ROW, "timings": True}]})
        (prediction,) = answer["predictions"]
        sound = base64.b64decode(prediction["audio"])
        assert prediction["media_type"] == "audio/pcm"
        assert "".join(phoneme["symbol"] for phoneme in prediction["phonemes"]) == "Hello there."
    else:
        inputs = []
        for name in ("input", "voice", "response_format"):
            tensor = kserve.InferInput(name, [1], "BYTES")
            tensor.set_data_from_numpy(np.array([ROW[name]], dtype=np.object_), binary_data=True)
            inputs.append(tensor)
        asked = kserve.InferRequest(
            model_name="fake", infer_inputs=inputs, parameters={"binary_data_output": True}, request_id="7"
        )
        answer = await kserve_client.infer(url, model_name="fake", data=asked)
        assert answer.id == "7"
        sound = base64.b64decode(answer.get_output_by_name("audio").as_numpy()[0])
    assert len(sound) / 2 / RATE == pytest.approx(SECONDS)


async def test_the_documented_client_runs_as_it_stands(client: httpx.AsyncClient, tmp_path: Path) -> None:
    blocks = (ROOT / "docs" / "api.md").read_text().split("```python\n")[1:]
    (program,) = (block.partition("```")[0] for block in blocks if "InferenceRESTClient" in block)
    here = {"http://localhost:8000": str(client.base_url).rstrip("/"), "kokoro": "fake", "af_heart": "high"}
    for documented, ours in here.items():
        program = program.replace(documented, ours)
    running = await asyncio.create_subprocess_exec(sys.executable, "-W", "ignore", "-c", program, cwd=tmp_path)
    assert await asyncio.wait_for(running.wait(), 60) == 0
    assert (tmp_path / "evening.wav").read_bytes()[:4] == b"RIFF"


async def test_rows_of_tensors_and_chosen_outputs(client: httpx.AsyncClient) -> None:
    asked = {**V2, "outputs": [{"name": "seconds"}, {"name": "media_type"}]}
    answer = (await client.post("/v2/models/fake/infer", json=asked)).json()
    assert [output["name"] for output in answer["outputs"]] == ["seconds", "media_type"]
    assert answer["outputs"][0]["data"] == pytest.approx([SECONDS, 0.075], abs=0.001)
    assert answer["outputs"][1]["data"] == ["audio/pcm", "audio/pcm"]


async def test_what_the_model_is(client: httpx.AsyncClient) -> None:
    metadata = (await client.get("/v2/models/fake")).json()
    assert [tensor["name"] for tensor in metadata["outputs"]] == ["audio", "media_type", "seconds", "phonemes"]
    assert (await client.get("/v2")).json()["name"] == "vocalizr"
    assert (await client.get("/v2/models")).json() == {"models": ["fake"]}
    assert (await client.get("/v2/health/live")).json() == {"live": True}


@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_models_cannot_be_loaded_or_unloaded_from_outside(client: httpx.AsyncClient, verb: str) -> None:
    answer = await client.post(f"/v2/repository/models/fake/{verb}")
    assert answer.status_code == 404
    assert (await client.get("/v2/models/fake/ready")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/fake:predict", b"not json", 422),
        ("/v1/models/fake:predict", b"[1]", 422),
        ("/v1/models/fake:predict", b'{"instances": []}', 422),
        ("/v1/models/fake:predict", b'{"instances": [1]}', 422),
        ("/v1/models/fake:predict", b'{"instances": [{"input": "secret"}]}', 422),
        ("/v1/models/fake:predict", b'{"instances": [{"input": "secret", "voice": "high", "extra": 1}]}', 422),
        ("/v1/models/fake:predict", json.dumps({"instances": [ROW] * 17}).encode(), 422),
        ("/v1/models/fake:predict", json.dumps({"instances": [{**ROW, "voice": "alloy"}]}).encode(), 404),
        ("/v1/models/other:predict", json.dumps({"instances": [ROW]}).encode(), 404),
        ("/v2/models/fake/infer", b"not json", 422),
        ("/v2/models/fake/infer", b'{"inputs": []}', 422),
        ("/v2/models/fake/infer", tensor("secret", "BYTES", ""), 422),
        ("/v2/models/fake/infer", tensor("input", "BYTES", "", shape=9), 422),
        ("/v2/models/fake/infer", tensor("input", "X", ""), 422),
        ("/v2/models/fake/infer", tensor("speed", "FP32", "a"), 422),
        ("/v2/models/fake/infer", json.dumps({**V2, "outputs": [{"name": "secret"}]}).encode(), 422),
        ("/v2/models/other/infer", json.dumps(V2).encode(), 404),
        ("/v2/models/fake/versions/1/infer", json.dumps(V2).encode(), 404),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_and_not_repeated(
    client: httpx.AsyncClient, path: str, body: bytes, status: int
) -> None:
    answer = await client.post(path, content=body)
    assert answer.status_code == status
    assert "secret" not in answer.text
    problem = answer.json()["error"] if path.startswith("/v1") else answer.json()
    assert problem.get("message") or problem["detail"]


@pytest.mark.parametrize("length", ["0", "5", "100000", "x", "-1"])
async def test_a_broken_binary_request_is_refused(client: httpx.AsyncClient, length: str) -> None:
    head = json.dumps(
        {"inputs": [{"name": "input", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}]}
    ).encode()
    answer = await client.post(
        "/v2/models/fake/infer", content=head + b"\xff\xff", headers={"inference-header-content-length": length}
    )
    assert answer.status_code == 422


async def test_a_failed_prediction_tells_nothing() -> None:
    def fail(_: int) -> None:
        raise ValueError("a secret")

    async with vocalizr(FakeSpeech(before=fail)) as client:
        for path, body in (("/v1/models/fake:predict", {"instances": [ROW]}), ("/v2/models/fake/infer", V2)):
            answer = await client.post(path, json=body)
            assert answer.status_code == 500
            assert "secret" not in answer.text


async def test_hanging_up_stops_a_prediction() -> None:
    backend = Held()
    async with vocalizr(backend) as client:
        asking = asyncio.create_task(client.post("/v1/models/fake:predict", json={"instances": [ROW]}))
        await until(lambda: backend.begun == 1)
        asking.cancel()
        await until(backend.cancelled.is_set)
        backend.may.release(100)
        await until(lambda: backend.ended == 1)
        assert backend.chunks == 0


async def test_with_required_keys_every_door_is_closed_but_the_probes() -> None:
    token = SecretStr("the shared secret")
    async with vocalizr(FakeSpeech(), require_api_key=True, service_token=token) as client:
        described = (
            await client.get("/openapi.json", headers={"authorization": f"Bearer {token.get_secret_value()}"})
        ).json()
        doors = [(method, path) for path, methods in described["paths"].items() for method in methods]
        assert len(doors) >= 9
        for method, path in [*doors, ("get", "/metrics"), ("get", "/openapi.json")]:
            address = path.replace("{model_name}", "fake")
            for headers in ({}, {"authorization": "Bearer wrong"}):
                answer = await client.request(method, address, headers=headers, json={})
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
            headers = {"authorization": f"Bearer {token.get_secret_value()}"}
            assert (await client.request(method, address, headers=headers, json={})).status_code not in {401, 403, 500}
        for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/fake/ready"):
            assert (await client.get(path)).status_code == 200


def test_importing_kserve_touches_neither_the_command_line_nor_the_logs() -> None:
    code = (
        "import logging, sys\n"
        "handlers, level, arguments = list(logging.root.handlers), logging.root.level, list(sys.argv)\n"
        "import chatacter.serving.protocol\n"
        "assert sys.argv == arguments, sys.argv\n"
        "assert (logging.root.handlers, logging.root.level) == (handlers, level)\n"
        "assert not logging.getLogger('kserve').handlers\n"
    )
    # kserve's own parser would end the process over a port that is not a number.
    command = [sys.executable, "-W", "error", "-c", code, "--http_port", "not a port", "--model_name", "x"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert logging.getLogger("kserve").propagate
