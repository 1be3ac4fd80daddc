"""A Redis of which is known what it has on disk: every `fdatasync` and `fsync` of it is recorded as it returns.

Killing a process loses nothing of what it wrote, as the kernel still has it; a power cut does. `cut` makes the one into
the other: each append-only file is cut back to the length that it had when its last recorded sync began.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.redis_server import PERSISTENT, RedisServer, free_port

RECORDER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int noted(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    struct stat before;
    int known = fstat(fd, &before) == 0;
    int failed = real(fd);
    char link[64], file[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, file, sizeof file - 1);
    if (failed || !known || length < 0) return failed;
    file[length] = 0;
    int record = open(getenv("SYNC_RECORD"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (record >= 0) {
        dprintf(record, "%lld %s\n", (long long)before.st_size, file);
        close(record);
    }
    return failed;
}

int fdatasync(int fd) { return noted("fdatasync", fd); }
int fsync(int fd) { return noted("fsync", fd); }
"""


class SyncedRedis(RedisServer):
    """A server whose syncs are recorded."""

    def __init__(self, folder: Path, port: int, options: dict[str, str], recorder: Path) -> None:
        super().__init__(folder, port, options)
        self.record = folder / "syncs"
        self.environment = {"LD_PRELOAD": str(recorder), "SYNC_RECORD": str(self.record)}

    def synced(self) -> dict[str, int]:
        """How much of each file is known to be on disk."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        return {name: int(size) for size, _, name in (line.partition(" ") for line in lines)}

    def lose_power(self) -> int:
        """Kill it and cut its append-only files; returns how many bytes were lost."""
        self.kill()
        synced, lost = self.synced(), 0
        for file in (self.folder / "appendonlydir").glob("*.incr.aof"):
            kept, size = synced.get(str(file), 0), file.stat().st_size
            with file.open("r+b") as written:
                written.truncate(kept)
            lost += size - kept
        return lost


@contextmanager
def recorded(folder: Path, **options: str) -> Iterator[SyncedRedis]:
    """A server of the test's own in a folder of a real disk; it never rewrites its file of its own accord."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is needed to record what Redis syncs")
    folder.mkdir(parents=True, exist_ok=True)
    source, recorder = folder / "recorder.c", folder / "recorder.so"
    source.write_text(RECORDER)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", recorder, source, "-ldl"], check=True)
    given = {name.replace("_", "-"): value for name, value in options.items()}
    flags = {**PERSISTENT, "auto-aof-rewrite-percentage": "0", **given}
    with SyncedRedis(folder, free_port(), flags, recorder) as server:
        yield server
