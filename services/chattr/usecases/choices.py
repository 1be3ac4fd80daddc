"""The choices of a reply, put together from a provider's chunks. Source: OpenAI API reference, "Streaming"."""

from collections.abc import Mapping
from typing import Any, Final

from chattr.ports.language import Chunk

# What a chunk repeats or leaves out; everything else of its outermost object belongs to the whole.
PER_CHUNK: Final = frozenset({"id", "object", "created", "model", "choices", "usage"})
PER_CHOICE: Final = frozenset({"index", "delta", "logprobs", "finish_reason"})
# Said once, though some providers repeat it with every piece; all other texts come in pieces.
SAID_ONCE: Final = frozenset({"role", "id", "type", "name"})


class Choice:
    """One choice as it grows. Its text is kept in pieces, since it comes in thousands of them."""

    __slots__ = ("finish_reason", "logprobs", "message", "more", "pieces")

    def __init__(self) -> None:
        self.message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        self.pieces: list[str] = []
        self.logprobs: dict[str, Any] | None = None
        self.more: dict[str, Any] = {}
        self.finish_reason: str | None = None

    def take(self, told: Mapping[str, Any]) -> None:
        """Add what a chunk tells of it."""
        delta = told.get("delta") or {}
        text = delta.get("content")
        if isinstance(text, str):
            self.pieces.append(text)
            if len(delta) > 1:
                add(self.message, {name: value for name, value in delta.items() if name != "content"})
        elif delta:
            add(self.message, delta)
        if told.get("logprobs"):
            self.logprobs = self.logprobs or {}
            add(self.logprobs, told["logprobs"])
        self.finish_reason = told.get("finish_reason") or self.finish_reason
        if beside := told.keys() - PER_CHOICE:
            self.more |= {name: told[name] for name in beside if told[name] is not None}

    def whole(self, index: int) -> dict[str, Any]:
        """Return it as an answer that is not streamed has it: tool calls without their places."""
        message = dict(self.message)
        if self.pieces:
            message["content"] = "".join(self.pieces)
        if message.get("tool_calls"):
            message["tool_calls"] = [
                {name: value for name, value in call.items() if name != "index"} for call in message["tool_calls"]
            ]
        told = {"index": index, "message": message, "logprobs": self.logprobs}
        return {**told, **self.more, "finish_reason": self.finish_reason}


class Choices:
    """Takes chunks, gives the whole: text, reasoning, tool calls, refusal, log probabilities, by choice."""

    def __init__(self) -> None:
        self.usage: dict[str, Any] | None = None
        self.more: dict[str, Any] = {}
        self._choices: dict[int, Choice] = {}

    def take(self, chunk: Chunk) -> None:
        """Add what a chunk tells."""
        self.usage = chunk.get("usage") or self.usage
        if beside := chunk.keys() - PER_CHUNK:
            self.more |= {name: chunk[name] for name in beside if chunk[name] is not None}
        for told in chunk.get("choices") or ():
            index = told.get("index") or 0
            choice = self._choices.get(index)
            if choice is None:
                self._choices[index] = choice = Choice()
            choice.take(told)

    @property
    def finish_reasons(self) -> list[str | None]:
        """Why each choice ended; None where nobody said it."""
        return [self._choices[index].finish_reason for index in sorted(self._choices)]

    def whole(self) -> list[dict[str, Any]]:
        """Return the choices as an answer that is not streamed has them."""
        return [self._choices[index].whole(index) for index in sorted(self._choices)]


def add(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece of a message to what is there."""
    for name, value in piece.items():
        held = whole.get(name)
        if value is None or (held and name in SAID_ONCE):
            whole.setdefault(name, None)
        elif name == "tool_calls":
            whole[name] = calls = held or []
            for call in value:
                add(place_of(calls, call), call)
        elif isinstance(value, dict):
            whole[name] = inner = held or {}
            add(inner, value)
        elif isinstance(value, list) and isinstance(held, list):
            held.extend(value)  # a copy each time would make thousands of log probabilities cost by their square
        elif isinstance(value, list):
            whole[name] = list(value)
        else:
            whole[name] = held + value if isinstance(value, str) and isinstance(held, str) else value


def place_of(calls: list[dict[str, Any]], piece: Mapping[str, Any]) -> dict[str, Any]:
    """Return the call that a piece belongs to. Some providers leave the place out, or give each call the first."""
    index, call_id = piece.get("index"), piece.get("id")
    for call in calls[::-1]:
        here = index is None or call.get("index") == index
        if here and (not call_id or not call.get("id") or call["id"] == call_id):
            return call
    made: dict[str, Any] = {}
    calls.append(made)
    return made
