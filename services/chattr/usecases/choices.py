"""The choices of a reply, put together from a provider's chunks. Source: OpenAI API reference, "Streaming"."""

from collections.abc import Mapping
from typing import Any, Final

from chattr.ports.language import Chunk

# What a chunk repeats or leaves out; everything else of its outermost object belongs to the whole.
PER_CHUNK: Final = frozenset({"id", "object", "created", "model", "choices", "usage"})
# Said once, though some providers repeat it with every piece; all other texts come in pieces.
SAID_ONCE: Final = frozenset({"role", "id", "type", "name"})


class Choices:
    """Takes chunks, gives the whole: text, reasoning, tool calls, refusal, log probabilities, by choice."""

    def __init__(self) -> None:
        self.usage: dict[str, Any] | None = None
        self.more: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def take(self, chunk: Chunk) -> None:
        """Add what a chunk tells."""
        self.usage = chunk.get("usage") or self.usage
        for name, value in chunk.items():
            if name not in PER_CHUNK and value is not None:
                self.more[name] = value
        for told in chunk.get("choices") or ():
            self._take(told)

    def _take(self, told: Mapping[str, Any]) -> None:
        index = told.get("index") or 0
        choice = self._choices.get(index)
        if choice is None:
            empty = {"role": "assistant", "content": None, "refusal": None}
            choice = {"index": index, "message": empty, "logprobs": None, "finish_reason": None}
            self._choices[index] = choice
        add(choice["message"], told.get("delta") or {})
        for name, value in told.items():
            if name == "logprobs":
                add(choice, {name: value})
            elif value is not None and name not in {"index", "delta"}:
                choice[name] = value

    @property
    def finish_reasons(self) -> list[str | None]:
        """Why each choice ended; None where nobody said it."""
        return [self._choices[index]["finish_reason"] for index in sorted(self._choices)]

    def whole(self) -> list[dict[str, Any]]:
        """Return the choices as an answer that is not streamed has them."""
        return [finished(self._choices[index]) for index in sorted(self._choices)]


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
        elif isinstance(value, list):
            whole[name] = [*(held or ()), *value]
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


def finished(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return a choice with its calls as a message that is not streamed has them: without their places."""
    message = dict(choice["message"])
    if message.get("tool_calls"):
        message["tool_calls"] = [
            {name: value for name, value in call.items() if name != "index"} for call in message["tool_calls"]
        ]
    return {**choice, "message": message}
