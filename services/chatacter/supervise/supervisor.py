"""Runs processes together: started in stages, each when the one before is ready; all stop when one dies."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chatacter.supervise.process import Process

ASK_EVERY: Final = 0.25
REMIND_EVERY: Final = 15.0
ONE_PRESS: Final = 1.0
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


class Asked(Exception):
    """Somebody wants everything to stop."""


class Failed(Exception):
    """A process died, or did not become ready. The message says which and why."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was started."""

    process: Process
    handle: asyncio.subprocess.Process


class Supervisor:
    """Starts, watches and stops processes. Every child has a session of its own, so that Ctrl-C reaches only us.

    `grace` is how many seconds a child gets after SIGTERM, `patience` how many it gets to become ready.
    """

    def __init__(self, stages: Sequence[Sequence[Process]], say: Say, *, grace: float, patience: float) -> None:
        self._stages = stages
        self._say = say
        self._grace = grace
        self._patience = patience
        self._children: list[list[Child]] = []
        self._asked = asyncio.Event()
        self._hurried = asyncio.Event()

    async def run(self, when_ready: Callable[[], Awaitable[None]]) -> int:
        """Run until asked to stop, or until a process dies; return the exit code. No child is left behind."""
        code = 0
        with self._signals():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._until_asked())
                    for stage in self._stages:
                        await self._bring_up(stage, group)
                    await when_ready()
            except* Asked:
                self._say("Stopping…")
            except* Failed as failures:
                code = 1
                for failure in failures.exceptions:
                    self._say(str(failure))
            finally:
                await self._stop()
        return code

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal asks; another one, a while later, ends the grace. One Ctrl-C may arrive more than once."""
        loop = asyncio.get_running_loop()
        asked_at = 0.0

        def signalled() -> None:
            nonlocal asked_at
            if not self._asked.is_set():
                asked_at = loop.time()
                self._asked.set()
            elif loop.time() - asked_at > ONE_PRESS:
                self._hurried.set()

        for number in SIGNALS:
            loop.add_signal_handler(number, signalled)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    async def _until_asked(self) -> None:
        await self._asked.wait()
        raise Asked

    async def _bring_up(self, stage: Sequence[Process], group: asyncio.TaskGroup) -> None:
        children: list[Child] = []
        self._children.append(children)
        for process in stage:
            child = await self._start(process)
            children.append(child)
            group.create_task(self._watch(child))
        await asyncio.gather(*(self._until_ready(child.process) for child in children))

    async def _start(self, process: Process) -> Child:
        process.log.parent.mkdir(parents=True, exist_ok=True)
        if process.log.exists():
            process.log.replace(process.log.with_suffix(".previous.log"))
        with process.log.open("wb") as log:
            try:
                handle = await asyncio.create_subprocess_exec(
                    *process.command,
                    stdin=DEVNULL,
                    stdout=log,
                    stderr=STDOUT,
                    env=process.environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise Failed(f"{process.name} cannot be started: {error.strerror}.") from error
        return Child(process, handle)

    async def _watch(self, child: Child) -> None:
        code = await child.handle.wait()
        raise Failed(
            f"{child.process.name} {ending(code)}. "
            f"Its last lines, from {child.process.log}:\n{child.process.last_lines()}"
        )

    async def _until_ready(self, process: Process) -> None:
        """Tell what the process is waiting for, whenever that changes and now and then. Raises `Failed`."""
        loop = asyncio.get_running_loop()
        began = told_at = loop.time()
        told = None
        while (waiting := await process.ready()) is not None:
            now = loop.time()
            if now - began > self._patience:
                raise Failed(f"{process.name} was not ready in {self._patience:g} s ({waiting}); see {process.log}.")
            if waiting != told or now - told_at > REMIND_EVERY:
                told, told_at = waiting, now
                self._say(f"{process.name}: {waiting.rstrip('.')}…")
            await asyncio.sleep(ASK_EVERY)
        self._say(f"{process.name}: ready after {loop.time() - began:.1f} s.")

    async def _stop(self) -> None:
        """Stop the stages in reverse order, so that nothing loses what it needs while it still works."""
        for children in reversed(self._children):
            await asyncio.gather(*(self._end(child) for child in children))

    async def _end(self, child: Child) -> None:
        """Ask a child to stop, and kill it when its grace is over. What it had started does not outlive it."""
        if child.handle.returncode is None:
            await self._ask_to_stop(child)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.handle.pid, signal.SIGKILL)
        await child.handle.wait()

    async def _ask_to_stop(self, child: Child) -> None:
        child.handle.terminate()
        waits = {asyncio.create_task(child.handle.wait()), asyncio.create_task(self._hurried.wait())}
        await asyncio.wait(waits, timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
        if child.handle.returncode is None:
            self._say(f"{child.process.name} has not stopped; killing it.")
        for task in waits:
            task.cancel()


def ending(code: int) -> str:
    """Say how a process ended."""
    if code == -signal.SIGKILL:
        return "was killed, perhaps because memory ran out"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended by itself (exit code {code})"


def say(line: str) -> None:
    """Write a line for the person at the terminal."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
