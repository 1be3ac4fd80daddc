"""What is looked at before anything starts, so that a mistake is a sentence at once and not a traceback later."""

import fcntl
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chatacter.chassis.errors import Misconfigured
from chatacter.models.progress import amount

MEMINFO: Final = Path("/proc/meminfo")


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the home for this launcher. Raises `Misconfigured` when another one runs on it, or it cannot be written."""
    writable(home)
    with (home / ".up.lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise Misconfigured(
                f"Chatacter runs already on {home} (process {handle.read().strip() or 'unknown'}). Stop that one, or "
                "start this one with another CHATACTER_HOME and other ports."
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def writable(folder: Path) -> None:
    """Make the folder if need be. Raises `Misconfigured` when that cannot be done, or nothing can be put there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Misconfigured(
            f"{folder} cannot be written ({error.strerror}). Set CHATACTER_HOME to a folder of your own."
        ) from error


def ports_are_free(host: str, ports: dict[str, tuple[str, int]]) -> None:
    """Check the port of each service, given by name with its setting. Raises `Misconfigured` naming the first taken."""
    for name, (setting, port) in ports.items():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise Misconfigured(
                    f"{name} cannot listen on port {port} ({error.strerror}). "
                    f"Stop what uses it, or choose another: {setting}={port + 100}"
                ) from error


def available_memory(meminfo: Path = MEMINFO) -> int | None:
    """Return how many bytes programs may still take without swapping; None where the system does not tell."""
    try:
        lines = meminfo.read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def memory_warning(needed: int, available: int | None) -> str | None:
    """Compare memory. Returns a warning where it is tight; raises `Misconfigured` where it clearly cannot work."""
    if available is None or available >= needed:
        return None
    told = f"about {amount(needed)} of memory are needed and {amount(available)} are available"
    advice = (
        "Close other programs, or do with less: ENABLE_VIDEO_GENERATION=false, ENABLE_VOICE_GENERATION=false, "
        "or a provider's model (MODEL__URL)."
    )
    if available < needed // 2:
        raise Misconfigured(f"Too little memory: {told}. {advice}")
    return f"Memory is tight: {told}. {advice}"


def service_token(home: Path) -> str:
    """Return the secret with which the services call each other. The first start makes it; only its owner can read it.

    Holding the home (`alone`) is up to the caller.
    """
    path = home / "service-token"
    if not path.exists():
        fresh = path.with_name("service-token.new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(32), "ascii")
        fresh.replace(path)
    return path.read_text("ascii")
