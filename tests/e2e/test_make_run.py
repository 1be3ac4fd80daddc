"""The main job: a fresh clone, an empty home, `make run`, an unmodified `openai` client; and again without network."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.redis_server import free_port

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]
FIRST_START = 1500.0
LATER_START = 120.0
READY = "Chatacter is ready"
# What a user writes: nothing of ours is imported. Prints what it got as JSON.
CLIENT = """
import json, sys, time
from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="none")
got = {"characters": [model.id for model in client.models.list()]}
who = got["characters"][0]
began = time.monotonic()
text = []
for chunk in client.chat.completions.create(
    model=who, stream=True, messages=[{"role": "user", "content": "Who are you?"}]
):
    if chunk.choices and chunk.choices[0].delta.content:
        got.setdefault("first_text", time.monotonic() - began)
        text.append(chunk.choices[0].delta.content)
got["reply"], got["chunks"] = "".join(text), len(text)
began = time.monotonic()
speech = client.audio.speech.create(model="kokoro", voice=who, input="Good to meet you.", response_format="wav")
got["sound"], got["sound_starts"] = len(speech.content), speech.content[:4].decode("latin-1")
got["sound_seconds"] = time.monotonic() - began
began = time.monotonic()
video = client.videos.create(model="portrait", prompt="Good to meet you.", extra_body={"character": who})
while video.status in ("queued", "in_progress"):
    time.sleep(0.5)
    video = client.videos.retrieve(video.id)
got["video_status"], got["video_seconds"] = video.status, time.monotonic() - began
film = client.videos.download_content(video.id).content
got["video"], got["video_starts"] = len(film), film[:4].hex()
print(json.dumps(got))
"""
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket() as probe:  # a new network namespace begins with its loopback down
    fcntl.ioctl(probe, 0x8914, struct.pack("16sH14s", b"lo", 1, b""))
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Clone:
    """A fresh clone of this repository's HEAD, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self.home = folder / "home"
        self.home.mkdir()
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, self.folder], check=True)
        self.ports = {f"{name}_PORT": str(free_port()) for name in ("CHATTR", "VOCALIZR", "VISUALIZR")}

    @property
    def python(self) -> Path:
        return self.folder / ".venv" / "bin" / "python"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports['CHATTR_PORT']}/v1"

    def environment(self, **changes: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("XDG_DATA_HOME", "VIRTUAL_ENV")}
        return {**kept, "HOME": str(self.home), **self.ports, **changes}

    def leftovers(self) -> list[str]:
        """Command lines of processes that run out of this clone."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(self.home) in words or str(self.folder) in words:
                found.append(words)
        return found


class Run:
    """One `make run`."""

    def __init__(self, clone: Clone, prefix: tuple[str, ...] = (), settings: Mapping[str, str] | None = None) -> None:
        self.clone = clone
        self.began = time.monotonic()
        self.log = clone.home.parent / f"run-{time.time_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, "make", "run"],
                cwd=clone.folder,
                env=clone.environment(**(settings or {})),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def until_ready(self, seconds: float) -> float:
        """Wait for the line that says so; return after how many seconds it came."""
        while READY not in self.said:
            assert self.process.poll() is None, f"make run ended:\n{self.said}"
            assert time.monotonic() - self.began < seconds, f"not ready in {seconds} s:\n{self.said}"
            time.sleep(0.2)
        return time.monotonic() - self.began

    def client(self, prefix: tuple[str, ...] = ()) -> dict[str, object]:
        """Do what a user of the `openai` package does, and return what came."""
        command = [*prefix, str(self.clone.python), "-c", CLIENT, self.clone.api]
        done = subprocess.run(
            command, env=self.clone.environment(), capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{done.stderr}\n{self.said}"
        got: dict[str, object] = json.loads(done.stdout)
        return got

    def stop(self) -> None:
        """Press Ctrl-C: the terminal sends SIGINT to the whole foreground group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(90)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("fresh")
    yield Clone(folder)
    shutil.rmtree(folder, ignore_errors=True)


def came_through(got: dict[str, object]) -> None:
    characters, reply = got["characters"], got["reply"]
    assert isinstance(characters, list)
    assert len(characters) >= 4
    assert isinstance(reply, str)
    assert len(reply.split()) >= 3
    assert isinstance(got["chunks"], int)
    assert got["chunks"] > 1, "the reply did not stream"
    assert got["sound_starts"] == "RIFF"
    assert isinstance(got["sound"], int)
    assert got["sound"] > 24_000, "half a second of sound at 24 kHz, 16 bits"
    assert got["video_status"] == "completed"
    assert got["video_starts"] == "1a45dfa3", "WebM begins so"


@pytest.mark.timeout(2400)
def test_from_nothing_to_a_character_that_speaks_and_appears(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(clone)
    try:
        seconds = run.until_ready(FIRST_START)
        got = run.client()
    finally:
        run.stop()
    report(capsys, f"first make run: ready after {seconds:.0f} s", got)
    came_through(got)
    assert "Traceback" not in run.said
    assert clone.leftovers() == []


@pytest.mark.timeout(900)
def test_again_in_seconds_and_with_the_network_unplugged(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    if not clone.python.exists():
        pytest.skip("the first start did not come so far")
    prefix, settings, how = unplugged()
    run = Run(clone, prefix, settings)
    try:
        seconds = run.until_ready(LATER_START)
        inside = ("nsenter", "--net", "--target", str(run.process.pid)) if prefix else ()
        got = run.client(inside)
    finally:
        run.stop()
    report(capsys, f"second make run, {how}: ready after {seconds:.0f} s", got)
    came_through(got)
    assert "Installing" not in run.said
    assert not re.search(r"\d [kM]B from ", run.said), "nothing is fetched"
    assert clone.leftovers() == []


def unplugged() -> tuple[tuple[str, ...], dict[str, str], str]:
    """How to run without network here: in a namespace of its own where that is permitted, else with dead proxies."""
    prefix = ("unshare", "--net", sys.executable, "-c", LOOPBACK_UP)
    try:
        permitted = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        permitted = False
    if permitted:
        return prefix, {}, "in a network namespace with nothing but loopback"
    dead = "http://127.0.0.1:9"
    names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    settings = {**dict.fromkeys(names, dead), "no_proxy": "127.0.0.1,localhost", "PIP_NO_INDEX": "1"}
    return (), settings, "with every proxy pointing nowhere"


def report(capsys: pytest.CaptureFixture[str], title: str, got: dict[str, object]) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{title}; {json.dumps(got)}\n")
