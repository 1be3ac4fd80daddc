"""One run of `llama_process`: started, asked where it listens, ended; and the files that its cache is kept in."""

import asyncio
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import orjson
from pydantic import SecretStr

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chattr.adapters.gguf_vocabulary import Spelling
from chattr.adapters.llama_slots import Slots
from chattr.adapters.openai_llm import OpenAILanguageModel

RUNTIME: Final = "xllamacpp"
CONNECT_SECONDS: Final = 5.0
ENDING_SECONDS: Final = 2.0
NOTICE_SECONDS: Final = 0.5
# The process' answer: some models have thousands of control tokens.
LONGEST_LINE: Final = 4 * 1024 * 1024
# A persona of 250 tokens takes 3 MB; the built-in characters' and those talked with last.
MOST_FILES: Final = 64
# Reading a prompt is one long sum, which a second thread halves; writing waits for all threads at every token.
READING_THREADS: Final = 2
# OpenMP's threads spin while they wait for each other. Where other work wants the cores too, they then mostly wait for
# a thread that waits for a core: two of them read 13 tokens a second on a crowded machine, and 35 without spinning.
WAIT_WITHOUT_SPINNING: Final = "OMP_WAIT_POLICY=PASSIVE"

MISSING: Final = (
    "The embedded language model needs {name!r}: pip install 'chatacter[embedded]', or set MODEL__URL to a provider."
)
FAILED: Final = (
    "The embedded language model {model} could not be loaded: is the file whole, is there memory? See {log}."
)


class LlamaServer:
    """A running server with its slots. Entering it loads the model; leaving it ends the process at once."""

    def __init__(
        self, *, file: Path, name: str, cache: Path, log: Path, threads: int, conversations: int, slot_tokens: int
    ) -> None:
        self._file = file
        self._name = name
        self._cache = cache
        self._log = log
        self._threads = threads
        self._slot_tokens = slot_tokens
        self._conversations = conversations
        self._process: asyncio.subprocess.Process | None = None
        self._resources = AsyncExitStack()
        self._identity = ""
        self._kept: set[str] = set()
        self.slots = Slots(conversations)
        self.spelling = Spelling(())

    async def __aenter__(self) -> Self:
        """Start the process and wait until the model is loaded. Raises `Misconfigured`."""
        key = secrets.token_hex(16)
        try:
            self._identity, self._kept = await asyncio.to_thread(self._prepared)
            url = await self._started(key)
            self.provider = await self._resources.enter_async_context(
                OpenAILanguageModel(
                    name=self._name,
                    url=f"{url}/v1",
                    api_key=SecretStr(key),
                    max_retries=0,
                    through_proxy=False,
                    keep_alive=False,  # It closes a connection after a stream, now and then under the next request.
                )
            )
            self._http = await self._resources.enter_async_context(
                httpx.AsyncClient(
                    base_url=url,
                    headers={"authorization": f"Bearer {key}"},
                    # It answers between two batches of somebody's prompt, which takes long on a busy machine.
                    timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
                    limits=httpx.Limits(max_keepalive_connections=0),
                    trust_env=False,
                )
            )
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, whatever it is writing."""
        await self._end()

    async def _end(self) -> None:
        await self._resources.aclose()
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process is not None and self._process.returncode is None

    async def ended(self) -> bool:
        """Whether the process is gone, or goes within the moment in which a broken connection may tell of it first."""
        if self._process is None:
            return True
        try:
            async with asyncio.timeout(NOTICE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    def _prepared(self) -> tuple[str, set[str]]:
        """Make the folders; say which model and runtime the cache belongs to, and what it holds."""
        for folder in (self._cache, self._log.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stat = self._file.stat()
        try:
            runtime = version(RUNTIME)
        except PackageNotFoundError:
            raise errors.Misconfigured(MISSING.format(name=RUNTIME)) from None
        identity = digest([self._name, stat.st_size, stat.st_mtime_ns, runtime])[:16]
        return identity, {path.name for path in self._cache.glob(f"{identity}-*.kv")}

    async def _started(self, key: str) -> str:
        order = {
            "file": str(self._file),
            "api_key": key,
            "threads": self._threads,
            "reading_threads": max(self._threads, READING_THREADS),
            "slots": self._conversations + 1,
            "slot_tokens": self._slot_tokens,
            "cache": str(self._cache),
        }
        log = await asyncio.to_thread(self._log.open, "wb")
        try:
            self._process = await asyncio.create_subprocess_exec(
                "env",
                WAIT_WITHOUT_SPINNING,
                sys.executable,
                "-m",
                "chattr.adapters.llama_process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LONGEST_LINE,
                # A Ctrl-C in the terminal is for Chattr, which then ends this process in its own time.
                start_new_session=True,
            )
        finally:
            await asyncio.to_thread(log.close)
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(orjson.dumps(order) + b"\n")
        line = await stdout.readline()
        said: dict[str, Any] = orjson.loads(line) if line else {}
        if "missing" in said:
            raise errors.Misconfigured(MISSING.format(name=said["missing"]))
        if "url" not in said:
            raise errors.Misconfigured(FAILED.format(model=self._name, log=self._log))
        self.spelling = Spelling(said["control_tokens"])
        return str(said["url"])

    def name_of(self, prefix: Sequence[Mapping[str, Any]]) -> str:
        """Name the file in which a read prefix is kept: another model, runtime or text has another name."""
        return f"{self._identity}-{digest(list(prefix))[:32]}.kv"

    def keeps(self, name: str) -> bool:
        """Whether there is such a file."""
        return name in self._kept

    async def restore(self, slot: int, name: str, deadline: Deadline) -> bool:
        """Put a kept prefix into a slot; False, and the file is forgotten, when llama.cpp does not take it.

        False also when the connection breaks: whether the process is gone, the message that follows will tell.
        """
        async with deadline.timeout():
            try:
                taken = await self._slot_action(slot, "restore", name)
            except httpx.TransportError:
                return False
        if not taken:
            self._kept.discard(name)
        return taken

    async def save(self, slot: int, name: str) -> bool:
        """Keep what a slot holds. The file appears whole or not at all."""
        part = f"{name}.part"
        if not await self._slot_action(slot, "save", part):
            return False
        self._kept.add(name)
        self._kept -= await asyncio.to_thread(self._publish, part, name)
        return True

    async def computing(self) -> bool:
        """Whether any slot is being worked for."""
        slots = (await self._http.get("/slots")).json()
        return any(slot["is_processing"] for slot in slots)

    async def _slot_action(self, slot: int, action: str, filename: str) -> bool:
        answer = await self._http.post(f"/slots/{slot}", params={"action": action}, json={"filename": filename})
        return answer.is_success

    def _publish(self, part: str, name: str) -> set[str]:
        """Give a written file its name; delete the oldest beyond the limit, and say which."""
        (self._cache / part).replace(self._cache / name)
        files = sorted(self._cache.glob("*.kv"), key=lambda path: path.stat().st_mtime)
        for old in files[:-MOST_FILES]:
            old.unlink(missing_ok=True)
        return {old.name for old in files[:-MOST_FILES]}


def digest(value: Any) -> str:
    """Return 128 bits in hex that stand for a JSON value."""
    return blake2b(orjson.dumps(value), digest_size=16).hexdigest()
