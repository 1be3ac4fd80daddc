"""What prompts are made of, what they cost, and what a model can take."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from chattr.domain.lorebook.activation import Lore

Role = Literal["user", "assistant", "tool"]
Message = dict[str, Any]
Counter = Callable[[str], int]

# Around each message a chat template writes its role and its borders; five tokens in Qwen's, more in others.
MESSAGE_TOKENS: Final = 6
# What a part that is no text counts for: OpenAI's price of its largest picture, 85 and 170 for each of six tiles, or
# of one in low detail. What other providers count, and for sounds and files, is known to them alone.
PICTURE_TOKENS: Final = 1105
SMALL_PICTURE_TOKENS: Final = 85
# The most of the context that lore may take: what is always told, what was spoken of, and the latter where reading is
# slow, since it is read anew with every message.
LORE_SHARE: Final = 0.25
SLOW_LORE_SHARE: Final = 0.1
# The most of the context that facts may take, beside what is remembered of turns.
FACTS_SHARE: Final = 0.06


def estimated_tokens(text: str) -> int:
    """Estimate tokens where the tokenizer is unknown; rather too many: 3.5 ASCII letters each, others singly."""
    if text.isascii():
        return math.ceil(len(text) / 3.5)
    narrow = len(text.encode("ascii", "ignore"))
    astral = len(text.encode("utf-16-le", "surrogatepass")) // 2 - len(text)
    return math.ceil(narrow / 3.5) + (len(text) - narrow) + 2 * astral


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that was said, called or shown."""

    role: Role
    content: str
    """Its words; empty where it has none."""
    speaker: str | None = None
    """Whose words these are, where several talk: the name stands before them. None: the role says it."""
    raw: Mapping[str, Any] | None = None
    """The OpenAI message, where it is more than text (tool calls and their results, pictures): sent as it stands,
    beside its neighbours and never merged with them."""

    @property
    def text(self) -> str:
        """The words, after the speaker's name where there is one."""
        return f"{self.speaker}: {self.content}" if self.speaker else self.content


@dataclass(frozen=True, slots=True)
class Digest:
    """A summary of the beginning of a conversation."""

    id: str
    text: str
    after: int
    """How many turns of the history at hand it sums up, from the first on."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the model can take: a property of the model, set once."""

    context_tokens: int = 8192
    """Persona, history, memories and the new message together."""
    max_tokens: int = 512
    """Most tokens of an answer."""
    temperature: float = 0.7
    """Where the character has none of its own."""
    disclosure: bool = True
    """How the honest answer to "are you human?" is asked for: told in the persona, or, for a very small model, which
    would make it its topic, shown right before such a question."""
    slow: bool = False
    """Whether reading costs so much that the beginning of a prompt must stay as it is. Lore that was spoken of then
    stands beside the memories, and examples stay while the history grows."""
    count: Counter = estimated_tokens
    """Tokens of a text."""

    def of(self, messages: Iterable[Mapping[str, Any]]) -> int:
        """Count whole messages: their text, what else they say as JSON, and their pictures by a fixed estimate."""
        return sum(message_tokens(message, self.count) + MESSAGE_TOKENS for message in messages)

    @property
    def settled_lore(self) -> int:
        """Most tokens of lore that is always told."""
        return int(self.context_tokens * LORE_SHARE)

    @property
    def called_lore(self) -> int:
        """Most tokens of lore that was spoken of."""
        return int(self.context_tokens * (SLOW_LORE_SHARE if self.slow else LORE_SHARE))

    @property
    def facts(self) -> int:
        """Most tokens of facts."""
        return int(self.context_tokens * FACTS_SHARE)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the prompt: what it costs, and what of it was left out and why."""

    name: Literal["system", "examples", "lore", "summary", "history", "facts", "memories", "message"]
    tokens: int
    kept: int
    dropped: int = 0
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent. `prefix` leading messages are the same bytes in every conversation with this character."""

    messages: list[Message]
    sampling: dict[str, Any]
    prefix: int
    parts: tuple[Part, ...] = field(default=())
    lore: Lore = field(default_factory=Lore)
    memories: tuple[str, ...] = ()
    """Those that had room, as they are told."""
    facts: tuple[str, ...] = ()
    """Facts that had room, as they are told."""
    summary: Digest | None = None
    """What stands for the beginning of a long conversation."""

    @property
    def cut_off(self) -> bool:
        """Whether some of the history did not fit."""
        return any(part.dropped for part in self.parts if part.name == "history")

    @property
    def tokens(self) -> int:
        """The whole prompt's tokens."""
        return sum(part.tokens for part in self.parts)


def lines_part(
    name: Literal["facts", "memories"], tokens: int, kept: Sequence[str], offered: Sequence[str], why: str
) -> Part:
    """Say what became of lines of which some had no room."""
    flat = [" ".join(line.split()) for line in offered]
    left = [why.format(number=number) for number, line in enumerate(flat, 1) if line not in kept]
    return Part(name, tokens, len(kept), len(offered) - len(kept), tuple(left))


def content_parts(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return a message's content as parts."""
    content = message.get("content") or ()
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(message: Mapping[str, Any]) -> str:
    """Return what a message says in words, its parts joined by line breaks."""
    return "\n".join(part["text"] for part in content_parts(message) if part.get("text"))


def message_tokens(message: Mapping[str, Any], count: Counter) -> int:
    """Count a message without its borders."""
    content = message.get("content")
    told = count(content) if isinstance(content, str) else sum(part_tokens(part, count) for part in content or ())
    more = {name: value for name, value in message.items() if value and name not in {"role", "content"}}
    return told + (count(json.dumps(more, ensure_ascii=False)) if more else 0)


def part_tokens(part: Mapping[str, Any], count: Counter) -> int:
    """Count a part of a message's content."""
    if isinstance(part.get("text"), str):
        return count(part["text"])
    picture = part.get("image_url")
    small = isinstance(picture, Mapping) and picture.get("detail") == "low"
    return SMALL_PICTURE_TOKENS if small else PICTURE_TOKENS
