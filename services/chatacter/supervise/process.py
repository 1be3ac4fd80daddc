"""One process to run: its command, where its words go, and how to ask whether it is ready."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx

from chatacter.chassis.health import Check

STARTING: Final = "starting"
LAST_LINES: Final = 20
TAIL_BYTES: Final = 16_384
ASK_TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process that the supervisor runs. `ready` returns None when it is, else what it is waiting for."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    ready: Check

    def last_lines(self) -> str:
        """Return the end of what the process wrote, indented."""
        with self.log.open("rb") as file:
            file.seek(max(self.log.stat().st_size - TAIL_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LAST_LINES:])


def answers_ready(url: str) -> Check:
    """Ask a service's `/readyz`; what its checks complain of is what it is waiting for."""

    async def check() -> str | None:
        async with httpx.AsyncClient(trust_env=False, timeout=ASK_TIMEOUT) as client:
            try:
                answer = await client.get(f"{url}/readyz")
            except httpx.TransportError:
                return STARTING
        if answer.status_code == HTTPStatus.OK:
            return None
        try:
            checks = answer.json()["checks"]
            return "; ".join(f"{name}: {state}" for name, state in checks.items() if state != "ok") or STARTING
        except (ValueError, KeyError, AttributeError):
            return f"answers {answer.status_code}"

    return check
