"""Files under one URL, in any file system that fsspec knows: `file://` here, `s3://` and `gs://` by the same code.

A file is written under a temporary name and moved, so that nobody ever reads half of one. Stores of objects have no
folders, and their bucket is the operator's: none is made here. Nothing is remembered of a listing, since another
replica may have written. Every method blocks.
"""

import importlib
import io
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Self
from urllib.parse import quote
from uuid import uuid4

from chatacter.chassis.errors import Misconfigured, NotFound, Unavailable

GONE: Final = "There is no such file, or it was removed."
AWAY: Final = "The store of files that {setting} names does not answer."
UNKNOWN: Final = "{setting}: this kind of store is not known. Use file://, s3:// or gs://."
MISSING: Final = "{setting}: this kind of store needs a package: pip install {package}"
UNWRITABLE: Final = "{setting}: cannot be written to ({reason})."
PACKAGES: Final = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
EXTRAS: Final = {"s3fs": "'chatacter[s3]'", "gcsfs": "'chatacter[gcs]'"}
# What the packages raise beside OSError when a store or its credentials cannot be reached.
FAILURES: Final = {
    "s3fs": ("botocore.exceptions:BotoCoreError",),
    "gcsfs": ("aiohttp:ClientError", "gcsfs.retry:HttpError", "google.auth.exceptions:GoogleAuthError"),
}


# Stores call the time of writing differently.
WRITTEN: Final = ("mtime", "LastModified", "updated", "created")


class FileStore:
    """The files under a URL. `setting` names it in sentences. Paths are relative to the URL."""

    def __init__(self, url: str, setting: str) -> None:
        self._url = url
        self._setting = setting
        self._package = PACKAGES.get(url.partition(":")[0])
        self._opening = threading.Lock()
        self._fs: Any = None
        self._root = ""
        self._failures: tuple[type[Exception], ...] = (OSError,)

    def open(self) -> Self:
        """Connect, once, and prove that it can be written to. Raises `Misconfigured`."""
        with self._opening:
            if self._fs is None:
                self._connect()
        return self

    @property
    def connected(self) -> bool:
        """Whether it was opened."""
        return self._fs is not None

    def _connect(self) -> None:
        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # noqa: PLC0415  # not in every image

            self._failures = (OSError, *failures_of(self._package))
            fs, self._root = url_to_fs(self._url, use_listings_cache=False)
        except ImportError as error:
            wanted = self._package or error.name or "what fsspec asks for"
            package = EXTRAS.get(wanted, wanted)
            raise Misconfigured(MISSING.format(setting=self._setting, package=package)) from error
        except ValueError as error:
            raise Misconfigured(UNKNOWN.format(setting=self._setting)) from error
        probe = f"{self._root}/.writable-{uuid4().hex}"
        try:
            if self._package is None:
                fs.makedirs(self._root, exist_ok=True)
            fs.pipe_file(probe, b"")
            fs.rm_file(probe)
        except self._failures as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Misconfigured(UNWRITABLE.format(setting=self._setting, reason=reason)) from error
        self._fs = fs

    def read(self, path: str) -> bytes:
        """Return a file's bytes. Raises `NotFound`."""
        with self.reached():
            return bytes(self._fs.cat_file(self._at(path)))

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return those of some files that are there, asked for in one go."""
        if not paths:
            return {}
        wanted = {self._at(path).lstrip("/"): path for path in paths}
        with self.reached():
            answered = self._fs.cat([self._at(path) for path in paths], on_error="return")
            found = {}
            for at, answer in answered.items():
                if isinstance(answer, FileNotFoundError):
                    continue
                if isinstance(answer, Exception):
                    raise answer
                found[wanted[at.lstrip("/")]] = bytes(answer)
        return found

    def opened(self, path: str, start: int, block: int) -> Any:
        """Open a file for reading at an offset; closing it is the caller's. Raises `NotFound`."""
        with self.reached():
            file = self._fs.open(self._at(path), "rb", block_size=block)
            file.seek(start)
            return file

    def write(self, path: str, data: bytes) -> None:
        """Write a file whole, in place of one that is there."""
        final = self._at(path)
        temporary = f"{final}.{uuid4().hex}"
        with self.reached():
            if self._package is None:
                self._fs.makedirs(final.rpartition("/")[0], exist_ok=True)
            try:
                with self._fs.open(temporary, "wb") as file:
                    file.write(data)
                    synced(file)
                self._fs.mv(temporary, final)
            except BaseException:
                if self._fs.exists(temporary):
                    self._fs.rm_file(temporary)
                raise

    def names(self, folder: str) -> Sequence[str]:
        """List what lies in a folder, by the last part of its path; nothing where there is no such folder."""
        try:
            with self.reached():
                return sorted(
                    path.rstrip("/").rpartition("/")[2] for path in self._fs.ls(self._at(folder), detail=False)
                )
        except NotFound:
            return ()

    def all(self) -> Iterator[tuple[str, float]]:
        """Yield every file's path, and when it was written, in Unix seconds."""
        with self.reached():
            found: dict[str, dict[str, Any]] = self._fs.find(self._root, detail=True)
        for path, about in found.items():
            if (written := written_at(about)) is not None:
                yield path.removeprefix(self._root).strip("/"), written

    def written(self, path: str) -> float | None:
        """Return when a file was written, in Unix seconds, where the store tells it. Raises `NotFound`."""
        with self.reached():
            return written_at(self._fs.info(self._at(path)))

    def remove(self, path: str) -> None:
        """Remove a file. Raises `NotFound`."""
        with self.reached():
            self._fs.rm_file(self._at(path))

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and all in it, where there is one."""
        try:
            with self.reached():
                if self._fs.isdir(self._at(folder)):
                    self._fs.rm(self._at(folder), recursive=True)
        except NotFound:
            return

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Turn a missing file into `NotFound`, and a store that fails into `Unavailable`."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(GONE, param="id") from error
        except self._failures as error:
            raise Unavailable(AWAY.format(setting=self._setting), retry_after=5) from error

    def _at(self, path: str) -> str:
        if self._fs is None:
            raise RuntimeError("open() comes first")
        return f"{self._root}/{path}"


def written_at(about: Mapping[str, Any]) -> float | None:
    """Read from what a store tells of a file when it was written, in Unix seconds."""
    moment = next((about[name] for name in WRITTEN if about.get(name) is not None), None)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if moment is None:
        return None
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def safe(name: str) -> str:
    """Write a name as one part of a path, different for every name; `..` is not special in it."""
    written = quote(name, safe="@-_.")
    return f"%2E{written[1:]}" if written.startswith(".") else written


def synced(file: Any) -> None:
    """Force a local file to disk; remote ones are there once they are closed."""
    file.flush()
    try:
        descriptor = file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return
    os.fsync(descriptor)


def failures_of(package: str | None) -> list[type[Exception]]:
    """Import the errors that a store's package raises. Raises `ImportError` where it is missing."""
    if package is not None:
        importlib.import_module(package)
    named = [name.split(":") for name in FAILURES.get(package or "", ())]
    return [getattr(importlib.import_module(module), error) for module, error in named]
