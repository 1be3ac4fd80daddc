"""A reply while it grows: what its writer holds, and what its listener gets."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import anyio

from chatacter.chassis.errors import ChatacterError, UpstreamFailed, named
from chatacter.chassis.problems import INTERNAL
from chattr.ports.language import Chunk, finish_reason_of, text_of
from chattr.ports.sessions import DELTA, FAILED, TERMINAL, Event
from chattr.usecases.caching import CacheStatus
from chattr.usecases.live import LogWriter


@dataclass(frozen=True, slots=True)
class Heard:
    """What the listener on this process gets: an event, the provider's own chunk that it came from, or both."""

    event: Event | None
    chunk: Chunk | None = None

    @property
    def last(self) -> bool:
        """Whether nothing comes after it."""
        return self.event is not None and self.event.type in TERMINAL


@dataclass(frozen=True, slots=True)
class Whole:
    """A reply that has ended: its text, and the data of its first and of its last event."""

    text: str
    opening: dict[str, Any]
    ending: dict[str, Any]


class Running:
    """A reply that is being written. Closing `heard` stops it, unless it was started `detached`.

    `cache` says, from the first event that is heard, whether it was kept; None where nothing is.
    """

    def __init__(self, reply_id: str, message_id: str, *, detached: bool) -> None:
        self.reply_id = reply_id
        self.message_id = message_id
        self.scope = anyio.CancelScope()
        self.cache: CacheStatus | None = None
        self._detached = detached
        self._queue: asyncio.Queue[Heard | ChatacterError] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def begin(self, task: asyncio.Task[None]) -> None:
        """Say which task writes. If it ends without a word, its listener is not left waiting."""
        self._task = task
        task.add_done_callback(lambda _: self.put(ChatacterError(INTERNAL)))

    def put(self, item: Heard | ChatacterError) -> None:
        """Hand an event, or the error that ends it all, to the listener."""
        self._queue.put_nowait(item)

    async def heard(self) -> AsyncGenerator[Heard]:
        """Yield the events to the terminal one. Raises the error of a reply that failed before its first text."""
        try:
            while True:
                item = await self._queue.get()
                if isinstance(item, ChatacterError):
                    raise item
                yield item
                if item.last:
                    return
        finally:
            if not self._detached and self._task is not None and not self._task.done():
                self.scope.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([self._task])

    async def whole(self) -> Whole:
        """Wait for the end. Raises the error that the reply failed with, also after its first text."""
        events: list[Event] = []
        ending = await self.ending(lambda _: None, events.append)
        text = "".join(event.data["text"] for event in events if event.type == DELTA)
        return Whole(text, events[0].data, ending)

    async def ending(
        self, take: Callable[[Chunk], None], note: Callable[[Event], None] = lambda _: None
    ) -> dict[str, Any]:
        """Hand the provider's chunks and the events on, and return the last event's data. Raises as `whole` does."""
        last: Event | None = None
        async with aclosing(self.heard()) as heard:
            async for item in heard:
                if item.chunk is not None:
                    take(item.chunk)
                if item.event is not None:
                    last = item.event
                    note(last)
        assert last is not None, "a reply ended without a word"
        if last.type == FAILED:
            raise (named(last.data["code"]) or UpstreamFailed)(last.data["message"])
        return last.data


@dataclass(slots=True)
class Outcome:
    """What the provider said besides the text."""

    finish_reason: str = "stop"
    usage: dict[str, Any] | None = None
    model: str | None = None

    def take(self, chunk: Chunk) -> str:
        """Note what a chunk tells and return its text, which may be empty."""
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        self.finish_reason = finish_reason_of(chunk) or self.finish_reason
        return text_of(chunk)

    def attributes(self) -> dict[str, Any]:
        """Describe it in OpenTelemetry's GenAI conventions."""
        usage = self.usage or {}
        return {
            "gen_ai.response.finish_reasons": [self.finish_reason],
            "gen_ai.usage.input_tokens": usage.get("prompt_tokens", 0),
            "gen_ai.usage.output_tokens": usage.get("completion_tokens", 0),
        }


@dataclass(slots=True)
class Draft:
    """A reply's text as it grows, handed to the listener and put into the log."""

    running: Running
    writer: LogWriter
    opening: Event
    text: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)
    began: float = field(default_factory=time.perf_counter)
    opened: bool = False

    def hear(self, event: Event | None, chunk: Chunk | None = None) -> None:
        """Hand something to the listener. The opening waits for it: until then an error is a plain error."""
        if not self.opened:
            self.opened = True
            self.running.put(Heard(self.opening))
        self.running.put(Heard(event, chunk))

    def take(self, chunk: Chunk) -> bool:
        """Take a chunk of the provider's; True for the first that has text."""
        piece = self.outcome.take(chunk)
        first = bool(piece) and not self.text
        if piece:
            self.text.append(piece)
            self.hear(self.writer.event(DELTA, {"text": piece}), chunk)
        else:
            self.hear(None, chunk)
        return first

    def fail(self, error: ChatacterError) -> None:
        """End with an error: told in the stream where that has begun, else raised at the listener."""
        failed = self.writer.event(FAILED, failure(error))
        self.running.put(Heard(failed) if self.opened else error)


def failure(error: ChatacterError) -> dict[str, Any]:
    """Describe why a reply failed."""
    return {"code": error.code, "message": error.message, "retryable": error.retryable}
