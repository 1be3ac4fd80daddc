"""The lock of models, what progress looks like, and the commands that need neither network nor weights."""

import io
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from chatacter.chassis.auth import digest, read_keys
from chatacter.models.lock import Lock, Piece, Source
from chatacter.models.progress import Progress, amount

pytestmark = pytest.mark.unit


def test_every_file_has_a_pinned_source_and_a_package_or_publisher() -> None:
    lock = Lock.read()
    for name, model in lock.models.items():
        for file in model.files:
            for source in file.sources:
                assert source.url is None or source.url.startswith("https://"), (name, file.name)
    assert len([f for f in lock.model("kokoro-82m").files if f.name.startswith("voices/")]) == 54


def test_the_profiles_add_up() -> None:
    lock = Lock.read()
    parts = (lock.profile(name) for name in ("text", "voice", "video"))
    assert {model for part in parts for model in part} == set(lock.profile("embedded"))
    assert set(lock.profile("embedded")) <= set(lock.profile("tests"))


def test_a_lock_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValidationError, match="exactly one of pypi, npm, npz"):
        Piece.model_validate({"member": "x"})
    with pytest.raises(ValidationError, match="exactly one of url, parts"):
        Source.model_validate({})
    with pytest.raises(ValidationError, match="every part but the last needs bytes"):
        Source.model_validate({"parts": [{"pypi": "a==1", "member": "x"}, {"pypi": "b==1", "member": "x"}]})
    with pytest.raises(ValidationError, match="unknown models in profiles: ghost"):
        Lock.model_validate({"profiles": {"p": ["ghost"]}, "models": {}})


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_a_plain_line_now_and_then() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    progress.start("file", 10_000_000)
    for _ in range(11):
        clock.now += 1
        progress.moved(int(clock.now) * 1_000_000)
    assert stream.getvalue() == "  file: 5.0 MB of 10 MB, 1.0 MB/s\n  file: 10 MB of 10 MB, 1.0 MB/s\n"


def test_progress_on_a_terminal_is_one_line_that_moves() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(stream, clock)
    progress.start("file", 2000)
    clock.now = 1
    progress.moved(1000)
    progress.say("done")
    assert stream.getvalue() == "  file: 1.0 kB of 2.0 kB, 1.0 kB/s\r\x1b[Kdone\n"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1155, "1.2 kB"), (2_800_000, "2.8 MB"), (1_117_320_768, "1.12 GB")],
)
def test_amounts_are_written_for_people(count: int, words: str) -> None:
    assert amount(count) == words


def chatacter(*arguments: str, home: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from chatacter.cli import main; main()", *arguments]
    return subprocess.run(
        command, env={"CHATACTER_HOME": str(home)}, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_model_that_is_not_installed_says_its_install_line(tmp_path: Path) -> None:
    done = chatacter("models", "path", "kokoro-82m", home=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "kokoro-82m is not installed; run `chatacter models install kokoro-82m`.\n"
    assert chatacter("models", "path", "nix", home=tmp_path).stderr.startswith("There is no model 'nix'. Known: ")
    assert "embedded" in chatacter("models", "install", "--profile", "nix", home=tmp_path).stderr


def test_the_list_says_what_is_installed_its_size_and_licence(tmp_path: Path) -> None:
    listed = chatacter("models", "list", home=tmp_path).stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(Lock.read().models)
    assert "whisper-base                  -            148 MB  MIT" in listed


def test_a_key_is_shown_once_and_stored_as_a_hash(tmp_path: Path) -> None:
    made = chatacter("keys", "create", "ada", "--scopes", "chat,speech", home=tmp_path)
    assert made.returncode == 0, made.stderr
    chatacter("keys", "create", "bob", home=tmp_path)
    path = tmp_path / "api_keys.json"
    ada, bob = read_keys(path)
    assert ada.sha256 == digest(made.stdout.strip())
    assert ada.scopes == {"chat", "speech"}
    assert "inside" not in bob.scopes
    assert made.stdout.strip() not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())[0]["scopes"] == ["chat", "speech"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ada",), "has a key called 'ada'"),
        (("b b",), "is not a name"),
        (("b", "--scopes", "chat,fly"), "Unknown scopes: fly. Known: chat, "),
    ],
)
def test_a_wrong_key_is_a_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    chatacter("keys", "create", "ada", home=tmp_path)
    done = chatacter("keys", "create", *arguments, home=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(read_keys(tmp_path / "api_keys.json")) == 1
