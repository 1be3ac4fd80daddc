"""Server-sent events as a client reads them. Source: WHATWG HTML, section 9.2."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

CREATED: Final = "reply.created"
DELTA: Final = "reply.delta"
COMPLETED: Final = "reply.completed"
CANCELLED: Final = "reply.cancelled"
FAILED: Final = "reply.failed"
TERMINAL: Final = frozenset({COMPLETED, CANCELLED, FAILED})


@dataclass(frozen=True, slots=True)
class ReplyEvent:
    """One step of a reply; `seq` numbers it within the reply, from 1."""

    seq: int
    type: str
    data: dict[str, Any]

    @property
    def text(self) -> str:
        """The text that this step adds; empty where it adds none."""
        return str(self.data.get("text") or "") if self.type == DELTA else ""


async def lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    r"""Split bytes at line feeds only: text may hold other characters that Unicode counts as line ends."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")


async def reply_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[ReplyEvent]:
    """Read a reply's events. A part of an event at the end, of a connection that broke, is dropped."""
    seq, kind, data = 0, "", b""
    async for line in lines(chunks):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"id" and value.isdigit():
            seq = int(value)
        elif field == b"event":
            kind = value.decode()
        elif field == b"data":
            data += value
        elif not line and data:
            yield ReplyEvent(seq, kind, orjson.loads(data))
            kind, data = "", b""
