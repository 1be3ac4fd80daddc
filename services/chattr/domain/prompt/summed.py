"""What stands in a prompt of a long conversation: its summary up to some message, and what was said since.

Of the summaries the shortest is shown behind which everything fits. So what stands before the newest message only grows
until it is full; then the next summary takes over, at the one place where it would have been read anew in any case.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chattr.domain.prompt.history import as_messages, cut, joined, merged
from chattr.domain.prompt.parts import Budget, Digest, Turn

SUMMED_UP: Final = "[What was said before this, in short:\n{text}]"


@dataclass(frozen=True, slots=True)
class Past:
    """What there is of a conversation beside the history at hand."""

    digests: Sequence[Digest] = ()
    """The shortest first."""
    whole: bool = True
    """Whether the history at hand begins where the conversation does."""
    most: int = sys.maxsize
    """Most turns that stand there word by word where there are summaries."""


ALL_AT_HAND: Final = Past()


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands in a prompt of what was said before."""

    kept: Sequence[Turn]
    digest: Digest | None = None
    missing: int = 0
    """Turns that neither stand there nor are summed up, though they are at hand."""

    @property
    def digested(self) -> list[Turn]:
        """The summary as it is told."""
        return as_turns(self.digest)


def shown(history: Sequence[Turn], past: Past, budget: Budget, room: int) -> Shown:
    """Choose what of a history is shown within `room` tokens; without summaries, as much of its end as there is
    room for.
    """
    whole: list[Digest | None] = [None] if past.whole or not past.digests else []
    choices = [*whole, *past.digests]
    for digest in choices:
        if past.digests and len(history) - (digest.after if digest else 0) > past.most:
            continue
        turns = since(history, digest)
        if budget.of(as_messages(with_digest(turns, digest))) <= room:
            return Shown(turns, digest)
    fitting = [one for one in past.digests if 2 * budget.of(as_messages(as_turns(one))) <= room]
    deepest = fitting[-1] if fitting else None
    turns = since(history, deepest)
    left = room - budget.of(as_messages(as_turns(deepest)))
    first = cut(turns, budget, max(0, left))
    return Shown(turns[first:], deepest, first)


def since(history: Sequence[Turn], digest: Digest | None) -> list[Turn]:
    """Return what was said after a summary."""
    turns = history[digest.after if digest else 0 :]
    return joined(turns) if digest and digest.text else merged(turns)


def with_digest(turns: Sequence[Turn], digest: Digest | None) -> list[Turn]:
    """Put a summary before what was said after it: roles go on alternating."""
    return joined([*as_turns(digest), *turns]) if digest else list(turns)


def as_turns(digest: Digest | None) -> list[Turn]:
    """Write a summary as it is told; nothing where it says nothing."""
    return [Turn("user", SUMMED_UP.format(text=digest.text))] if digest and digest.text else []
