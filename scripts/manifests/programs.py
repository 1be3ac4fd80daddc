"""Finds the programs that know Kubernetes: those that `scripts/tools` installed, else those on the PATH."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / ".venv" / "tools" / "bin"


class ProgramMissing(Exception):
    """A program is neither among the project's tools nor on the PATH."""


def program(name: str) -> str:
    """Say where a program lies; `make check` and `make test` see to it that it is there."""
    own = OWN / name
    found = str(own) if own.is_file() else shutil.which(name)
    if not found:
        raise ProgramMissing(f"{name} is not here; `make .venv/.tools-installed` puts it into {OWN.relative_to(ROOT)}")
    return found


@cache
def quiet_home() -> tempfile.TemporaryDirectory[str]:
    """Make a folder in place of the user's configuration, caches and plugins; it goes when Python ends."""
    return tempfile.TemporaryDirectory(prefix="chatacter-tools-")


def run(name: str, *arguments: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program without the user's own configuration, and without a cluster."""
    environment = {"PATH": os.defpath, "HOME": quiet_home().name, "TMPDIR": tempfile.gettempdir(), "LANG": "C.UTF-8"}
    command = [program(name), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, input=given, env=environment)
