"""An operator's character files, read again when they change. No watcher of the system's: mounts tell of nothing."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from chatacter.chassis.errors import Misconfigured
from chattr.adapters.character_files import SUFFIXES, from_path
from chattr.domain.character import Character

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 2.0
MISTAKES: Final = "CHARACTER_CONFIG_PATH has mistakes, which the log names; the characters that were read before stay."

Signature = tuple[tuple[str, int, int, int], ...]


class CharacterFiles:
    """A file or a folder of characters. What was read last without a mistake holds until something better is there."""

    def __init__(self, path: Path, *, pause: float = POLL_SECONDS) -> None:
        self._path = path
        self._pause = pause
        self._seen: Signature = ()
        self._mistaken = False

    async def read(self) -> Mapping[str, Character]:
        """Read them all. Raises `Misconfigured` with every mistake."""
        return await asyncio.to_thread(self._read)

    async def run(self, take: Callable[[Mapping[str, Character]], None]) -> None:
        """Look for changes until cancelled, and hand on what is read then."""
        while True:
            await asyncio.sleep(self._pause)
            if await asyncio.to_thread(signature, self._path) == self._seen:
                continue
            try:
                characters = await self.read()
            except (Misconfigured, OSError) as error:
                self._mistaken = True
                logger.warning("character files have mistakes, those read before stay:\n%s", error)
                continue
            self._mistaken = False
            logger.info("character files were read again")
            take(characters)

    async def check(self) -> str | None:
        """Return that the files as they are now are not what is served, or None."""
        return MISTAKES if self._mistaken else None

    def _read(self) -> Mapping[str, Character]:
        # Looked at before it is read: what is written meanwhile differs from this, and is read next time.
        self._seen = signature(self._path)
        return from_path(self._path)


def signature(path: Path) -> Signature:
    """Return what differs once files differ: names, sizes, times and inodes. Blocks; opens none of them.

    Links are followed, so that a ConfigMap's, which all lead through one that is swapped, tell of other inodes.
    """
    try:
        files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
    except OSError:
        return ()
    return tuple(state for file in files if (state := state_of(file)) is not None)


def state_of(file: Path) -> tuple[str, int, int, int] | None:
    """Return a file's name, size, time and inode; None where it has gone."""
    try:
        found = file.stat()
    except OSError:
        return None
    return file.name, found.st_size, found.st_mtime_ns, found.st_ino
