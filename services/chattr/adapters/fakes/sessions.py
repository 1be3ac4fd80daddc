"""Short-term memory and reply logs in memory."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

from chatacter.chassis.errors import NotFound
from chattr.domain.conversation import Conversation
from chattr.domain.identity import Owner
from chattr.ports.sessions import TERMINAL, Event, Recent


class FakeShortTerm:
    """Branches by conversation."""

    def __init__(self, *, max_size: int = 50) -> None:
        self._held: dict[tuple[Owner, str], Recent] = {}
        self._max_size = max_size

    async def recent(self, owner: Owner, conversation: Conversation, leaf_id: str | None) -> Recent | None:
        """Return the branch that ends in `leaf_id`, of this revision."""
        held = self._held.get((owner, conversation.id))
        if held is None or held.revision != conversation.revision or held.messages[-1].id != leaf_id:
            return None
        return held

    async def keep(self, owner: Owner, conversation_id: str, recent: Recent) -> None:
        """Hold a branch."""
        self._held[owner, conversation_id] = replace(recent, messages=recent.messages[-self._max_size :])

    async def drop(self, owner: Owner, conversation_id: str) -> None:
        """Forget a conversation."""
        self._held.pop((owner, conversation_id), None)


@dataclass(slots=True)
class Log:
    """One reply."""

    events: list[Event] = field(default_factory=list)
    cancelled: bool = False
    news: asyncio.Condition = field(default_factory=asyncio.Condition)


class FakeSessionLog:
    """Logs by reply. A writer never dies here, so no lease is kept."""

    def __init__(self) -> None:
        self._logs: dict[tuple[Owner, str], Log] = {}

    async def append(self, owner: Owner, reply_id: str, events: Sequence[Event]) -> bool:
        """Write events; True when somebody asked to cancel."""
        log = self._logs.setdefault((owner, reply_id), Log())
        async with log.news:
            log.events.extend(event for event in events if event.seq > len(log.events))
            log.news.notify_all()
        return log.cancelled

    async def follow(self, owner: Owner, reply_id: str, after: int = 0) -> AsyncGenerator[Event]:
        """Yield the events after number `after` as they come."""
        log = self._found(owner, reply_id)
        position = 0
        while True:
            async with log.news:
                while position >= len(log.events):
                    await log.news.wait()
            event = log.events[position]
            position += 1
            if event.seq > after:
                yield event
            if event.type in TERMINAL:
                return

    async def cancel(self, owner: Owner, reply_id: str) -> None:
        """Ask the writer to stop."""
        self._found(owner, reply_id).cancelled = True

    def _found(self, owner: Owner, reply_id: str) -> Log:
        log = self._logs.get((owner, reply_id))
        if log is None:
            raise NotFound("There is no such reply.")
        return log
