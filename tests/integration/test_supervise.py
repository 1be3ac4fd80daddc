"""Processes that are started, watched and stopped together: one dies, one will not stop, one is never ready."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import free_port

pytestmark = pytest.mark.integration

# A launcher of tiny services: each argument is `name=python code`; `--` begins the next stage.
LAUNCHER = """
import asyncio, os, sys
from pathlib import Path
from chatacter.supervise.process import Process
from chatacter.supervise.supervisor import Supervisor, say

folder = Path(sys.argv[1])

def process(argument):
    name, _, code = argument.partition("=")

    async def ready():
        return None if (folder / f"{name}.ready").exists() else f"waiting in {name}"

    program = f"from pathlib import Path; here, name = Path({str(folder)!r}), {name!r}\\n" + code
    return Process(name, (sys.executable, "-c", program), dict(os.environ), folder / f"{name}.log", ready)

stages = [[]]
for argument in sys.argv[3:]:
    if argument == "--":
        stages.append([])
    else:
        stages[-1].append(process(argument))

async def when_ready():
    say("all ready")

async def main():
    return await Supervisor(stages, say, grace=float(sys.argv[2]), patience=5.0).run(when_ready)

sys.exit(asyncio.run(main()))
"""
READY = "(here / f'{name}.ready').touch(); "
STAYS = """
import os, signal, time
(here / f"{name}.pid").write_text(str(os.getpid()))
def stop(*_):
    with (here / "order").open("a") as order: order.write(name + " ")
    raise SystemExit
signal.signal(signal.SIGTERM, stop)
(here / f"{name}.ready").touch()
time.sleep(60)
"""
DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(here / f"{name}.pid").write_text(str(os.getpid()))
(here / f"{name}.ready").touch()
time.sleep(60)
"""


PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
(here / f"{name}.pid").write_text(str(child.pid))
(here / f"{name}.ready").touch()
while not (here / "go").exists(): time.sleep(0.01)
os._exit(3)
"""


class Launched:
    """A launcher process and what it has said so far."""

    def __init__(self, folder: Path, *arguments: str, grace: float = 1.0) -> None:
        self.folder = folder
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(folder), str(grace), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until(self, words: str) -> None:
        assert self.process.stdout is not None
        while words not in self.said:
            line = self.process.stdout.readline()
            assert line, f"it ended without saying {words!r}:\n{self.said}"
            self.said += line

    def end(self) -> int:
        rest, _ = self.process.communicate(timeout=30)
        self.said += rest
        return self.process.returncode

    def lives(self, name: str) -> bool:
        """Whether it runs; one that has ended and waits to be collected does not."""
        try:
            told = Path(f"/proc/{(self.folder / f'{name}.pid').read_text()}/stat").read_text()
        except FileNotFoundError:
            return False
        return told.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[list[Launched]]:
    running: list[Launched] = []
    yield running
    for launcher in running:
        if launcher.process.poll() is None:
            launcher.process.send_signal(signal.SIGINT)
        launcher.process.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_the_last_stage_first(launched: list[Launched], tmp_path: Path, number: int) -> None:
    launcher = Launched(tmp_path, f"redis={STAYS}", "--", f"chat={STAYS}")
    launched.append(launcher)
    launcher.until("all ready")
    assert launcher.said.index("redis: ready") < launcher.said.index("chat: ready")
    launcher.process.send_signal(number)
    assert launcher.end() == 0
    assert (tmp_path / "order").read_text().split() == ["chat", "redis"]
    assert not launcher.lives("chat")
    assert not launcher.lives("redis")


def test_one_that_dies_stops_all_and_is_told_with_its_last_lines(launched: list[Launched], tmp_path: Path) -> None:
    dies = (
        f"{READY} print('the disk is on fire', flush=True); import time, sys\n"
        "while not (here / 'chat.ready').exists(): time.sleep(0.01)\n"
        "sys.exit(7)"
    )
    launcher = Launched(tmp_path, f"voice={dies}", f"chat={STAYS}")
    launched.append(launcher)
    assert launcher.end() == 1
    assert "voice ended by itself (exit code 7)" in launcher.said
    assert "the disk is on fire" in launcher.said
    assert str(tmp_path / "voice.log") in launcher.said
    assert not launcher.lives("chat")


def test_what_a_dead_process_had_started_dies_too(launched: list[Launched], tmp_path: Path) -> None:
    launcher = Launched(tmp_path, f"chat={PARENT}")
    launched.append(launcher)
    launcher.until("all ready")
    assert launcher.lives("chat")
    (tmp_path / "go").touch()
    assert launcher.end() == 1
    deadline = time.monotonic() + 10
    while launcher.lives("chat") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not launcher.lives("chat")


def test_one_that_was_killed_hints_at_memory(launched: list[Launched], tmp_path: Path) -> None:
    launcher = Launched(tmp_path, f"chat={STAYS}")
    launched.append(launcher)
    launcher.until("all ready")
    os.kill(int((tmp_path / "chat.pid").read_text()), signal.SIGKILL)
    assert launcher.end() == 1
    assert "chat was killed, perhaps because memory ran out" in launcher.said


def test_one_that_will_not_stop_is_killed_with_a_word(launched: list[Launched], tmp_path: Path) -> None:
    launcher = Launched(tmp_path, f"deaf={DEAF}", f"chat={STAYS}")
    launched.append(launcher)
    launcher.until("all ready")
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.end() == 0
    assert "deaf has not stopped; killing it." in launcher.said
    assert not launcher.lives("deaf")


def test_another_signal_ends_the_grace_but_not_the_echo_of_the_first(launched: list[Launched], tmp_path: Path) -> None:
    launcher = Launched(tmp_path, f"deaf={DEAF}", grace=30.0)
    launched.append(launcher)
    launcher.until("all ready")
    launcher.process.send_signal(signal.SIGINT)
    launcher.until("Stopping")
    launcher.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        launcher.process.wait(1.2)
    began = time.monotonic()
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.end() == 0
    assert "deaf has not stopped; killing it." in launcher.said
    assert time.monotonic() - began < 20


def test_one_that_never_gets_ready_is_given_up(launched: list[Launched], tmp_path: Path) -> None:
    launcher = Launched(tmp_path, f"slow={STAYS.replace('.touch()', '')}")
    launched.append(launcher)
    assert launcher.end() == 1
    assert "slow: waiting in slow…" in launcher.said
    assert "slow was not ready in 5 s (waiting in slow)" in launcher.said
    assert not launcher.lives("slow")


def test_the_log_of_the_run_before_is_kept(launched: list[Launched], tmp_path: Path) -> None:
    (tmp_path / "chat.log").write_text("old words")
    launcher = Launched(tmp_path, f"chat={STAYS}")
    launched.append(launcher)
    launcher.until("all ready")
    assert (tmp_path / "chat.previous.log").read_text() == "old words"


def up(tmp_path: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run the real `chatacter up`, with mistakes that end it before it starts anything."""
    environment = {**os.environ, "CHATACTER_HOME": str(tmp_path / "home"), **settings}
    command = [sys.executable, "-c", "from chatacter.cli import main; main()", "up"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_in_use_is_named_with_the_setting_that_changes_it(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = up(tmp_path, CHATTR_PORT=str(free_port()), VOCALIZR_PORT=str(port), VISUALIZR_PORT=str(free_port()))
    assert done.returncode == 1
    assert f"Vocalizr cannot listen on port {port}" in done.stderr
    assert "VOCALIZR_PORT=" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_launcher_on_the_same_home_is_refused(tmp_path: Path) -> None:
    from chatacter.supervise import preflight

    with preflight.alone(tmp_path / "home"):
        done = up(tmp_path)
    assert done.returncode == 1
    assert f"runs already on {tmp_path / 'home'} (process {os.getpid()})" in done.stderr


def test_a_home_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    done = up(tmp_path)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Set CHATACTER_HOME" in done.stderr


def test_a_wrong_setting_is_a_sentence(tmp_path: Path) -> None:
    done = up(tmp_path, CHATTR_PORT="many")
    assert done.returncode == 2
    assert done.stderr.startswith("CHATTR_PORT: ")


def test_an_unknown_language_model_is_a_sentence(tmp_path: Path) -> None:
    ports = {f"{name}_PORT": str(free_port()) for name in ("CHATTR", "VOCALIZR", "VISUALIZR")}
    done = up(tmp_path, MODEL__NAME="gpt-9", **ports)
    assert done.returncode == 1
    assert "There is no model 'gpt-9'. Known: qwen2.5-coder-0.5b-instruct" in done.stderr
