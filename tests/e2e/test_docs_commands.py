"""What the documentation tells people to run, run as it stands: blocks marked `run`, against the embedded profile.

Only the address and the folder of programs are replaced, since tests share the machine.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT
from tests.redis_server import free_port
from tests.service_process import ServiceProcess, until_ready

pytestmark = pytest.mark.e2e

PAGES = ("README.md", "docs/quick-start.md", "docs/api.md")
BLOCK = re.compile(r"^```(bash|python) run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BASE = "http://localhost:8000"
PROGRAMS = Path(sys.executable).parent
# curl ends well when the server refuses; what it prints tells.
REFUSED = re.compile(r'"error": ?\{|urn:chatacter:problem')


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    page: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"

    def command(self, url: str) -> list[str]:
        text = self.text.replace(BASE, url).replace(".venv/bin/", f"{PROGRAMS}/")
        return ["bash", "-euo", "pipefail", "-c", text] if self.language == "bash" else [sys.executable, "-c", text]


def blocks() -> list[Block]:
    return [
        Block(page, number, language, text)
        for page in PAGES
        for number, (language, text) in enumerate(BLOCK.findall((ROOT / page).read_text("utf-8")), 1)
    ]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, models_home: Path) -> Iterator[ServiceProcess]:
    """`chatacter up`, with the installed models and data of its own."""
    folder = tmp_path_factory.mktemp("documented")
    home = folder / "home"
    home.mkdir()
    (home / "models").symlink_to(models_home, target_is_directory=True)
    ports = {name: free_port() for name in ("CHATTR", "VOCALIZR", "VISUALIZR")}
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "CHATACTER_HOME": str(home),
        **{f"{name}_PORT": str(port) for name, port in ports.items()},
    }
    log = folder / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [PROGRAMS / "chatacter", "up"], env=environment, cwd=folder, stdout=out, stderr=subprocess.STDOUT
        )
    service = ServiceProcess("chattr", ports["CHATTR"], process, log)
    try:
        until_ready(service)
        yield service
    finally:
        service.stop(60)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_block_runs(block: Block, everything: ServiceProcess) -> None:
    done = subprocess.run(
        block.command(everything.url),
        env={**os.environ, "CHATACTER_URL": everything.url},
        cwd=everything.log.parent,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not REFUSED.search(done.stdout), done.stdout


def test_every_page_has_blocks_that_run() -> None:
    assert {block.page for block in blocks()} == set(PAGES)


@pytest.mark.timeout(300)
def test_what_was_run_left_what_it_promised(everything: ServiceProcess) -> None:
    """The blocks above wrote these files. Run alone, it writes them first."""
    folder = everything.log.parent
    begins = {"hello.mp3": b"ID3", "hello.webm": b"\x1a\x45\xdf\xa3", "wing.wav": b"RIFF", "water.wav": b"RIFF"}
    for block in blocks():
        if any(name in block.text and not (folder / name).exists() for name in (*begins, "prediction.json")):
            test_a_block_runs(block, everything)
    for name, head in begins.items():
        assert (folder / name).read_bytes().startswith(head), name
    assert json.loads((folder / "prediction.json").read_text())["predictions"][0]["media_type"] == "audio/wav"
