"""Visualizr with a gRPC port: a film as by REST, the token of the services, a port that is taken."""

import base64
import io
import socket
from pathlib import Path

import av
import grpc
import httpx
import pytest

from tests.grpc_caller import calling, infer, media, output, refused, request
from tests.redis_server import free_port
from tests.service_process import running

pytestmark = pytest.mark.integration

TOKEN = "shared-by-the-three"
BEARER = f"Bearer {TOKEN}"
ROW = {"prompt": "A cat."}
SETTINGS = {"VISUALIZR_MODEL": "fake", "REQUIRE_API_KEY": "true", "SERVICE_TOKEN": TOKEN}


def shown(film: bytes) -> list[bytes]:
    """The frames of a film; its file carries a number of its own."""
    with av.open(io.BytesIO(film)) as container:
        frames = [frame.to_ndarray().tobytes() for frame in container.decode(0)]
    assert frames
    return frames


def test_a_film_is_that_of_the_rest_door(tmp_path: Path) -> None:
    port = free_port()
    with running("visualizr", tmp_path, {**SETTINGS, "GRPC_PORT": str(port)}) as visualizr, calling(port) as stub:
        answer = infer(stub, request(ROW, model="fake"), authorization=BEARER)
        rest = httpx.post(
            f"{visualizr.url}/v1/models/fake:predict",
            json={"instances": [ROW]},
            headers={"authorization": BEARER},
            timeout=60,
        )
        (wanted,) = rest.raise_for_status().json()["predictions"]
        assert output(answer, "media_type").decode() == wanted["media_type"]
        assert shown(media(answer, "video")) == shown(base64.b64decode(wanted["video"]))
        error = refused(lambda: infer(stub, request(ROW, model="fake")))
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        assert visualizr.stop() == 0
        assert "Traceback" not in visualizr.written()


def test_a_taken_port_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(RuntimeError, match=f"GRPC_PORT: 127.0.0.1:{port}"),
            running("visualizr", tmp_path, {**SETTINGS, "GRPC_PORT": str(port)}),
        ):
            pass
