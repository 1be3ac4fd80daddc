"""SIGTERM in mid-speech with XTTS and Bark, tiny and random: what is being said is said to its end.

VITS is in `test_models_on_pytorch.py`.
"""

import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.plugin_site import plugin_path
from tests.puppet_process import until
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

TEXT = "The ship sails at dawn, my friend. Will you come along? There is much to see. " * 2
CLOSING_SECONDS = 30.0
# Each with a voice of its own, and what makes it known to the process where that is not our wheel.
MODELS = {
    "tiny-xtts": ("tiny_xtts", "Ana Florence", "tests.tiny_xtts_plugin:create"),
    "bark": ("tiny_bark", "narrator", None),
}


def refusing(service: ServiceProcess) -> bool:
    """Whether it takes no new connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", service.port)) != 0


@pytest.mark.parametrize("model", MODELS)
def test_what_is_being_said_is_said_to_its_end(model: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    fixture, voice, target = MODELS[model]
    told = {
        "VOCALIZR_MODEL": model,
        "VOCALIZR_WEIGHTS": str(request.getfixturevalue(fixture)),
        "VOCALIZR_SEED": "3",
        "VOCALIZR_THREADS": "1",
        "ACCEPT_MODEL_LICENSES": "CPML",
    }
    if target:
        told["PYTHONPATH"] = plugin_path(tmp_path / "site", "chatacter.speech", model, target)
    asked = {"model": model, "input": TEXT, "voice": voice, "response_format": "pcm"}
    with running("vocalizr", tmp_path, told) as service, httpx.Client(base_url=service.url, timeout=120) as client:
        whole = client.post("/v1/audio/speech", json=asked).raise_for_status().content
        with client.stream("POST", "/v1/audio/speech", json=asked) as answer:
            pieces = answer.iter_bytes()
            heard = [next(pieces)]
            service.process.send_signal(signal.SIGTERM)
            until(lambda: refusing(service))
            assert service.process.poll() is None, "it went before it had finished"
            heard += pieces
        assert b"".join(heard) == whole
        assert len(heard[0]) < len(whole) / 2
        assert service.process.wait(CLOSING_SECONDS) == 0
        assert "Traceback" not in service.written()
