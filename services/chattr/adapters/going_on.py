"""How a provider goes on with a reply that broke off. OpenAI's API has no word for it; most servers have one.

By the **prefix**: the last message is the assistant's and stays open. vLLM, SGLang and llama.cpp take
`continue_final_message` for that, Ollama and others see it by the role. By **asking**: a message of the user's asks for
what comes next. OpenAI itself refuses unknown fields, and its models answer anew.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Final, Literal

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import InvalidInput, TooLarge, UpstreamFailed
from chattr.ports.language import ChatRequest, Chunk, LanguageModel, text_of

Continuation = Literal["auto", "prefix", "ask"]

OPEN_END: Final = {"continue_final_message": True, "add_generation_prompt": False}
PLEASE: Final = (
    "[Your last message broke off. Write what comes next, from the very place where it stopped, and repeat nothing of "
    "it. Write the text alone.]"
)
# So many characters that are the same as the beginning are no chance.
REPEATED: Final = 24


class GoingOn:
    """A provider that goes on with unfinished replies. `auto`: by the prefix, and by asking where that was refused."""

    def __init__(self, provider: LanguageModel, how: Continuation) -> None:
        self.name = provider.name
        self._provider = provider
        self._how = how
        self._refuses: set[str | None] = set()

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        """Answer in chunks; see the port."""
        refused = False
        if request.goes_on and self._how != "ask" and request.model not in self._refuses:
            begun = False
            try:
                async with aclosing(self._provider.stream(by_prefix(request), deadline)) as chunks:
                    async for chunk in chunks:
                        begun = True
                        yield chunk
                return
            except TooLarge:
                raise
            except (InvalidInput, UpstreamFailed) as error:
                if begun or self._how == "prefix":
                    raise
                refused = isinstance(error, InvalidInput)
        asked = by_asking(request) if request.goes_on else request
        joint = Joint(str(request.messages[-1]["content"]) if request.goes_on else "")
        async with aclosing(self._provider.stream(asked, deadline)) as chunks:
            async for chunk in chunks:
                if refused:
                    self._refuses.add(request.model)
                for joined in joint.feed(chunk) if request.goes_on else (chunk,):
                    yield joined

    async def check(self) -> str | None:
        """Return why it cannot answer now."""
        return await self._provider.check()


def by_prefix(request: ChatRequest) -> ChatRequest:
    """Leave the last message open."""
    return replace(request, sampling={**request.sampling, **OPEN_END})


def by_asking(request: ChatRequest) -> ChatRequest:
    """Ask for what comes next."""
    return replace(request, messages=[*request.messages, {"role": "user", "content": PLEASE}], goes_on=False)


class Joint:
    """Joins an answer to the text that it goes on with: drops that text where it is said again, and parts two words.

    Text is held back only while it may still be such a repetition.
    """

    def __init__(self, begun: str) -> None:
        self._begun = begun
        self._held = ""
        self._joined = False

    def feed(self, chunk: Chunk) -> Iterator[Chunk]:
        """Give what a chunk adds."""
        text = text_of(chunk)
        ended = bool(chunk.get("choices")) and chunk["choices"][0].get("finish_reason") is not None
        if self._joined or not (text or ended):
            yield chunk
            return
        self._held += text
        start = self._begun[: len(self._held)]
        if not ended and self._held.lstrip() and start == self._held != self._begun:
            return
        self._joined = True
        rest = self._held
        if rest.startswith(self._begun) and len(self._begun) >= REPEATED:
            rest = rest[len(self._begun) :]
        elif rest[:1].isalnum() and not self._begun[-1:].isspace():
            rest = f" {rest}"
        choice = chunk["choices"][0]
        yield {**chunk, "choices": [{**choice, "delta": {**(choice.get("delta") or {}), "content": rest}}]}
