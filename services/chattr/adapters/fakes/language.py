"""A scripted language model."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chattr.ports.language import ChatRequest, Chunk

Answer = Callable[[ChatRequest], Sequence[str]]


class FakeLanguageModel:
    """Answers what it is told to, counts what it did, and keeps every request in `requests`.

    `answer` makes the deltas of a request; without one it says back what it was told. `failure` is raised instead.
    `held`, while cleared, stops the answer after its first delta until somebody sets it.
    """

    def __init__(self, answer: Answer | None = None, *, name: str = "fake", failure: Exception | None = None) -> None:
        self.name = name
        self.answer = answer or echo
        self.failure = failure
        self.requests: list[ChatRequest] = []
        self.finished = 0
        self.abandoned = 0
        self.held = asyncio.Event()
        self.held.set()

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        """Answer as scripted; see the port."""
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        whole = False
        try:
            for delta in self.answer(request):
                yield chunk(self.name, delta)
                async with deadline.timeout():
                    await self.held.wait()
            yield chunk(self.name, None, "stop")
            whole = True
        except TimeoutError:
            raise errors.DeadlineExceeded("The language model took longer than it was given.") from None
        finally:
            self.finished += whole
            self.abandoned += not whole

    async def check(self) -> str | None:
        """Say what stands in the way: the failure that it was given."""
        return str(self.failure) if self.failure is not None else None


def echo(request: ChatRequest) -> Sequence[str]:
    """Say the newest user message back, word by word."""
    heard = next((str(m["content"]) for m in reversed(request.messages) if m["role"] == "user"), "")
    return ["You said:", *(f" {word}" for word in heard.split())]


def chunk(model: str, content: str | None, finish_reason: str | None = None) -> Chunk:
    """Make one chunk as a provider would send it."""
    delta = {} if content is None else {"content": content}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
