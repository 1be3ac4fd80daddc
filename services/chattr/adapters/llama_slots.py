"""Which conversation may use which slot of llama.cpp's prompt cache."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import Busy

QUEUE: Final = 16
FULL: Final = "Too many conversations are waiting for the embedded language model; try again soon."


@dataclass(slots=True)
class Slot:
    """One place in the cache. `conversation` is whose text it holds; None: nobody's."""

    number: int
    conversation: str | None = None
    busy: bool = False
    used: int = 0


class Slots:
    """A slot a conversation, the longest unused one given away; the last slot is for what is no conversation.

    So background work never takes a warm cache from somebody who talks.
    """

    def __init__(self, conversations: int) -> None:
        self._talking = [Slot(index) for index in range(conversations)]
        self._other = [Slot(conversations)]
        self._freed = asyncio.Event()
        self._waiting = 0
        self._uses = 0

    @asynccontextmanager
    async def place(self, conversation: str | None, deadline: Deadline) -> AsyncIterator[tuple[Slot, bool]]:
        """Hold a slot, and say whether it was another's until now. Raises `Busy`; `TimeoutError` at the deadline."""
        slot = self._choice(conversation) or await self._awaited(conversation, deadline)
        self._uses += 1
        slot.busy, slot.used = True, self._uses
        anew = conversation is None or slot.conversation != conversation
        slot.conversation = conversation
        try:
            yield slot, anew
        finally:
            slot.busy = False
            self._freed.set()

    async def _awaited(self, conversation: str | None, deadline: Deadline) -> Slot:
        if self._waiting >= QUEUE:
            raise Busy(FULL, retry_after=10)
        self._waiting += 1
        try:
            async with deadline.timeout():
                while (slot := self._choice(conversation)) is None:
                    self._freed.clear()
                    await self._freed.wait()
                return slot
        finally:
            self._waiting -= 1

    def _choice(self, conversation: str | None) -> Slot | None:
        free = [slot for slot in (self._other if conversation is None else self._talking) if not slot.busy]
        own = [slot for slot in free if slot.conversation == conversation]
        return min(own or free, key=lambda slot: slot.used, default=None)
