"""The embedded language model: llama.cpp in a process of its own, spoken to as any other provider.

What makes it quick on two cores is its prompt cache. Each conversation has a slot, so that a turn reads only what is
new; and what every conversation with a character begins with (`ChatRequest.prefix`) is read once, kept as a file, and
put into a slot within milliseconds when somebody begins to talk with that character.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chatacter.chassis.tasks import stopped
from chatacter.models.store import ModelStore
from chattr.adapters.going_on import OPEN_END
from chattr.adapters.llama_abilities import sampling_for
from chattr.adapters.llama_server import LlamaServer
from chattr.adapters.llama_slots import Slot
from chattr.ports.language import ChatRequest, Chunk

logger = logging.getLogger(__name__)

GGUF: Final = "model.gguf"
# Beside what is asked for: keeps a very small model from wandering and from repeating itself. A penalty that reaches
# back as far as the persona, or a stronger one, makes it avoid its own name: "Hello, Ada" instead of "I am Ada".
SAMPLING: Final = {
    "min_p": 0.1,
    "top_k": 40,
    "top_p": 0.95,
    "repeat_penalty": 1.05,
    "repeat_last_n": 32,
    "cache_prompt": True,
}
READING_SECONDS: Final = 120.0
# Stands for any message, so that the cache ends after the template's "now the user speaks".
ANY_MESSAGE: Final = {"role": "user", "content": "."}

LOADING: Final = "The embedded language model is loading."
STOPPED: Final = "The embedded language model stopped, perhaps for want of memory; the next message starts it again."
GAVE_WAY: Final = "Somebody talks with the embedded language model; what nobody waits for comes later."
LATE: Final = "The embedded language model took longer than it was given."

Messages = Sequence[Mapping[str, Any]]


class LocalLanguageModel:
    """An installed model, run here. An async context manager: entering it begins to load, leaving it ends the process.

    `home` is where cache and log lie. `prefixes` are read in the background while nobody talks. As many `conversations`
    stay warm at a time, with `slot_tokens` of prompt and answer each. Without `preload` the first request loads.
    """

    def __init__(
        self,
        *,
        store: ModelStore,
        name: str,
        home: Path,
        threads: int = 1,
        slot_tokens: int = 2048,
        conversations: int = 4,
        prefixes: Sequence[Messages] = (),
        preload: bool = True,
    ) -> None:
        self.name = name
        self._store = store
        self._home = home
        self._threads = threads
        self._slot_tokens = slot_tokens
        self._conversations = conversations
        self._wanted = list(prefixes)
        self._preload = preload
        self._launch: asyncio.Task[LlamaServer] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._talking = 0
        self._aside: set[asyncio.Task[list[Chunk]]] = set()
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to load; does not wait for it."""
        if self._preload:
            self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, whatever it is doing."""
        self._talking += 1  # Nothing begins any more.
        for task in (self._reader, self._launch):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        await self._resources.aclose()

    async def check(self) -> str | None:
        """Say that it loads, or why it cannot."""
        if self._launch is None:
            try:
                await asyncio.to_thread(self._store.file, self.name, GGUF)
            except errors.Misconfigured as error:
                return error.message
            return None
        if not self._launch.done():
            return LOADING
        failure = None if self._launch.cancelled() else self._launch.exception()
        if failure is not None:
            return failure.message if isinstance(failure, errors.ChatacterError) else STOPPED
        return None if self._launch.result().alive else STOPPED

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        """Answer in chunks; see the port. Waits while the model loads."""
        asked_for = sampling_for(request, most=self._conversations + 1)
        server = await self._loaded(deadline)
        if request.background:
            for chunk in await self._heard_aside(server, request, asked_for, deadline):
                yield chunk
            return
        self._talking += 1
        for task in (self._reader, *self._aside):
            if task is not None:
                task.cancel()
        try:
            async with aclosing(self._answered(server, request, asked_for, deadline)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._talking -= 1
            self._read_on(server)

    async def _heard_aside(
        self, server: LlamaServer, request: ChatRequest, asked_for: Mapping[str, Any], deadline: Deadline
    ) -> list[Chunk]:
        """Return a whole answer for which nobody waits. Raises `Busy` as soon as somebody talks."""
        if self._talking:
            raise errors.Busy(GAVE_WAY, retry_after=1)

        async def whole() -> list[Chunk]:
            async with aclosing(self._answered(server, request, asked_for, deadline)) as chunks:
                return [chunk async for chunk in chunks]

        task = asyncio.create_task(whole())
        self._aside.add(task)
        try:
            await asyncio.wait([task])
        finally:
            self._aside.discard(task)
            await stopped(task)
        if task.cancelled():
            raise errors.Busy(GAVE_WAY, retry_after=1)
        return task.result()

    async def _answered(
        self, server: LlamaServer, request: ChatRequest, asked_for: Mapping[str, Any], deadline: Deadline
    ) -> AsyncGenerator[Chunk]:
        """Answer in the slot that a conversation has."""
        try:
            async with server.slots.place(request.conversation, deadline) as (slot, anew):
                if anew:
                    await self._prepare(server, slot, request.messages[: request.prefix], deadline)
                sampling = {**SAMPLING, **asked_for, "id_slot": slot.number}
                if request.goes_on:
                    sampling |= OPEN_END
                asked = harmless(server, request.messages, sampling)
                async with aclosing(server.provider.stream(asked, deadline)) as chunks:
                    async for chunk in chunks:
                        yield chunk
        except TimeoutError:
            raise errors.DeadlineExceeded(LATE) from None
        except (errors.Unavailable, errors.UpstreamFailed, httpx.HTTPError) as error:
            if isinstance(error, errors.ChatacterError) and not await server.ended():
                raise
            raise errors.Unavailable(STOPPED, retry_after=1) from None

    async def computing(self) -> bool:
        """Whether llama.cpp works for anybody at this moment, its own reading in the background included."""
        return await (await self._loaded(Deadline.after(READING_SECONDS))).computing()

    async def _loaded(self, deadline: Deadline) -> LlamaServer:
        """Wait for the running server. One that failed or died is started again."""
        launch = self._launch
        if launch is None or (launch.done() and not alive(launch)):
            launch = self._begin()
        try:
            async with deadline.timeout():
                return await asyncio.shield(launch)
        except TimeoutError:
            raise errors.NotReady(LOADING, retry_after=5) from None

    def _begin(self) -> asyncio.Task[LlamaServer]:
        self._launch = asyncio.create_task(self._start())
        self._launch.add_done_callback(told)
        return self._launch

    async def _start(self) -> LlamaServer:
        await self._resources.aclose()
        file = await asyncio.to_thread(self._store.file, self.name, GGUF)
        server = LlamaServer(
            file=file,
            name=self.name,
            cache=self._home / "cache" / "language-model",
            log=self._home / "logs" / "language-model.log",
            threads=self._threads,
            conversations=self._conversations,
            slot_tokens=self._slot_tokens,
        )
        await self._resources.enter_async_context(server)
        self._read_on(server)
        return server

    async def _prepare(self, server: LlamaServer, slot: Slot, prefix: Messages, deadline: Deadline) -> None:
        """Put a character's prefix into a slot: the kept one, or by reading it, which the answer would do anyway."""
        if not prefix:
            return
        name = server.name_of(prefix)
        if not (server.keeps(name) and await server.restore(slot.number, name, deadline)):
            await self._read_into(server, slot, prefix, deadline)

    def _read_on(self, server: LlamaServer) -> None:
        """Go on reading prefixes, unless somebody talks."""
        if not self._talking and self._wanted and (self._reader is None or self._reader.done()) and server.alive:
            self._reader = asyncio.create_task(self._read(server))
            self._reader.add_done_callback(lambda reader: self._read_on(server) if reader.cancelled() else None)

    async def _read(self, server: LlamaServer) -> None:
        """Read what is wanted, one after the other. Cancelled when somebody talks; what it read stays in its slot."""
        while self._wanted:
            prefix = self._wanted[0]
            if not server.keeps(server.name_of(prefix)):
                deadline = Deadline.after(READING_SECONDS)
                try:
                    async with server.slots.place(None, deadline) as (slot, _):
                        await self._read_into(server, slot, prefix, deadline)
                except (errors.ChatacterError, TimeoutError) as error:
                    logger.warning("a character's prompt could not be read", extra={"error.type": type(error).__name__})
            self._wanted.remove(prefix)

    async def _read_into(self, server: LlamaServer, slot: Slot, prefix: Messages, deadline: Deadline) -> None:
        """Let llama.cpp read a prefix, and keep what it made of it."""
        sampling = {"max_tokens": 1, "cache_prompt": True, "id_slot": slot.number}
        asked = harmless(server, [*prefix, ANY_MESSAGE], sampling)
        async with aclosing(server.provider.stream(asked, deadline)) as chunks:
            async for _ in chunks:
                pass
        try:
            await server.save(slot.number, server.name_of(prefix))
        except (httpx.HTTPError, OSError) as error:
            logger.warning("a character's prompt could not be kept", extra={"error.type": type(error).__name__})


def harmless(server: LlamaServer, messages: Messages, sampling: Mapping[str, Any]) -> ChatRequest:
    """Ask for an answer to messages, none of which can end itself and begin another; nor can a tool's description."""
    spelling = server.spelling
    tools = {"tools": spelling.harmless(sampling["tools"])} if "tools" in sampling else {}
    return ChatRequest(spelling.harmless(messages), {**sampling, **tools})


def alive(launch: asyncio.Task[LlamaServer]) -> bool:
    """Whether a finished launch succeeded, and what it started still runs."""
    return not launch.cancelled() and launch.exception() is None and launch.result().alive


def told(launch: asyncio.Task[LlamaServer]) -> None:
    """Log a launch that failed, also when nobody waits for it."""
    if launch.cancelled() or launch.exception() is None:
        return
    logger.error("the embedded language model did not start", extra={"error.type": type(launch.exception()).__name__})
