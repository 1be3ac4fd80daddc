"""A plugin that a process of a test's finds by its entry point, without a wheel."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def plugin_path(folder: Path, group: str, name: str, target: str) -> str:
    """Write into `folder` what makes a plugin known; returns the `PYTHONPATH` of a process that finds it."""
    described = folder / f"{name.replace('-', '_')}-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (described / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    return os.pathsep.join([str(folder), str(ROOT)])
