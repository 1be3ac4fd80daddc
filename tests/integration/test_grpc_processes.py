"""Predictors with a gRPC port as real processes: speech and film as by REST, the same token, SIGTERM, a taken port."""

import asyncio
import base64
import io
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import av
import grpc
import httpx
import numpy as np
import pytest

from chatacter.serving import kserve_import  # noqa: F401 - hides the command line from kserve's import
from tests.redis_server import free_port
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

TOKEN = "shared-by-the-three"
KEY = {"authorization": f"Bearer {TOKEN}"}
PREDICTORS = {
    "vocalizr": {"input": "Hello there.", "voice": "high", "response_format": "wav"},
    "visualizr": {"prompt": "A cat."},
}
MADE = {"vocalizr": "audio", "visualizr": "video"}


def request(row: Mapping[str, str]) -> Any:
    kserve: Any = __import__("kserve")
    inputs = []
    for name, value in row.items():
        tensor = kserve.InferInput(name, [1], "BYTES")
        tensor.set_data_from_numpy(np.array([value], dtype=np.object_), binary_data=True)
        inputs.append(tensor)
    return kserve.InferRequest(model_name="fake", infer_inputs=inputs)


def shown(media: bytes) -> list[bytes]:
    """The frames of a sound or film; a film's file carries a number of its own."""
    with av.open(io.BytesIO(media)) as container:
        frames = [frame.to_ndarray().tobytes() for frame in container.decode(0)]
    assert frames
    return frames


@asynccontextmanager
async def started(
    module: Literal["vocalizr", "visualizr"], folder: Path, **settings: str
) -> AsyncIterator[tuple[ServiceProcess, Any]]:
    """A process with the fake model and a token, and KServe's client of it."""
    kserve: Any = __import__("kserve")
    port = free_port()
    told = {
        f"{module.upper()}_MODEL": "fake",
        "GRPC_PORT": str(port),
        "REQUIRE_API_KEY": "true",
        "SERVICE_TOKEN": TOKEN,
        **settings,
    }
    entering = running(module, folder, told)
    process = await asyncio.to_thread(entering.__enter__)
    try:
        async with kserve.InferenceGRPCClient(f"127.0.0.1:{port}", timeout=60, retries=0) as client:
            yield process, client
    finally:
        await asyncio.to_thread(entering.__exit__, None, None, None)


@pytest.mark.parametrize("module", PREDICTORS)
async def test_what_is_made_is_what_rest_makes(module: Any, tmp_path: Path) -> None:
    row = PREDICTORS[module]
    async with started(module, tmp_path) as (process, client):
        assert await client.is_server_ready()
        async with httpx.AsyncClient(headers=KEY, timeout=60) as web:
            rest = await web.post(f"{process.url}/v1/models/fake:predict", json={"instances": [row]})
        (wanted,) = rest.raise_for_status().json()["predictions"]
        answer = await client.infer(request(row), headers=tuple(KEY.items()))
        media_type = answer.get_output_by_name("media_type").as_numpy()[0].decode()
        made = base64.b64decode(answer.get_output_by_name(MADE[module]).as_numpy()[0])
        assert media_type == wanted["media_type"]
        if module == "vocalizr":
            assert made == base64.b64decode(wanted["audio"])
        assert shown(made) == shown(base64.b64decode(wanted[MADE[module]]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.infer(request(row))
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert await asyncio.to_thread(process.stop) == 0
        assert "Traceback" not in process.written()


async def test_a_taken_port_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"GRPC_PORT: 127.0.0.1:{port}"):
            async with started("vocalizr", tmp_path, GRPC_PORT=str(port)):
                pass
