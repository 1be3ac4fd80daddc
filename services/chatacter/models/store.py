"""Where installed models lie, and how it is known that they are whole."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from chatacter.chassis.errors import Misconfigured
from chatacter.models.lock import Lock, ModelFile

STAMP: Final = ".installed.json"
BLOCK: Final = 1 << 20

State = Literal["ok", "wrong", "missing"]


def hash_of(path: Path, moved: Callable[[int], None] = lambda done: None) -> str:
    """Return a file's SHA-256 in hex; `moved` is told how many bytes have been read."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            moved(done)
    return digest.hexdigest()


class ModelStore:
    """The folder of installed models: `<root>/<model>/<file>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, model: str, name: str) -> Path:
        """Return the path of an installed file. Raises `Misconfigured` with the line that installs it."""
        path = self.place(model, name)
        if not path.is_file():
            raise Misconfigured(f"{model}/{name} is not installed; run `chatacter models install {model}`.")
        return path

    def directory(self, model: str) -> Path:
        """Return the folder of an installed model. Raises `Misconfigured` with the line that installs it."""
        path = self.place(model, "")
        if not path.is_dir():
            raise Misconfigured(f"{model} is not installed; run `chatacter models install {model}`.")
        return path

    def broken(self, model: str) -> Misconfigured:
        """Return the error for an installed model whose files cannot be read."""
        return Misconfigured(
            f"{model} is installed and cannot be read: `chatacter models verify {model}` says which file is, and "
            f"`chatacter models install {model}` then brings it anew."
        )

    def place(self, model: str, name: str) -> Path:
        """Return where a file belongs, installed or not. Raises `Misconfigured` if the name leads out of the store."""
        path = self.root / model / name
        if not Path(os.path.normpath(path)).is_relative_to(Path(os.path.normpath(self.root))):
            raise Misconfigured(f"{model!r} is not a model's name.")
        return path

    def vouched(self, model: str, file: ModelFile) -> bool:
        """Whether the file is still the one whose hash was right when it was installed. Reads no content."""
        stamp = self._stamps(model).get(file.name)
        if stamp is None:
            return False
        try:
            now = self.place(model, file.name).stat()
        except OSError:
            return False
        return stamp == {"sha256": file.sha256, "bytes": now.st_size, "mtime_ns": now.st_mtime_ns}

    def vouch(self, model: str, file: ModelFile) -> None:
        """Write down that the file's hash was right."""
        now = self.place(model, file.name).stat()
        stamp = {"sha256": file.sha256, "bytes": now.st_size, "mtime_ns": now.st_mtime_ns}
        self._write_stamps(model, {**self._stamps(model), file.name: stamp})

    def check(self, model: str, file: ModelFile, moved: Callable[[int], None] = lambda done: None) -> State:
        """Read the whole file and compare its hash. A wrong file loses its stamp, so that `install` replaces it."""
        path = self.place(model, file.name)
        if not path.is_file():
            return "missing"
        if path.stat().st_size == file.bytes and hash_of(path, moved) == file.sha256:
            self.vouch(model, file)
            return "ok"
        self._write_stamps(model, {name: s for name, s in self._stamps(model).items() if name != file.name})
        return "wrong"

    def missing(self, lock: Lock, models: tuple[str, ...]) -> list[tuple[str, ModelFile]]:
        """List the files of these models that nobody vouches for. Raises `NotFound` for an unknown model."""
        return [(name, file) for name in models for file in lock.model(name).files if not self.vouched(name, file)]

    def _stamps(self, model: str) -> dict[str, object]:
        try:
            stamps = json.loads(self.place(model, STAMP).read_bytes())
        except (OSError, ValueError):
            return {}
        return stamps if isinstance(stamps, dict) else {}

    def _write_stamps(self, model: str, stamps: dict[str, object]) -> None:
        path = self.place(model, STAMP)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{STAMP}.new")
        fresh.write_text(json.dumps(stamps, indent=1))
        fresh.replace(path)
