"""Who may import whom, and that importing alone does nothing. The contracts stand in `pyproject.toml`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, sources

pytestmark = pytest.mark.architecture

ALLOWED = {
    "torch": ("/backends/",),
    "TTS": ("/backends/",),
    "diffusers": ("/backends/",),
    "transformers": ("/backends/",),
    "onnxruntime": ("/backends/",),
    "cv2": ("visualizr/",),
    "resvg_py": ("/backends/",),
    "safetensors": ("/backends/", "chattr/adapters/minilm"),
    "tokenizers": ("/backends/", "chattr/adapters/minilm"),
    "kserve": ("chatacter/serving/",),
    "ray": ("chatacter/serving/",),
    "openai": ("chattr/adapters/",),
    "redis": ("chattr/adapters/", "chattr/bootstrap/"),
    "qdrant_client": ("chattr/adapters/",),
    "qdrant_edge": ("chattr/adapters/",),
    "xllamacpp": ("chattr/adapters/",),
    "fsspec": ("chatacter/filestore.py",),
    "gradio": ("chattr/ui/",),
}
# What a fresh interpreter that imported everything must not have loaded: backends and engines (`serving.on_ray` is one)
# come with `load()`.
LATE = ("torch", "transformers", "diffusers", "onnxruntime", "xllamacpp", "gradio", "ray")
IMPORT_ALL = """
import importlib, json, pkgutil, sys, threading
late = (".backends.", ".ui", ".on_ray")
for package in ("chatacter", "chattr", "vocalizr", "visualizr"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not module.name.endswith("__main__") and not any(part in module.name for part in late):
            importlib.import_module(module.name)
late = [name for name in json.loads(sys.argv[1]) if name in sys.modules]
print(json.dumps({"late": late, "threads": [thread.name for thread in threading.enumerate()]}))
"""


def test_the_import_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([program, "--no-cache"], check=False, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_heavy_packages_are_imported_in_their_places_only() -> None:
    strays = []
    for source in sources("services"):
        for name in source.imported():
            places = ALLOWED.get(name.partition(".")[0])
            if places and not any(place in source.name for place in places):
                strays.append(f"{source} imports {name}")
    assert not strays, "\n".join(strays)


def test_importing_loads_no_engine_and_starts_no_thread(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, json.dumps(LATE)]
    run = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen == {"late": [], "threads": ["MainThread"]}
    assert list(tmp_path.iterdir()) == []
