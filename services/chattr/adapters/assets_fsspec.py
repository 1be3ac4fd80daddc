"""Assets in any file system that fsspec knows: `file://` here, `s3://` and `gs://` by the same code.

An asset is two files, each written under a temporary name and moved: its bytes, named by their hash, then its
description, which names them. What no description names is not there. All of it runs in threads.

Stores of objects have no folders, and their bucket is the operator's: none is made here. Nothing is remembered of a
listing, since another replica may have written.
"""

import asyncio
import hashlib
import importlib
import io
import os
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote, unquote
from uuid import uuid4

import orjson
from fsspec.core import url_to_fs  # type: ignore[import-untyped]

from chatacter.chassis.errors import InvalidInput, Misconfigured, NotFound, Unavailable
from chattr.domain.identity import Owner
from chattr.ports.assets import Asset

T = TypeVar("T")

SCHEMA: Final = 1
ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
DESCRIPTION: Final = "asset.json"
TEMPORARY: Final = re.compile(r"\.[0-9a-f]{32}$")
WRITTEN: Final = ("mtime", "LastModified", "updated", "created")
CHUNK: Final = 256 * 1024
BAD_ID: Final = "An asset's id is 1 to 128 letters, digits, `_` or `-`."
GONE: Final = "There is no such file, or it was removed."
AWAY: Final = "The store of media files does not answer."
UNKNOWN: Final = "ASSETS_URL: this kind of store is not known. Use file://, s3:// or gs://."
MISSING: Final = "ASSETS_URL: this kind of store needs a package: pip install {}"
PACKAGES: Final = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
EXTRAS: Final = {"s3fs": "'chatacter[s3]'", "gcsfs": "'chatacter[gcs]'"}
# What the packages raise beside OSError when a store or its credentials cannot be reached.
FAILURES: Final = {
    "s3fs": ("botocore.exceptions:BotoCoreError",),
    "gcsfs": ("aiohttp:ClientError", "gcsfs.retry:HttpError", "google.auth.exceptions:GoogleAuthError"),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of an asset, and when it was written."""

    path: str
    owner: Owner
    asset_id: str
    name: str
    written: float


class FsspecAssets:
    """Assets under one URL: `<root>/<tenant>/<person>/<id>/`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._package = PACKAGES.get(url.partition(":")[0])
        self._fs: Any = None
        self._root = ""
        self._failures: tuple[type[Exception], ...] = (OSError,)

    async def open(self) -> Self:
        """Connect, and prove that it can be written to. Raises `Misconfigured`."""
        await asyncio.to_thread(self._open)
        return self

    def _open(self) -> None:
        try:
            self._fs, self._root = url_to_fs(self._url, use_listings_cache=False)
            self._failures = (OSError, *failures_of(self._package))
        except ImportError as error:
            wanted = self._package or "what fsspec asks for"
            raise Misconfigured(MISSING.format(EXTRAS.get(wanted, wanted))) from error
        except ValueError as error:
            raise Misconfigured(UNKNOWN) from error
        probe = f"{self._root}/.writable-{uuid4().hex}"
        try:
            self._folder_made(self._root)
            self._fs.pipe_file(probe, b"")
            self._fs.rm_file(probe)
        except self._failures as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Misconfigured(f"ASSETS_URL: cannot be written to ({reason}).") from error

    def _folder_made(self, folder: str) -> None:
        """Make a folder where there are such things."""
        if self._package is None:
            self._fs.makedirs(folder, exist_ok=True)

    async def put(self, owner: Owner, asset_id: str, data: bytes, media_type: str) -> Asset:
        """Store an asset. When the caller is cancelled the asset is whole or absent, never half."""
        folder = self._folder(owner, asset_id)
        if folder is None:
            raise InvalidInput(BAD_ID, param="id")
        return await finished(lambda: self._put(folder, asset_id, data, media_type))

    def _put(self, folder: str, asset_id: str, data: bytes, media_type: str) -> Asset:
        asset = Asset(asset_id, media_type, len(data), hashlib.sha256(data).hexdigest(), time.time())
        with self._reached():
            self._folder_made(folder)
            self._write(data_path(folder, asset), data)
            self._write(f"{folder}/{DESCRIPTION}", orjson.dumps({"schema": SCHEMA, **asdict(asset)}))
            for path in self._fs.ls(folder, detail=False):
                if path.rpartition("/")[2] not in {DESCRIPTION, data_path(folder, asset).rpartition("/")[2]}:
                    self._fs.rm_file(path)
        return asset

    def _write(self, path: str, data: bytes) -> None:
        temporary = f"{path}.{uuid4().hex}"
        try:
            with self._fs.open(temporary, "wb") as file:
                file.write(data)
                synced(file)
            self._fs.mv(temporary, path)
        except BaseException:
            if self._fs.exists(temporary):
                self._fs.rm_file(temporary)
            raise

    async def info(self, owner: Owner, asset_id: str) -> Asset | None:
        """Describe an asset, or return None."""
        folder = self._folder(owner, asset_id)
        return await asyncio.to_thread(self._info, folder) if folder else None

    def _info(self, folder: str) -> Asset | None:
        try:
            with self._reached():
                stored = orjson.loads(self._fs.cat_file(f"{folder}/{DESCRIPTION}"))
        except NotFound:
            return None
        if stored.pop("schema") != SCHEMA:
            raise Misconfigured("A stored file was described by another version of Chattr. Run one version at a time.")
        return Asset(**stored)

    async def read(self, owner: Owner, asset_id: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes between two offsets."""
        folder = self._folder(owner, asset_id)
        if folder is None:
            raise NotFound(GONE, param="id")
        file = await asyncio.to_thread(self._opened, folder, start)
        try:
            while stop is None or start < stop:
                wanted = CHUNK if stop is None else min(CHUNK, stop - start)
                chunk = await asyncio.to_thread(self._chunk, file, wanted)
                if not chunk:
                    return
                start += len(chunk)
                yield chunk
        finally:
            await finished(file.close)

    def _opened(self, folder: str, start: int) -> Any:
        asset = self._info(folder)
        if asset is None:
            raise NotFound(GONE, param="id")
        with self._reached():
            file = self._fs.open(data_path(folder, asset), "rb", block_size=CHUNK)
            file.seek(start)
            return file

    def _chunk(self, file: Any, wanted: int) -> bytes:
        with self._reached():
            return bytes(file.read(wanted))

    async def delete(self, owner: Owner, asset_id: str) -> bool:
        """Remove an asset: its description first, so that nobody sees half of it."""
        folder = self._folder(owner, asset_id)
        return await finished(lambda: self._delete(folder)) if folder else False

    def _delete(self, folder: str) -> bool:
        there = self._info(folder) is not None
        with self._reached():
            if there:
                self._fs.rm_file(f"{folder}/{DESCRIPTION}")
            if self._fs.isdir(folder):
                self._fs.rm(folder, recursive=True)
        return there

    async def names(self, *, before: float) -> AsyncGenerator[tuple[Owner, str]]:
        """Yield whose and what is stored since before a time."""
        for file in await asyncio.to_thread(self._files):
            if file.name == DESCRIPTION and file.written < before:
                yield file.owner, file.asset_id

    async def sweep(self, *, before: float) -> int:
        """Remove temporary files, and bytes that no description names, from before a time."""
        return await finished(lambda: self._sweep(before))

    def _sweep(self, before: float) -> int:
        files = self._files()
        described = {(file.owner, file.asset_id) for file in files if file.name == DESCRIPTION}
        removed = 0
        for file in files:
            whole = (file.owner, file.asset_id) in described and not TEMPORARY.search(file.name)
            if not whole and file.written < before:
                with self._reached(), suppress(FileNotFoundError):
                    self._fs.rm_file(file.path)
                    removed += 1
        return removed

    def _files(self) -> list[Stored]:
        """List every file of every asset."""
        with self._reached():
            found: dict[str, dict[str, Any]] = self._fs.find(self._root, detail=True)
        return [file for path, about in found.items() if (file := stored_file(self._root, path, about)) is not None]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn a missing file into `NotFound`, and a store that fails into `Unavailable`."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(GONE, param="id") from error
        except self._failures as error:
            raise Unavailable(AWAY, retry_after=5) from error

    def _folder(self, owner: Owner, asset_id: str) -> str | None:
        if not ID.fullmatch(asset_id):
            return None
        return f"{self._root}/{safe(owner.tenant)}/{safe(owner.person)}/{asset_id}"


def data_path(folder: str, asset: Asset) -> str:
    """Name the file with an asset's bytes."""
    return f"{folder}/{asset.sha256}"


def stored_file(root: str, path: str, about: Mapping[str, Any]) -> Stored | None:
    """Read where a file lies; None for one that belongs to no asset. Stores call the time of writing differently."""
    parts = path.removeprefix(root).strip("/").split("/")
    moment = next((about[name] for name in WRITTEN if about.get(name) is not None), None)
    if len(parts) != 4 or moment is None:
        return None
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    written = moment.timestamp() if isinstance(moment, datetime) else float(moment)
    return Stored(path, Owner(unquote(parts[0]), unquote(parts[1])), parts[2], parts[3], written)


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


async def finished(work: Callable[[], T]) -> T:
    """Run in a thread and wait for its end even when cancelled: a thread cannot be stopped half-way."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def failures_of(package: str | None) -> list[type[Exception]]:
    """Import the errors that a store's package raises. Raises `ImportError` where it is missing."""
    if package is not None:
        importlib.import_module(package)
    named = [name.split(":") for name in FAILURES.get(package or "", ())]
    return [getattr(importlib.import_module(module), error) for module, error in named]
