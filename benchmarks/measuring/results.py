"""The page of results: a section a run, the newest first, with the machine and the command that made it."""

import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "benchmarks" / "RESULTS.md"
HEAD: Final = """# Results

What was measured, on which machine, by which command; the newest first. `make bench` adds a section. Numbers of
different machines, or of a machine that did other work beside, do not compare.
"""


def machine() -> str:
    """Describe this machine in a line."""
    cpu = field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine()
    memory = int((field(Path("/proc/meminfo"), "MemTotal") or "0").split()[0]) / 1e6
    cores = len(os.sched_getaffinity(0))
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{cpu}, {cores} cores, {memory:.0f} GB, {system}"


def field(path: Path, name: str) -> str:
    """The value of the first line that begins with a name; empty when there is none."""
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def commit() -> str:
    """The commit that was measured; told where files differ from it."""
    try:
        said = [
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", "services", "benchmarks"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said[0] + (" with changes" if said[1] else "")


def busy() -> str:
    """How much else the machine does, as the load of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def seconds(values: Sequence[float]) -> str:
    """One duration, or the median of several with their range."""
    if len(values) == 1:
        return f"{values[0]:.2f} s"
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f}, n={len(values)})"


def megabytes(value: int) -> str:
    """An amount of memory or disk."""
    return f"{value / 1e6:,.0f} MB"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Write a table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(title: str, load_before: str, *parts: str) -> None:
    """Add a section above the older ones, and say it on stdout."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    script = Path(sys.argv[0]).resolve().relative_to(ROOT)
    command = shlex.join(["python", str(script), *sys.argv[1:]])
    about = f"{now}; commit {commit()}; `{command}`; load before the run {load_before}\n\n{machine()}"
    section = "\n\n".join([f"## {title}", about, *parts]) + "\n"
    older = PAGE.read_text("utf-8").removeprefix(HEAD) if PAGE.exists() else ""
    PAGE.write_text(f"{HEAD}\n{section}{older}", "utf-8")
    print(section)
