"""What lives for hours: the recent turns of a conversation, and the event log of each reply.

A reply has one writer, which numbers its events 1, 2, 3, …; anyone may follow from any number, on any replica.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Beside

CREATED: Final = "reply.created"
DELTA: Final = "reply.delta"
COMPLETED: Final = "reply.completed"
CANCELLED: Final = "reply.cancelled"
FAILED: Final = "reply.failed"
TERMINAL: Final = frozenset({COMPLETED, CANCELLED, FAILED})
LAST_SEQ: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a reply. `data` is JSON; of sound and video it holds references, never bytes."""

    seq: int
    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recent:
    """The end of a conversation's active branch, as it was at one revision of the conversation."""

    messages: Sequence[Message]
    """Oldest first; all that was said, or the newest of it."""
    revision: int
    elsewhere: Sequence[Beside] = ()
    """What stands on other branches."""


class ShortTerm(Protocol):
    """The recent messages of a conversation's active branch; may forget at any time."""

    async def recent(self, owner: Owner, conversation: Conversation, leaf_id: str | None) -> Recent | None:
        """Return the branch that ends in `leaf_id`, of this very revision; None when another or none is held."""
        ...

    async def keep(self, owner: Owner, conversation_id: str, recent: Recent) -> None:
        """Hold a branch; only its newest messages where it is longer than the limit."""
        ...

    async def drop(self, owner: Owner, conversation_id: str) -> None:
        """Forget a conversation."""
        ...


class SessionLog(Protocol):
    """The event logs of replies."""

    async def append(self, owner: Owner, reply_id: str, events: Sequence[Event]) -> bool:
        """Write events and renew the writer's lease; True when somebody asked to cancel.

        The first call opens the log. Called without events it only renews and asks.
        """
        ...

    def follow(self, owner: Owner, reply_id: str, after: int = 0) -> AsyncGenerator[Event]:
        """Yield the events after number `after` as they come, up to the terminal one.

        A writer that stopped renewing its lease is told as `reply.failed`. Raises `NotFound` for an unknown reply.
        """
        ...

    async def cancel(self, owner: Owner, reply_id: str) -> None:
        """Ask the writer to stop, wherever it runs. Raises `NotFound` for an unknown reply."""
        ...
