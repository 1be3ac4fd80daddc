"""Assets in a store of files (`ASSETS_URL`): `file://` here, `s3://` and `gs://` by the same code.

An asset is two files: its bytes, named by their hash, then its description, which names them. What no description
names is not there. Bytes that were replaced stay for sweeping, since somebody may be reading them, and since another
replica may be putting the same ones away. All of it runs in threads.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Self, TypeVar
from urllib.parse import unquote

import orjson

from chatacter.chassis.errors import InvalidInput, Misconfigured, NotFound, UpstreamFailed
from chatacter.filestore import GONE, FileStore, safe
from chattr.domain.identity import Owner
from chattr.ports.assets import Asset

T = TypeVar("T")

SCHEMA: Final = 1
ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
DESCRIPTION: Final = "asset.json"
TEMPORARY: Final = re.compile(r"\.[0-9a-f]{32}$")
CHUNK: Final = 256 * 1024
BAD_ID: Final = "An asset's id is 1 to 128 letters, digits, `_` or `-`."
DAMAGED: Final = "This file is no longer what was stored: its checksum or its length is another. Tell the operator."


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
        self._files = FileStore(url, "ASSETS_URL")

    async def open(self) -> Self:
        """Connect, and prove that it can be written to. Raises `Misconfigured`."""
        await asyncio.to_thread(self._files.open)
        return self

    async def put(self, owner: Owner, asset_id: str, data: bytes, media_type: str) -> Asset:
        """Store an asset. When the caller is cancelled the asset is whole or absent, never half."""
        folder = self._folder(owner, asset_id)
        if folder is None:
            raise InvalidInput(BAD_ID, param="id")
        return await finished(lambda: self._put(folder, asset_id, data, media_type))

    def _put(self, folder: str, asset_id: str, data: bytes, media_type: str) -> Asset:
        asset = Asset(asset_id, media_type, len(data), hashlib.sha256(data).hexdigest(), time.time())
        self._files.write(f"{folder}/{asset.sha256}", data)
        self._files.write(f"{folder}/{DESCRIPTION}", orjson.dumps({"schema": SCHEMA, **asdict(asset)}))
        return asset

    async def info(self, owner: Owner, asset_id: str) -> Asset | None:
        """Describe an asset, or return None."""
        folder = self._folder(owner, asset_id)
        return await asyncio.to_thread(self._info, folder) if folder else None

    def _info(self, folder: str) -> Asset | None:
        try:
            stored = orjson.loads(self._files.read(f"{folder}/{DESCRIPTION}"))
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
        asset, file = await asyncio.to_thread(self._opened, folder, start)
        end = asset.size if stop is None else min(stop, asset.size)
        whole = hashlib.sha256() if (start, end) == (0, asset.size) else None
        try:
            while start < end:
                chunk = await asyncio.to_thread(self._chunk, file, min(CHUNK, end - start), whole)
                start += len(chunk)
                if not chunk or (whole and start == end and whole.hexdigest() != asset.sha256):
                    raise UpstreamFailed(DAMAGED, param="id")
                yield chunk
        finally:
            await finished(file.close)

    def _opened(self, folder: str, start: int) -> tuple[Asset, Any]:
        asset = self._info(folder)
        if asset is None:
            raise NotFound(GONE, param="id")
        return asset, self._files.opened(f"{folder}/{asset.sha256}", start, CHUNK)

    def _chunk(self, file: Any, wanted: int, whole: "hashlib._Hash | None") -> bytes:
        with self._files.reached():
            chunk = bytes(file.read(wanted))
        if whole:
            whole.update(chunk)
        return chunk

    async def delete(self, owner: Owner, asset_id: str) -> bool:
        """Remove an asset: its description first, so that nobody sees half of it."""
        folder = self._folder(owner, asset_id)
        return await finished(lambda: self._delete(folder)) if folder else False

    def _delete(self, folder: str) -> bool:
        there = self._info(folder) is not None
        if there:
            self._files.remove(f"{folder}/{DESCRIPTION}")
        self._files.remove_folder(folder)
        return there

    async def names(self, *, before: float) -> AsyncGenerator[tuple[Owner, str]]:
        """Yield whose and what is stored since before a time."""
        for file in await asyncio.to_thread(self._stored):
            if file.name == DESCRIPTION and file.written < before:
                yield file.owner, file.asset_id

    async def sweep(self, *, before: float) -> int:
        """Remove temporary files, and bytes that no description names any more, from before a time."""
        return await finished(lambda: self._sweep(before))

    def _sweep(self, before: float) -> int:
        assets: dict[tuple[Owner, str], list[Stored]] = {}
        for file in self._stored():
            assets.setdefault((file.owner, file.asset_id), []).append(file)
        removed = 0
        for files in assets.values():
            named = self._named(files)
            for file in files:
                if file.name not in named and file.written < before:
                    removed += self._remove(file.path, before)
        return removed

    def _remove(self, path: str, before: float) -> bool:
        """Remove a file that is as old as it was when it was listed: the same bytes may have been put again since."""
        with suppress(NotFound):
            written = self._files.written(path)
            if written is not None and written < before:
                self._files.remove(path)
                return True
        return False

    def _named(self, files: Sequence[Stored]) -> set[str]:
        """Return which files of one asset are it. Where nothing lies beside them the description is not read."""
        names = {file.name for file in files if not TEMPORARY.search(file.name)}
        if DESCRIPTION not in names:
            return set()
        if len(names) > 2:
            asset = self._info(files[0].path.rpartition("/")[0])
            names = {DESCRIPTION, asset.sha256} if asset else names
        return names

    def _stored(self) -> list[Stored]:
        """List every file of every asset."""
        found = (stored_file(path, written) for path, written in self._files.all())
        return [file for file in found if file is not None]

    def _folder(self, owner: Owner, asset_id: str) -> str | None:
        if not ID.fullmatch(asset_id):
            return None
        return f"{safe(owner.tenant)}/{safe(owner.person)}/{asset_id}"


def stored_file(path: str, written: float) -> Stored | None:
    """Read where a file lies; None for one that belongs to no asset."""
    parts = path.split("/")
    if len(parts) != 4:
        return None
    return Stored(path, Owner(unquote(parts[0]), unquote(parts[1])), parts[2], parts[3], written)


async def finished(work: Callable[[], T]) -> T:
    """Run in a thread and wait for its end even when cancelled: a thread cannot be stopped half-way."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
