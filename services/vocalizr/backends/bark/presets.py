"""Bark's speaker prompts: what a voice said before, as three arrays of codes. They lie beside the weights."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.errors import Misconfigured

# The model's own list: a voice's name, and where its three arrays are. Source: the files of suno/bark.
LIST: Final = "speaker_embeddings_path.json"
ELSEWHERE: Final = "repo_or_path"
PARTS: Final[Mapping[str, int]] = {"semantic_prompt": 1, "coarse_prompt": 2, "fine_prompt": 2}
LANGUAGE: Final = re.compile(r"(?:^|/)([a-z]{2})_speaker_")

Prompt = Mapping[str, NDArray[np.int64]]


def listed(folder: Path) -> Mapping[str, Mapping[str, Path]]:
    """Return the files of each voice, by its name: those of the model's list, and each NPZ of three arrays."""
    found: dict[str, Mapping[str, Path]] = {}
    path = folder / LIST
    told: Any = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    for name, parts in told.items():
        if name != ELSEWHERE and set(parts) >= set(PARTS):
            files = {part: folder / str(parts[part]) for part in PARTS}
            if all(inside(folder, file) and file.is_file() for file in files.values()):
                found[name] = files
    for file in sorted(folder.rglob("*.npz")):
        found.setdefault(str(file.relative_to(folder).with_suffix("")), dict.fromkeys(PARTS, file))
    return found


def inside(folder: Path, file: Path) -> bool:
    """Whether a path that the list names stays within the folder. What a hub's links point to is not looked at."""
    return ".." not in file.relative_to(folder).parts if file.is_relative_to(folder) else False


def prompt(files: Mapping[str, Path]) -> Prompt:
    """Read a voice. Raises `Misconfigured` for files that hold none."""
    try:
        arrays = {part: array(path, part) for part, path in files.items()}
    except (OSError, ValueError, KeyError) as error:
        raise Misconfigured(f"{next(iter(files.values()))} is no speaker prompt of Bark.") from error
    for part, dimensions in PARTS.items():
        if arrays[part].ndim != dimensions:
            raise Misconfigured(f"{files[part]}: {part} should have {dimensions} dimensions.")
    return arrays


def array(path: Path, part: str) -> NDArray[np.int64]:
    """Read one array, of an NPY alone or of an NPZ by its name; nothing in it is ever run."""
    content = np.load(path, allow_pickle=False)
    if isinstance(content, np.ndarray):
        return content.astype(np.int64)
    with content as archive:
        return np.asarray(archive[part], dtype=np.int64)


def language_of(name: str) -> str:
    """Return the language of a voice, which stands in its name; English where it does not."""
    found = LANGUAGE.search(name)
    return found[1] if found else "en"
