"""ONNX Runtime reports its use, and writes an id of the machine into the home, unless it is forbidden at its import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


def test_nothing_is_written_for_a_report(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import vocalizr.backends.kokoro.model"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    subprocess.run(command, env=environment, check=True)
    assert not (tmp_path / "home").exists()
