"""The backend of docs/adding-a-backend.md: its wheel is built, installed and run by the commands that stand there."""

import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
import wave
from collections.abc import Iterator

import httpx
import pytest

from tests.architecture.repository import ROOT
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "adding-a-backend.md").read_text("utf-8")
WHEEL = ROOT / "tests" / "plugins" / "hum"
SPEECH = {"model": "hum", "voice": "hum", "input": "Good evening.", "response_format": "wav"}


def block(language: str, after: str) -> str:
    """The first block of a language after some words of the page."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE[PAGE.index(after) :], re.MULTILINE | re.DOTALL)
    assert found, f"the page has no {language} after {after!r}"
    return found[1]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Vocalizr, started as the page says, with the wheel in a folder of its own in place of the environment."""
    folder = tmp_path_factory.mktemp("hum")
    site = folder / "site"
    wheel, install, run = block("bash", "The whole wheel").splitlines()
    for command, more in ((wheel, []), (install, ["--target", str(site)])):
        words = [str(folder / word) if word.startswith("dist") else word for word in shlex.split(command)]
        assert words[0] == "pip"
        subprocess.run(
            [sys.executable, "-m", *words, *more, "--quiet", "--no-index"], check=True, cwd=ROOT, timeout=120
        )
    setting, *started = shlex.split(run)
    assert started == ["python", "-m", "vocalizr"]
    name, value = setting.split("=")
    with running("vocalizr", folder, {name: value, "PYTHONPATH": str(site)}) as found:
        yield found


def test_the_page_shows_what_the_wheel_holds() -> None:
    assert block("python", "## A speech backend") == (WHEEL / "src" / "chatacter_hum" / "__init__.py").read_text(
        "utf-8"
    )
    shown, whole = (
        tomllib.loads(block("toml", "In its `pyproject.toml`")),
        tomllib.loads((WHEEL / "pyproject.toml").read_text()),
    )
    assert shown["project"]["entry-points"] == whole["project"]["entry-points"]


def test_the_installed_backend_speaks(service: ServiceProcess) -> None:
    answer = httpx.post(f"{service.url}/v1/audio/speech", json=SPEECH)
    assert answer.status_code == 200, answer.text
    with wave.open(io.BytesIO(answer.content)) as sound:
        assert sound.getframerate() == 24_000
        assert len(sound.readframes(10**6)) // 2 >= 0.08 * 24_000 * len("Goodevening.")
    assert httpx.post(f"{service.url}/v1/audio/speech", json={**SPEECH, "speed": 2}).status_code == 422


def test_the_question_that_the_page_shows_is_answered(service: ServiceProcess) -> None:
    words = shlex.split(block("bash", "python -m vocalizr\n"))
    body = json.loads(words[words.index("--json") + 1])
    answer = httpx.post(words[1].replace("http://localhost:8001", service.url), json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
