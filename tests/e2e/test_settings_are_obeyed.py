"""A setting that is accepted and not obeyed is a bug: each one must be read by the running service that has it."""

import base64
import io
import json
import struct
import wave
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from chatacter.chassis.settings import ServiceSettings
from chatacter.supervise.settings import LauncherSettings
from tests.architecture.repository import ROOT
from tests.diffusion_material import tiny_animatediff, tiny_svd
from tests.fake_llm_server import FakeLLMServer
from tests.recorded_settings import CLASSES, fields, recorded
from tests.redis_server import free_port
from tests.service_process import ServiceProcess, running, until_ready
from tests.videos_server import VideosServer, standing
from visualizr.backends.fake import FakeBackend

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
    def running(self, service: str, settings: Mapping[str, str], *, wait: bool = True) -> Iterator[ServiceProcess]:
        into = self.folder / f"seen-{uuid4()}.json"
        environment = {
            "PYTHONPATH": str(ROOT),
            "RECORDED_SERVICE": service,
            "RECORDED_INTO": str(into),
            "SERVICE_TOKEN": TOKEN,
            **settings,
        }
        with running("tests.recorded_settings", self.folder, environment, wait=wait) as process:  # type: ignore[arg-type]
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


def test_vocalizr(recorder: Recorder, tiny_vits: Path) -> None:
    speech = {"model": "fake", "input": "Good evening.", "voice": "fake", "response_format": "pcm"}
    with recorder.running("vocalizr", {"VOCALIZR_MODEL": "fake"}) as there:
        voice = httpx.get(f"{there.url}/v1/audio/voices").raise_for_status().json()["data"][0]["id"]
        remote = {"VOCALIZR_MODEL": "remote", "VOCALIZR_REMOTE_URL": f"{there.url}/v1", "VOCALIZR_REMOTE_MODEL": "fake"}
        with recorder.running("vocalizr", remote) as here:
            body = {**speech, "model": "remote", "voice": voice}
            httpx.post(f"{here.url}/v1/audio/speech", json=body).raise_for_status()
    with recorder.running("vocalizr", {"VOCALIZR_MODEL": "kokoro", "PRELOAD_MODELS": "false"}):
        pass
    on_ray = {"VOCALIZR_MODEL": "fake", "VOCALIZR_ENGINE": "ray", "PRELOAD_MODELS": "false"}
    with recorder.running("vocalizr", on_ray):
        pass
    with recorder.running("vocalizr", {"VOCALIZR_MODEL": "coqui", "VOCALIZR_WEIGHTS": str(tiny_vits)}):
        pass
    assert unread("vocalizr", recorder) == []


def picture() -> str:
    """A grey PNG of 64 by 64 as a data URL."""
    rows = b"".join(b"\x00" + b"\x80" * 64 for _ in range(64))
    head = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def silence() -> str:
    """A tenth of a second of silence as a data URL."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(24000)
        sound.writeframes(bytes(4800))
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()


def test_visualizr(recorder: Recorder, tmp_path: Path) -> None:
    shot = {"image_reference": picture(), "audio_reference": silence()}
    with recorder.running("visualizr", {"VISUALIZR_MODEL": "fake"}) as there:
        remote = {
            "VISUALIZR_MODEL": "remote",
            "VISUALIZR_REMOTE_URL": f"{there.url}/v1",
            "VISUALIZR_REMOTE_MODEL": "fake",
        }
        with recorder.running("visualizr", remote) as here:
            answer = httpx.post(f"{here.url}/v1/video/generations", json={"model": "remote", **shot}, timeout=60)
            assert "video.completed" in answer.text, answer.text
    with standing(VideosServer(FakeBackend())) as url:
        ordered = {"VISUALIZR_MODEL": "remote-videos", "VISUALIZR_REMOTE_URL": f"{url}/v1"}
        with recorder.running("visualizr", ordered) as here:
            order = {"model": "remote-videos", "prompt": "A cat.", "width": 64, "height": 64}
            answer = httpx.post(f"{here.url}/v1/video/generations", json=order, timeout=60)
            assert "video.completed" in answer.text, answer.text
    with recorder.running("visualizr", {"VISUALIZR_MODEL": "portrait", "PRELOAD_MODELS": "false"}):
        pass
    drawn = {"VISUALIZR_MODEL": "svd", "VISUALIZR_WEIGHTS": str(tiny_svd(tmp_path / "svd"))}
    with recorder.running("visualizr", drawn | {"ACCEPT_MODEL_LICENSES": "stable-video-diffusion-community"}):
        pass
    animated = {"VISUALIZR_MODEL": "animatediff", "VISUALIZR_WEIGHTS": str(tiny_animatediff(tmp_path / "animatediff"))}
    with recorder.running("visualizr", animated | {"VISUALIZR_ACCELERATION": "max"}):
        pass
    on_ray = {"VISUALIZR_MODEL": "fake", "VISUALIZR_ENGINE": "ray", "PRELOAD_MODELS": "false"}
    with recorder.running("visualizr", on_ray):
        pass
    assert unread("visualizr", recorder) == []


def test_chattr(recorder: Recorder, redis_url: str, llm_server: FakeLLMServer) -> None:
    chat = {"model": "ada", "messages": [{"role": "user", "content": "Good evening."}], "max_tokens": 4}
    redis = {"RECORDS__URL": redis_url}
    provider = {"MODEL__URL": llm_server.url, "MODEL__NAME": "fake"}
    provider |= {"EMBEDDINGS__URL": llm_server.url, "EMBEDDINGS__NAME": "fake"}
    away = {"VECTOR_DATABASE__URL": f"http://127.0.0.1:{free_port()}", "VECTOR_DATABASE__TIMEOUT": "0.5"}
    other = redis_url.removesuffix("/0") + "/1"
    each_its_own = {f"{section}__URL": other for section in ("SHORT_TERM_MEMORY", "JOBS", "CACHE")}
    with recorder.running("chattr", redis | each_its_own | provider | away) as service:
        httpx.post(f"{service.url}/v1/chat/completions", json=chat, timeout=60).raise_for_status()
    with recorder.running("chattr", redis | {"MODEL__NAME": "smollm2-135m-instruct"}) as service:
        httpx.post(f"{service.url}/v1/chat/completions", json=chat, timeout=120).raise_for_status()
    assert unread("chattr", recorder) == []


def test_the_page(recorder: Recorder) -> None:
    """It keeps nothing, so it has no use for the folder that every service is given."""
    with recorder.running("chattr.ui", {"CHATTR__URL": f"http://127.0.0.1:{free_port()}"}):
        pass
    assert unread("chattr.ui", recorder) == ["chatacter_home"]


def test_the_launcher(recorder: Recorder, redis_url: str) -> None:
    """Of what every service has, it passes everything on; the rest is its own."""
    ports = {f"{name}_PORT": str(free_port()) for name in ("CHATTR", "VOCALIZR", "VISUALIZR")}
    settings = {
        "MODEL__NAME": "smollm2-135m-instruct",
        "VOCALIZR_MODEL": "fake",
        "VISUALIZR_MODEL": "fake",
        "RECORDS__URL": redis_url,
        "ENABLE_LONG_TERM_MEMORY": "false",
    }
    with recorder.running("launcher", settings | ports, wait=False) as launcher:
        for port in ports.values():
            until_ready(replace(launcher, port=int(port)))
    assert sorted(fields(LauncherSettings) - fields(ServiceSettings) - recorder.read) == []
