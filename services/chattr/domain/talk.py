"""A turn is understood with the talk around it: which turns those are, and how much each counts. Pure.

The conversation is a tree. Before a turn stands the path to it; after it, of what answers it, that on the active
branch, else the newest; and so on. The talk around a turn is a function of the memories of its conversation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from chattr.domain.memory import Memory

# How much the turn before, and the one before that, count beside the turn itself; then those after. What was said
# before tells more of what a turn is about than its answers do.
BEFORE: Final = (0.8, 0.5)
AFTER: Final = (0.4, 0.2)


class Talk:
    """What is remembered of one conversation, by message. Turns of different characters are not around each other."""

    def __init__(self, memories: Iterable[Memory]) -> None:
        self._by_message: dict[tuple[str, str], Memory] = {}
        self._answers: dict[str, list[Memory]] = {}
        for memory in memories:
            if memory.kind != "turn":
                continue
            self._by_message[memory.message_id, memory.character_id] = memory
            if memory.previous_id is not None:
                self._answers.setdefault(memory.previous_id, []).append(memory)

    def around(self, memory: Memory) -> list[tuple[Memory, float]]:
        """Return a memory and, of a turn, what was said around it, each with how much it counts; itself comes first."""
        if memory.kind != "turn":
            return [(memory, 1.0)]
        before = zip(self._before(memory), BEFORE, strict=False)
        after = zip(self._after(memory), AFTER, strict=False)
        return [(memory, 1.0), *before, *after]

    def _before(self, memory: Memory) -> Iterator[Memory]:
        current: Memory | None = memory
        for _ in BEFORE:
            previous = current.previous_id if current else None
            current = self._by_message.get((previous, memory.character_id)) if previous else None
            if current is None:
                return
            yield current

    def _after(self, memory: Memory) -> Iterator[Memory]:
        current = memory
        for _ in AFTER:
            answers = [one for one in self._answers.get(current.message_id, ()) if together(one, memory)]
            if not answers:
                return
            current = max(answers, key=lambda one: (one.branch == "active", one.created_at, one.id))
            yield current


def together(one: Memory, other: Memory) -> bool:
    """Whether two turns are of one character's conversation."""
    return (one.conversation_id, one.character_id) == (other.conversation_id, other.character_id)


def in_their_talk(memories: Mapping[str, Memory]) -> dict[str, Memory]:
    """Return memories of one conversation, by id, each with a digest of what was said around it."""
    talk = Talk(memories.values())
    return {each: replace(memory, talk=digest(talk.around(memory)[1:])) for each, memory in memories.items()}


def digest(around: Iterable[tuple[Memory, float]]) -> str:
    """Tell one talk from another: another turn, another text or another weight makes another digest; empty without."""
    told = "\0".join(f"{weight:g}\0{one.id}\0{one.text}" for one, weight in around)
    return blake2b(told.encode(errors="surrogatepass"), digest_size=8).hexdigest() if told else ""
