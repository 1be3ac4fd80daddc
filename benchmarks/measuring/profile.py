"""The embedded profile as a user starts it, with installed models and data of its own, and what its processes take."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

READY: Final = "Chatacter is ready"
PATIENCE: Final = 300.0
KEPT: Final = ("PATH", "HOME", "LANG", "XDG_DATA_HOME")
NAMES: Final = {"chattr": "Chattr", "vocalizr": "Vocalizr", "visualizr": "Visualizr", "redis-server": "Redis"}


@dataclass(frozen=True, slots=True)
class Memory:
    """What one process takes, in bytes: its own and its share of what it shares, and the most it ever held."""

    name: str
    now: int
    peak: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything, running."""

    url: str
    pid: int
    started: float
    """Seconds from the command to its word that it is ready."""

    def memory(self) -> list[Memory]:
        """What each process takes, the launcher among them."""
        return [memory_of(pid) for pid in (self.pid, *sorted(descendants(self.pid)))]


@contextmanager
def embedded(settings: Mapping[str, str] | None = None) -> Iterator[Profile]:
    """Run `chatacter up` on free ports, with the user's installed models and an empty folder of data."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        (home / "models").symlink_to(installed_models(), target_is_directory=True)
        ports = {f"{name}_PORT": str(free_port()) for name in ("CHATTR", "VOCALIZR", "VISUALIZR")}
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment = {**kept, "CHATACTER_HOME": str(home), **ports, **(settings or {})}
        log = Path(folder) / "up.log"
        began = time.perf_counter()
        command = [Path(sys.executable).with_name("chatacter"), "up"]
        with log.open("wb") as out:
            up = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        try:
            until_ready(up, log, began)
            url = f"http://127.0.0.1:{ports['CHATTR_PORT']}"
            yield Profile(url, up.pid, time.perf_counter() - began)
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(90)


def until_ready(up: "subprocess.Popen[Any]", log: Path, began: float) -> None:
    """Wait for the launcher's word. Raises with what it said when it ends or takes too long."""
    while READY not in log.read_text():
        if up.poll() is not None or time.perf_counter() - began > PATIENCE:
            raise RuntimeError(log.read_text())
        time.sleep(0.02)


def installed_models() -> Path:
    """The folder that `chatacter models install` filled."""
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(os.environ.get("CHATACTER_HOME") or base / "chatacter") / "models"


def free_port() -> int:
    """A port of loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> set[int]:
    """The processes below one, from /proc."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        above = waiting.pop()
        below = {child for child, parent in parents.items() if parent == above} - found
        found |= below
        waiting += below
    return found


def memory_of(pid: int) -> Memory:
    """Read what a process takes. Shared pages count by the share that is its own (PSS)."""
    folder = Path("/proc") / str(pid)
    peak = number((folder / "status").read_text(), "VmHWM:")
    now = number((folder / "smaps_rollup").read_text(), "Pss:")
    words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    return Memory(name_of(words), now * 1024, peak * 1024)


def number(text: str, field: str) -> int:
    """The number behind a field of a file in /proc."""
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(field))


def name_of(words: list[str]) -> str:
    """What people call a process."""
    line = " ".join(words)
    if "llama" in line:
        return "Language model"
    for part, name in NAMES.items():
        if f"-m {part}" in line or part in words[0]:
            return name
    return "Launcher" if "chatacter up" in line else Path(words[0]).name


def size(folder: Path) -> int:
    """The bytes that a folder's files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
