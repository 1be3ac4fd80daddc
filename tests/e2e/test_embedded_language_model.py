"""The embedded language model's process: what it keeps, what it survives, what it says when it cannot run."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chatacter.models.store import ModelStore
from chattr.adapters.local_llm import LOADING, STOPPED, LocalLanguageModel
from chattr.ports.language import ChatRequest, Chunk, text_of

pytestmark = pytest.mark.e2e

PERSONA = [{"role": "system", "content": "You are Ada. " + "You love numbers, engines and long letters. " * 20}]
FEW = {"max_tokens": 4, "temperature": 0.0}


class Opened:
    """Makes models that share a home and are closed at the test's end."""

    def __init__(self, stack: AsyncExitStack, models: Path, home: Path) -> None:
        self.stack = stack
        self.models = models
        self.home = home

    async def __call__(self, **more: Any) -> LocalLanguageModel:
        given: dict[str, Any] = {
            "store": ModelStore(self.models),
            "name": "smollm2-135m-instruct",
            "home": self.home,
            "threads": 1,
            **more,
        }
        return await self.stack.enter_async_context(LocalLanguageModel(**given))

    def kept(self) -> list[Path]:
        return sorted((self.home / "cache").rglob("*.kv"))


@pytest.fixture
async def opened(models_home: Path, tmp_path: Path) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:
        yield Opened(stack, models_home, tmp_path / "home")


async def last_of(model: LocalLanguageModel, text: str, conversation: str | None = "talk") -> Chunk:
    """The last chunk of a short answer; llama.cpp says in it what it read and what it had in its cache."""
    asked = ChatRequest([*PERSONA, {"role": "user", "content": text}], FEW, conversation, prefix=1)
    return [chunk async for chunk in model.stream(asked, Deadline.after(120))][-1]


async def until(met: Callable[[], bool], seconds: float = 90) -> None:
    async with asyncio.timeout(seconds):
        while not met():  # another process: it has no event to wait for
            await asyncio.sleep(0.02)


def process() -> int | None:
    """The process that a model of this test runs in."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    found = [pid for pid in children if b"llama_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(found[0]) if found else None


async def test_a_prefix_is_read_once_and_kept_for_the_next_start(opened: Opened) -> None:
    first = await opened(prefixes=[PERSONA])
    assert await first.check() == LOADING
    await until(lambda: len(opened.kept()) == 1)
    assert (await last_of(first, "Hello?"))["timings"]["cache_n"] > 150
    assert await first.check() is None
    second = await opened(prefixes=[PERSONA])
    said = (await last_of(second, "Hello?"))["timings"]
    assert said["cache_n"] > 150
    assert said["prompt_n"] < 30
    assert len(opened.kept()) == 1


async def test_each_conversation_keeps_its_own_cache(opened: Opened) -> None:
    model = await opened(conversations=2)
    await last_of(model, "Hello, this is one.", "one")
    await last_of(model, "Hello, this is two.", "two")
    await last_of(model, "Background work.", None)
    for conversation in ("one", "two"):
        said = (await last_of(model, f"Hello, this is {conversation}.", conversation))["timings"]
        assert said["prompt_n"] < 5


async def test_what_nobody_waits_for_gives_way_to_those_who_talk_and_takes_nobodys_cache(opened: Opened) -> None:
    model = await opened(conversations=1)
    await last_of(model, "Good day")
    aside = ChatRequest([{"role": "user", "content": "Count. " * 200}], {"max_tokens": 8}, background=True)
    assert [chunk async for chunk in model.stream(aside, Deadline.after(120))]
    warm = await last_of(model, "Good day")
    assert warm["timings"]["prompt_n"] < 5, "the talk is still in its slot"

    async def heard() -> list[Chunk]:
        return [
            chunk async for chunk in model.stream(replace(aside, sampling={"max_tokens": 900}), Deadline.after(120))
        ]

    working = asyncio.create_task(heard())
    async with asyncio.timeout(60):
        while not await model.computing():
            await asyncio.sleep(0.01)
    talking = asyncio.create_task(last_of(model, "Good evening"))
    with pytest.raises(errors.Busy):
        await working
    assert await talking


async def test_a_new_characters_prefix_is_kept_from_its_first_turn_on(opened: Opened) -> None:
    model = await opened()
    await last_of(model, "Hello?", "one")
    assert len(opened.kept()) == 1
    assert (await last_of(model, "Good day!", "two"))["timings"]["cache_n"] > 150


async def test_a_damaged_file_costs_time_and_nothing_else(opened: Opened) -> None:
    async with AsyncExitStack() as stack:
        first = Opened(stack, opened.models, opened.home)
        await first(prefixes=[PERSONA])
        await until(lambda: len(opened.kept()) == 1)
    file = opened.kept()[0]
    file.write_bytes(file.read_bytes()[:1000])
    assert await last_of(await opened(), "Hello?")
    assert file.stat().st_size > 1000


async def test_a_process_that_dies_is_started_again(opened: Opened) -> None:
    model = await opened()
    asked = ChatRequest([{"role": "user", "content": "Count."}], {"max_tokens": 2000, "ignore_eos": True}, "talk")
    chunks = model.stream(asked, Deadline.after(60))
    await anext(chunks)
    pid = process()
    assert pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(errors.Unavailable) as caught:
        async for _ in chunks:
            pass
    assert caught.value.message == STOPPED
    assert await model.check() == STOPPED
    assert await last_of(model, "Hello?")
    assert await model.check() is None


async def test_closing_ends_the_process_at_once_whatever_it_is_writing(opened: Opened) -> None:
    async with AsyncExitStack() as stack:
        model = await Opened(stack, opened.models, opened.home)()
        asked = ChatRequest([{"role": "user", "content": "Count."}], {"max_tokens": 2000, "ignore_eos": True}, "talk")
        chunks = model.stream(asked, Deadline.after(60))
        await anext(chunks)
        pid = process()
        assert pid
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(errors.Unavailable):
        async for _ in chunks:
            pass


async def test_it_loads_with_the_first_request_where_nothing_is_preloaded(opened: Opened) -> None:
    model = await opened(preload=False)
    assert await model.check() is None
    assert process() is None
    assert await last_of(model, "Hello?")


async def test_a_model_that_is_not_installed_says_how_to_install_it(opened: Opened) -> None:
    model = await opened(name="no-such-model")
    with pytest.raises(errors.Misconfigured, match="chatacter models install no-such-model"):
        await last_of(model, "Hello?")
    assert "chatacter models install" in (await model.check() or "")


async def test_a_file_that_is_no_model_says_so(opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "broken"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"not a model" * 1000)
    model = await opened(name="broken", store=ModelStore(tmp_path / "models"))
    with pytest.raises(errors.Misconfigured, match="could not be loaded"):
        await last_of(model, "Hello?")
    assert "could not be loaded" in (await model.check() or "")


async def test_an_unfinished_message_is_gone_on_with_in_the_middle_of_a_word(opened: Opened) -> None:
    model = await opened()
    half = {"role": "assistant", "content": "The capital of France is Par"}
    talk = [{"role": "user", "content": "Spell the capital of France."}, half]
    asked = ChatRequest(talk, {"max_tokens": 8, "temperature": 0.0}, "talk", goes_on=True)
    said = "".join([text_of(chunk) async for chunk in model.stream(asked, Deadline.after(120))])
    assert said == "is."
