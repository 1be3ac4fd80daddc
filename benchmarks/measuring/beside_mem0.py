"""mem0 on the other side of a pipe: given a talk and its questions, which turns it would return."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from measuring.talks import Talk

SIDE: Final = Path(__file__).with_name("mem0_side.py")
Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]


@dataclass(frozen=True, slots=True)
class Ranked:
    """For each question the turns in mem0's order, and the seconds that each took."""

    turns: list[list[str]]
    seconds: list[float]


class Mem0:
    """A process that has mem0. Closed with the context."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, str(SIDE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self) -> "Mem0":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(60)

    async def rank(self, talk: Talk, embed: Embed, *, limit: int) -> Ranked:
        """Have it remember a talk and answer its questions. Raises `EOFError` when the process has ended."""
        turns = [{"id": turn.id, "text": f"{turn.speaker}: {turn.text}"} for turn in talk.turns]
        self._tell({"turns": turns, "questions": [one.text for one in talk.questions], "limit": limit})
        while "embed" in (said := self._hear()):
            self._tell(await embed(said["embed"]))
        return Ranked(said["ranked"], said["seconds"])

    def _tell(self, line: Any) -> None:
        if self._process.stdin is None:
            raise EOFError("mem0's process cannot be told anything")
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise EOFError("mem0's process has ended")
        heard: dict[str, Any] = json.loads(line)
        return heard


def missing(python: str | None) -> str | None:
    """Say why mem0 cannot be measured; None when it can."""
    command = [python or sys.executable, "-c", "import importlib.util as u, sys; sys.exit(not u.find_spec('mem0'))"]
    try:
        there = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        there = False
    return None if there else "mem0 was not measured: `mem0ai` is not installed; name a Python that has it."
