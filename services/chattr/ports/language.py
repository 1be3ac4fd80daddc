"""A language model that continues a conversation, text by text."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from chatacter.chassis.deadline import Deadline

# One OpenAI `chat.completion.chunk`, parsed, otherwise as it came. A model object each would cost a factor of thirty.
Chunk: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked: OpenAI's `messages`, and every other field of the body in `sampling`, passed on as it stands."""

    messages: Sequence[Mapping[str, Any]]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    conversation: str | None = None
    """Requests of one conversation share a growing prompt, which a model with a prompt cache keeps warm. None: none."""
    prefix: int = 0
    """How many leading messages are the same in every conversation with this character; `Prompt.prefix`."""
    goes_on: bool = False
    """The last message is the assistant's, and unfinished: the answer is what comes after it."""
    yielding: frozenset[str] = frozenset()
    """Parameters that nobody asked for by name (ours, or the character's): a model that does not take one is asked
    without it. Any other is refused with the provider's reason."""
    model: str | None = None
    """Which of the provider's models answers, one of `MODEL__ALTERNATIVES`. None: the installation's."""
    background: bool = False
    """Nobody waits for the answer: a model that computes here gives way to those who talk, and raises `Busy` then."""


class LanguageModel(Protocol):
    """Anything that speaks OpenAI's chat completions."""

    name: str

    def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        """Answer in chunks. Closing the generator ends the work at the provider.

        Raises, nearly always before the first chunk: `Misconfigured` (no key, wrong key, unknown model: says what to
        set), `Busy` (rate limit), `NotReady` (still loading), `Unavailable` (cannot be reached, or failing),
        `TooLarge` (the prompt is longer than the context), `InvalidInput` (a parameter or a message that it does not
        take, `Unsupported` where we know it beforehand), `UpstreamFailed` (failed, or broke off), `DeadlineExceeded`.
        """
        ...

    async def check(self) -> str | None:
        """Return why it cannot answer now, as a sentence for the operator, or None when it can."""
        ...


def text_of(chunk: Chunk) -> str:
    """Return the text that a chunk adds to the first choice; empty where it adds none."""
    choice = first_choice(chunk)
    return (choice.get("delta") or {}).get("content") or "" if choice else ""


def finish_reason_of(chunk: Chunk) -> str | None:
    """Return why the first choice ended, in the chunk that says so."""
    choice = first_choice(chunk)
    return choice.get("finish_reason") if choice else None


def first_choice(chunk: Chunk) -> dict[str, Any] | None:
    """Return what a chunk tells of the first choice, which may be nothing."""
    for choice in chunk.get("choices") or ():
        if not choice.get("index"):
            told: dict[str, Any] = choice
            return told
    return None
