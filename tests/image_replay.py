"""The steps of a Dockerfile, done without a container engine, and its process, run as a container would run it.

`python -m tests.image_replay FILE TARGET FOLDER BASE_PYTHON [NAME=VALUE ...] -- [COMMAND ...]` wants root and a mount
namespace of its own (`unshare --mount`). Every stage is a folder that becomes `/`: this machine's /usr and /etc stand
in for the base image, its Python lies at /usr/local, and nothing else of the machine can be seen. In the end the
process of the image runs with that root read-only, a fresh /tmp and writable folders only where the image has volumes,
as the image's user, without capabilities.
"""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from tests.dockerfile import Dockerfile, Instruction, Told

SYSTEM = ("usr", "bin", "sbin", "lib", "lib64")
VOLUME = "var/lib/chatacter"
# Where packages come from: what a build is given as build arguments.
KEPT = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_DEFAULT_TIMEOUT", "SSL_CERT_FILE")
NO_NEW_PRIVILEGES = 38


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def unmount(root: Path) -> None:
    subprocess.run(["umount", "--recursive", "--lazy", root], check=True)


class Replay:
    """Builds stages of one Dockerfile under a folder. `caches` are folders for `--mount=type=cache`, by id."""

    def __init__(self, file: Dockerfile, folder: Path, python: Path, caches: Path) -> None:
        self.file = file
        self.folder = folder
        self.python = python
        self.caches = caches
        self.context = file.path.parents[1]

    def root(self, stage: str) -> Path:
        return self.folder / stage

    def build(self, target: str) -> None:
        """Make every stage that the target needs."""
        for name in self.file.needed(target):
            stage, root = self.file.stages[name], self.root(name)
            if root.exists():
                continue
            if stage.base in self.file.stages:
                subprocess.run(["cp", "-a", "--reflink=auto", self.root(stage.base), root], check=True)
            else:
                self.begin(root)
            told = Told()
            for elder in self.file.lineage(name)[:-1]:
                for instruction in elder.instructions:
                    self.file.hear(told, instruction)
            told.arguments = {}
            for instruction in stage.instructions:
                self.file.hear(told, instruction)
                self.follow(instruction, told, root)

    def begin(self, root: Path) -> None:
        """What a base image has: folders, and an /etc of its own."""
        for name in (*SYSTEM, "dev", "proc", "opt", "root", "tmp", "var/cache", "var/lib", "var/tmp"):
            (root / name).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        shutil.copytree("/etc", root / "etc", symlinks=True)
        self.machine(root)
        subprocess.run(["chroot", root, "ldconfig"], check=True)  # libpython lies at /usr/local now
        unmount(root)

    def follow(self, instruction: Instruction, told: Told, root: Path) -> None:
        """Do what changes files: WORKDIR, COPY and RUN."""
        if instruction.keyword == "WORKDIR":
            (root / told.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction.keyword == "COPY":
            self.copy(instruction, told, root)
        elif instruction.keyword == "RUN":
            sys.stdout.write(f"RUN {told.expanded(instruction.value)}\n")
            sys.stdout.flush()
            self.run(instruction, told, root)

    def copy(self, instruction: Instruction, told: Told, root: Path) -> None:
        *sources, goal = told.expanded(instruction.value).split()
        place = root / (Path(told.folder) / goal).as_posix().lstrip("/")
        stage = instruction.flag("from")
        for source in sources:
            taken = self.root(stage) / source.lstrip("/") if stage else self.context / source
            into = place / taken.name if goal.endswith("/") and taken.is_file() else place
            into.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", "-T", taken, into], check=True)
            for made in () if stage else list(into.rglob("__pycache__")):
                shutil.rmtree(made)

    def run(self, instruction: Instruction, told: Told, root: Path) -> None:
        self.machine(root)
        for each in instruction.mounts():
            cache, inside = self.caches / each["id"], root / each["target"].lstrip("/")
            cache.mkdir(parents=True, exist_ok=True)
            inside.mkdir(parents=True, exist_ok=True)
            mount("--bind", cache, inside)
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment = {**kept, **told.environment, **told.arguments}
        environment.setdefault("HOME", "/root")
        shell = ["chroot", root, "/bin/sh", "-c", f"cd {told.folder} && {instruction.value}"]
        subprocess.run(shell, check=True, env=environment, stdin=subprocess.DEVNULL)
        unmount(root)

    def machine(self, root: Path) -> None:
        """Put this machine's programs into a stage, read-only, its Python at /usr/local."""
        mount("--bind", root, root)
        for name in SYSTEM:
            mount("--bind", "-o", "ro", f"/{name}", root / name)
        mount("--bind", "-o", "ro", self.python, root / "usr" / "local")
        mount("--rbind", "/dev", root / "dev")
        mount("--bind", "/proc", root / "proc")

    def start(self, target: str, settings: dict[str, str], command: list[str]) -> None:
        """Become the process of the image. Does not return."""
        told, root = self.file.told(target), self.root(target)
        self.machine(root)
        volume = self.folder / "volume"
        subprocess.run(["cp", "-a", "-T", root / VOLUME, volume], check=True)
        mount("--bind", "-o", "remount,ro", root, root)
        mount("-t", "tmpfs", "-o", "size=256m,mode=1777", "tmpfs", root / "tmp")
        mount("--bind", volume, root / VOLUME)
        os.chroot(root)
        os.chdir(told.folder)
        user, group = map(int, told.user.split(":"))
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
        ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        environment = {**told.environment, **settings}
        words = command or told.entrypoint
        os.environ["PATH"] = environment["PATH"]
        os.execvpe(words[0], words, environment)


def main(words: list[str]) -> None:
    middle = words.index("--")
    file, target, folder, python, *settings = words[:middle]
    replay = Replay(Dockerfile(Path(file).resolve()), Path(folder), Path(python), Path(folder) / "caches")
    given = dict(setting.split("=", 1) for setting in settings)
    replay.build(target)
    replay.start(target, given, words[middle + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
