"""Where a container runs: a root file system of its own, read-only but for its volumes, as uid and gid of its pod.

With root's rights the kernel keeps the rules: a mount and PID namespace whose root holds this machine's programs, the
services, the image's models and the mounts, and nothing else. Without them the paths in the environment are rewritten
to folders, and what a container may not do is not checked: `refusal()` says why.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.architecture.repository import ROOT
from tests.pods.containers import Container, Mount

Edit = Callable[[str], str]
HOME = "/opt/chatacter"
# KServe mounts what `storageUri` names at /mnt/models.
STORAGE = "/mnt"
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--propagation", "private")
PROGRAMS = ("/bin", "/sbin", "/lib", "/lib64", "/usr")
OF_ETC = ("ld.so.cache", "ssl", "localtime", "mime.types", "nsswitch.conf", "alternatives")
DEVICES = ("null", "zero", "full", "random", "urandom")
FUNCTIONS = """
ro() { mkdir -p "$root$2"; mount --rbind "$1" "$root$2"; mount -o remount,bind,ro "$root$2"; }
rw() { mkdir -p "$root$2"; mount --bind "$1" "$root$2"; }
device() { : > "$root$1"; mount --bind "$1" "$root$1"; }
mount -t tmpfs -o mode=755,size=16m tmpfs "$root"
mkdir -p "$root/etc" "$root/dev/shm" "$root/proc" "$root/sys" "$root/tmp"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/dev/shm"
ro /sys /sys
"""


@cache
def refusal() -> str | None:
    """Why containers cannot have a root of their own here; None when they can."""
    if os.getuid() != 0:
        return "the tests do not run as root"
    if Path(sys.prefix).is_relative_to("/tmp"):
        return "the packages lie under /tmp, which a container has for itself"
    if missing := [name for name in ("unshare", "setpriv", "chroot") if shutil.which(name) is None]:
        return f"{', '.join(missing)} is not here"
    tried = subprocess.run([*NAMESPACES, "mount", "-t", "proc", "proc", "/proc"], capture_output=True, check=False)
    return None if tried.returncode == 0 else f"namespaces are refused: {tried.stderr.decode().strip()}"


@dataclass(frozen=True)
class Room:
    """What to run for a container, and where."""

    command: list[str]
    environment: dict[str, str]
    folder: Path
    volumes: dict[str, Path]


class Rooms:
    """Makes rooms under one folder. Claims are shared between the containers of one `Rooms`."""

    def __init__(self, folder: Path, models: Path) -> None:
        self._folder = folder
        self._models = models
        folder.chmod(0o755)

    def room(
        self,
        container: Container,
        environment: Mapping[str, str],
        edit: Edit,
        command: Sequence[str],
        beside: Sequence[Path] = (),
    ) -> Room:
        """Prepare a container that runs `command`; `edit` makes its mounted files fit this machine.

        `beside` are folders of this machine that the command needs and no image has.
        """
        own = Path(tempfile.mkdtemp(prefix=f"{container.name}-", dir=self._folder))
        own.chmod(0o755)
        sources = [(mount, self._folder_of(own, mount)) for mount in container.mounts()]
        here = at_its_place(sources, own) if refusal() else str
        for mount, source in sources:
            fill(source, mount, container.group, lambda text: here(edit(text)))
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        volumes = {mount.path: source for mount, source in sources}
        told = {**environment, "PATH": path, "HOSTNAME": container.name}
        if refusal():
            folder = self._furnished(own, container)
            return Room([here(word) for word in command], {k: here(v) for k, v in told.items()}, folder, volumes)
        script = self._script(own, container, sources, beside)
        return Room([*NAMESPACES, "sh", "-euc", script, "sh", *command], told, own, volumes)

    def _folder_of(self, own: Path, mount: Mount) -> Path:
        return self._folder / f"claim-{mount.claim}" if mount.claim else own / flat(mount.path)

    def _furnished(self, own: Path, container: Container) -> Path:
        """The image's folder, for a container without a root of its own."""
        for home in (HOME, STORAGE):
            (own / flat(home)).mkdir()
        for source, place in self._brought(container):
            home = STORAGE if container.stored else HOME
            link = own / flat(home) / place.removeprefix(f"{home}/")
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(source, target_is_directory=True)
        return own / flat(HOME)

    def _brought(self, container: Container) -> list[tuple[Path, str]]:
        """Models and where they lie: those of the image, or what KServe has fetched."""
        if container.stored:
            return [(self._models, f"{STORAGE}/models")]
        return [(self._models / name, f"{HOME}/models/{name}") for name in sorted(container.image.models)]

    def _script(
        self, own: Path, container: Container, sources: list[tuple[Mount, Path]], beside: Sequence[Path]
    ) -> str:
        """What a shell does in new namespaces before it becomes the container's process."""
        root = own / "root"
        root.mkdir()
        lines = [f"root={shlex.quote(str(root))}", FUNCTIONS]
        ours = dict.fromkeys([sys.base_prefix, sys.prefix, str(ROOT / "services"), *map(str, beside), *programs()])
        lines += [f"ro {shlex.quote(place)} {shlex.quote(place)}" for place in ours]
        lines += [f"ln -s usr{place} $root{place}" for place in PROGRAMS if Path(place).is_symlink()]
        lines += [f"device /dev/{name}" for name in DEVICES]
        for path in (Path("/etc") / name for name in OF_ETC):
            lines += [f"ro {path} {path}" if path.is_dir() else f"cp {path} $root{path}"] if path.exists() else []
        user, group = container.user()
        lines.append(f"echo 'chatacter:x:{user}:{group}::/tmp:/usr/sbin/nologin' > $root/etc/passwd")
        lines.append("echo '127.0.0.1 localhost' > $root/etc/hosts")
        lines += [f"ro {shlex.quote(str(source))} {place}" for source, place in self._brought(container)]
        for mount, source in sources:
            lines.append(f"{'rw' if mount.writable else 'ro'} {shlex.quote(str(source))} {mount.path}")
        lines.append(f"mkdir -p $root{container.image.folder}")
        if container.read_only:
            lines.append('mount -o remount,bind,ro "$root"')
        rights = f"--reuid={user} --regid={group} --groups={container.group or group} --no-new-privs"
        # A change of user makes a process forget that it should die with its parent.
        drop = "--inh-caps=-all --bounding-set=-all --pdeathsig KILL"
        start = f"{shutil.which('setpriv')} {rights} {drop} -- /usr/bin/env -C {container.image.folder}"
        lines.append(f'exec {shutil.which("chroot")} "$root" {start} "$@"')
        return "\n".join(lines)


def flat(path: str) -> str:
    return path.strip("/").replace("/", "-")


def at_its_place(sources: list[tuple[Mount, Path]], own: Path) -> Edit:
    """What rewrites each path of a container to one of this machine."""
    places = {HOME: own / flat(HOME), STORAGE: own / flat(STORAGE), **{mount.path: source for mount, source in sources}}
    longest = sorted(places, key=len, reverse=True)
    path = re.compile(rf"(?<![\w/.])(file://)?({'|'.join(map(re.escape, longest))})(?=[/\s:]|$)")
    return lambda text: path.sub(lambda found: f"{found[1] or ''}{places[found[2]]}", text)


def fill(folder: Path, mount: Mount, group: int | None, edit: Edit) -> None:
    """Make the folder behind a mount, with the owner and rights that the kubelet gives it."""
    if folder.exists():  # a claim that another container has mounted before
        return
    folder.mkdir()
    for name, text in (mount.files or {}).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(edit(text))
        give(file, mount.mode | (0o040 if group else 0), group)
    claimed = 0o2775 if group else 0o755
    give(folder, claimed if mount.claim else 0o2777 if mount.files is None else 0o755, group)


def programs() -> list[str]:
    return [place for place in PROGRAMS if Path(place).is_dir() and not Path(place).is_symlink()]


def give(path: Path, mode: int, group: int | None) -> None:
    """Set owner, where this process may, and rights."""
    if os.getuid() == 0:
        os.chown(path, 0, group or 0)
    path.chmod(mode)
