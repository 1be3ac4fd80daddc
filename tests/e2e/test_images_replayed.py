"""The images' steps, done on this machine as inference/Dockerfile writes them, and their processes as a container has
them: nothing but the image's files, a read-only root, no root user. The base image itself is stood in for.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.dockerfile import Dockerfile
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer, free_port
from tests.service_process import ServiceProcess, until_ready

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
FILE = ROOT / "inference" / "Dockerfile"
BUILDING_SECONDS = 900
LONG = pytest.mark.timeout(BUILDING_SECONDS + 300)


class Images:
    """Images by target, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, target: str, settings: dict[str, str], words: tuple[str, ...]) -> list[str]:
        given = [f"{name}={value}" for name, value in settings.items()]
        replay = [sys.executable, "-m", "tests.image_replay", str(FILE), target, str(self.folder), sys.base_prefix]
        return ["unshare", "--mount", *replay, *given, "--", *words]

    def run(self, target: str, *words: str) -> str:
        """Run a command in a container of an image, which is made first where it is not there."""
        run = subprocess.run(
            self.command(target, {}, words),
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=BUILDING_SECONDS,
        )
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
        return run.stdout

    @contextmanager
    def running(self, target: str, settings: dict[str, str], *words: str) -> Iterator[ServiceProcess]:
        """Start the image's process, or another command in it, and wait until it is ready."""
        port = free_port()
        log = self.folder / f"{target}-{port}.log"
        command = self.command(target, {"HOST": "127.0.0.1", "PORT": str(port), **settings}, words)
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        service = ServiceProcess(target, port, process, log)
        try:
            until_ready(service)
            yield service
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, models_home: Path) -> Iterator[Images]:
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("mounting needs root and namespaces")
    folder = tmp_path_factory.mktemp("images")
    cached = folder / "caches" / "chatacter-models" / "models"
    for name in ("all-minilm-l6-v2", "kokoro-82m", "english-g2p", "perth-watermark", "mediapipe-face"):
        shutil.copytree(models_home / name, cached / name)
    yield Images(folder)
    shutil.rmtree(folder)


def healthcheck(service: ServiceProcess, target: str) -> int:
    """Ask for the container's health as the engine does: by its own command, inside."""
    words = Dockerfile(FILE).told(target).healthcheck
    inside = ["nsenter", "--target", str(service.process.pid), "--mount", "--root", f"/opt/venv/bin/{words[0]}"]
    return subprocess.run([*inside, *words[1:]], env={"PORT": str(service.port)}, check=False).returncode


@LONG
def test_chattr_answers_from_its_image(images: Images, redis_server: RedisServer, llm_server: FakeLLMServer) -> None:
    images.run("chattr", "true")
    settings = {
        "MODEL__URL": llm_server.url,
        "MODEL__NAME": "scripted",
        "MEMORY__EXTRACTION": "off",
        "RECORDS__URL": redis_server.url,
        "VECTOR_DATABASE__URL": f"http://127.0.0.1:{free_port()}",
    }
    with images.running("chattr", {**settings, "ENABLE_UI": "false"}) as chattr:
        asked = {"model": "ada", "messages": [{"role": "user", "content": "Who are you?"}]}
        answer = httpx.post(f"{chattr.url}/v1/chat/completions", json=asked, timeout=30)
        assert answer.json()["choices"][0]["message"]["content"]
        assert healthcheck(chattr, "chattr") == 0
        with images.running("chattr", settings, "python", "-m", "chattr.dispatcher") as dispatcher:
            assert dispatcher.stop() == 0
        with images.running("chattr", {"CHATTR__URL": chattr.url}, "python", "-m", "chattr.ui") as page:
            assert "<html" in httpx.get(page.url).text
            assert page.stop() == 0
        assert chattr.stop() == 0
    assert healthcheck_of_nobody(images) != 0


def healthcheck_of_nobody(images: Images) -> int:
    """The health of a container in which nothing listens."""
    words = Dockerfile(FILE).told("chattr").healthcheck
    command = images.command("chattr", {"PORT": str(free_port())}, tuple(words))
    return subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode


@LONG
def test_nothing_of_the_embedded_profile_is_in_it(images: Images) -> None:
    script = "import importlib.util as i; print([n for n in ('xllamacpp', 'qdrant_edge', 'kserve') if i.find_spec(n)])"
    assert images.run("chattr", "python", "-c", script).splitlines()[-1] == "[]"


@LONG
def test_the_container_is_nobody_and_writes_nowhere(images: Images) -> None:
    script = """
import os, pathlib
assert (os.getuid(), os.getgid(), os.getgroups()) == (10001, 10001, [])
for folder in ("/", "/opt/chatacter", "/opt/venv", "/usr", "/etc", "/var/lib"):
    try:
        pathlib.Path(folder, "written").touch()
    except OSError:
        continue
    raise SystemExit(f"{folder} can be written to")
for folder in ("/tmp", "/var/lib/chatacter"):
    pathlib.Path(folder, "written").touch()
"""
    images.run("chattr", "python", "-c", script)


@LONG
def test_a_key_is_made_in_the_volume(images: Images) -> None:
    file = "/var/lib/chatacter/api_keys.json"
    said = images.run("chattr", "chatacter", "keys", "create", "alice", "--file", file)
    assert said.splitlines()[-1].startswith("chat-")


@LONG
def test_vocalizr_speaks_from_its_image(images: Images) -> None:
    images.run("vocalizr", "true")
    with images.running("vocalizr", {}) as vocalizr:
        asked = {"model": "kokoro", "voice": "af_heart", "input": "Good day.", "response_format": "wav"}
        answer = httpx.post(f"{vocalizr.url}/v1/audio/speech", json=asked, timeout=60)
        assert answer.content[:4] == b"RIFF", answer.text
        assert healthcheck(vocalizr, "vocalizr") == 0
        assert vocalizr.stop() == 0


@LONG
def test_visualizr_is_ready_from_its_image(images: Images) -> None:
    images.run("visualizr", "true")
    with images.running("visualizr", {}) as visualizr:
        assert httpx.get(f"{visualizr.url}/v2/models/portrait/ready").status_code == 200
        assert healthcheck(visualizr, "visualizr") == 0
        assert visualizr.stop() == 0
