"""A setting that is accepted and not obeyed is a bug: each one must be read by the running service that has it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.architecture.repository import ROOT
from tests.recorded_settings import CLASSES, fields, recorded
from tests.service_process import ServiceProcess, running

from chatacter.chassis.settings import ServiceSettings

pytestmark = pytest.mark.e2e

TOKEN = "shared-by-the-three"


class Recorder:
    """Runs services with recorded settings and gathers what they read."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder = folder
        self.read: set[str] = set()
        (folder / "home").mkdir()
        (folder / "home" / "models").symlink_to(models, target_is_directory=True)

    @contextmanager
    def running(self, service: str, settings: Mapping[str, str]) -> Iterator[ServiceProcess]:
        into = self.folder / f"seen-{uuid4()}.json"
        environment = {
            "PYTHONPATH": str(ROOT),
            "RECORDED_SERVICE": service,
            "RECORDED_INTO": str(into),
            "SERVICE_TOKEN": TOKEN,
            **settings,
        }
        with running("tests.recorded_settings", self.folder, environment) as process:  # type: ignore[arg-type]
            yield process
            process.stop()
        self.read |= set(json.loads(into.read_text()))


@pytest.fixture
def recorder(tmp_path: Path, models_home: Path) -> Recorder:
    return Recorder(tmp_path, models_home)


def unread(service: str, recorder: Recorder) -> list[str]:
    return sorted(fields(CLASSES[service]) - recorder.read)


def test_the_recorder_sees_what_is_read_and_nothing_else() -> None:
    class Forgetful(ServiceSettings):
        obeyed: int = 1
        forgotten: int = 2

    seen: set[str] = set()
    settings = recorded(Forgetful(), seen)
    assert isinstance(settings, Forgetful)
    assert settings.obeyed + settings.port == 8001
    assert settings.on_loopback
    assert seen == {"obeyed", "port", "host"}


def test_vocalizr(recorder: Recorder) -> None:
    speech = {"model": "fake", "input": "Good evening.", "voice": "fake", "response_format": "pcm"}
    with recorder.running("vocalizr", {"VOCALIZR_MODEL": "fake"}) as there:
        voice = httpx.get(f"{there.url}/v1/audio/voices").raise_for_status().json()["data"][0]["id"]
        remote = {"VOCALIZR_MODEL": "remote", "VOCALIZR_REMOTE_URL": f"{there.url}/v1", "VOCALIZR_REMOTE_MODEL": "fake"}
        with recorder.running("vocalizr", remote) as here:
            body = {**speech, "model": "remote", "voice": voice}
            httpx.post(f"{here.url}/v1/audio/speech", json=body).raise_for_status()
    with recorder.running("vocalizr", {"VOCALIZR_MODEL": "kokoro", "PRELOAD_MODELS": "false"}):
        pass
    assert unread("vocalizr", recorder) == []
