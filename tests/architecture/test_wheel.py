"""What is installed without a checkout is whole: the wheel holds every file of the services, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, files

pytestmark = pytest.mark.architecture


def test_the_wheel_carries_every_file_of_the_services(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}
    kept = {str(path.relative_to(ROOT / "services")) for path in files(ROOT / "services")}
    assert carried == kept
