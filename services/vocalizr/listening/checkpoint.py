"""The tensors of a PyTorch checkpoint, read without PyTorch and without running what is in it.

Before 1.6 such a file was pickles one after the other: a magic number, a version, facts of the machine that wrote it,
the object, the keys of its storages; then each storage as its length and its numbers. Since then it is a ZIP archive
with the object as `data.pkl` and each storage as a file of plain numbers, `data/KEY`. A pickle may name any function to
be called; here only the few names that tensors need mean anything, and every other one is refused. Source: PyTorch,
`torch.serialization._legacy_save` and `_save`.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]
Storages = Mapping[str, NDArray[Any]]

MAGIC: Final = 0x1950A86A20F9469CFC6C
STORAGES: Final[Mapping[str, Any]] = {"FloatStorage": np.float32, "LongStorage": np.int64, "DoubleStorage": np.float64}
FORBIDDEN: Final = "a checkpoint names {module}.{name}, which no tensor needs"
NO_CHECKPOINT: Final = "this is no PyTorch checkpoint"


@dataclass(frozen=True, slots=True)
class View:
    """A tensor as the pickle tells it: a part of a storage, by offset, shape and strides in elements."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def view(storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> View:
    """Stand for `torch._utils._rebuild_tensor_v2`, whose further arguments concern training."""
    return View(storage, offset, shape, strides)


class TensorsOnly(pickle.Unpickler):
    """Knows the names that tensors need and calls nothing else."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.kinds: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name. Raises `UnpicklingError` for all but the few that are known."""
        known: dict[tuple[str, str], type | Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor"): view,
            ("torch._utils", "_rebuild_tensor_v2"): view,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(FORBIDDEN.format(module=module, name=name))

    def persistent_load(self, pid: Any) -> str:
        """Note a storage's kind by its key; its numbers come later in the file."""
        _, kind, key, *_ = pid
        self.kinds[key] = kind
        return str(key)


def tensors(path: Path, entry: str) -> Weights:
    """Return the tensors that stand under an entry of a checkpoint. Raises `UnpicklingError`, `KeyError`."""
    told, storages = zipped(path) if zipfile.is_zipfile(path) else pickled(path)
    return {name: tensor(storages[part.storage], part) for name, part in told[entry].items()}


def zipped(path: Path) -> tuple[Any, Storages]:
    """Read the form since 1.6: the object, and its storages by their keys."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise pickle.UnpicklingError(NO_CHECKPOINT)
        reading = TensorsOnly(io.BytesIO(archive.read(pickles[0])))
        told = reading.load()
        folder = PurePosixPath(pickles[0]).parent / "data"
        numbers = {key: archive.read(str(folder / key)) for key in reading.kinds}
    return told, {key: np.frombuffer(data, dtype=np.dtype(reading.kinds[key])) for key, data in numbers.items()}


def pickled(path: Path) -> tuple[Any, Storages]:
    """Read the form before 1.6: the object, and its storages by their keys."""
    file = io.BytesIO(path.read_bytes())
    if TensorsOnly(file).load() != MAGIC:
        raise pickle.UnpicklingError(NO_CHECKPOINT)
    for _ in range(2):
        TensorsOnly(file).load()
    reading = TensorsOnly(file)
    told = reading.load()
    storages = {}
    for key in TensorsOnly(file).load():
        length = int.from_bytes(file.read(8), "little")
        kind = np.dtype(reading.kinds[key])
        storages[key] = np.frombuffer(file.read(length * kind.itemsize), dtype=kind)
    return told, storages


def tensor(storage: NDArray[Any], part: View) -> NDArray[np.float32]:
    """Copy a tensor out of its storage. Raises `UnpicklingError` when it would reach beyond it."""
    last = part.offset + sum((size - 1) * step for size, step in zip(part.shape, part.strides, strict=True))
    if min((part.offset, *part.strides)) < 0 or last >= storage.size:
        raise pickle.UnpicklingError(NO_CHECKPOINT)
    strides = [step * storage.itemsize for step in part.strides]
    seen = np.lib.stride_tricks.as_strided(storage[part.offset :], part.shape, strides)
    return np.array(seen, dtype=np.float32)
