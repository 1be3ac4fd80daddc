"""Conversations whose window is getting full are summed up while nobody waits, each block once.

A conversation in which a reply is being written is left alone, and comes back.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import DeadlineExceeded, InvalidInput, NotFound, TooLarge, UpstreamFailed
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message, branch
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Source, remembered_as
from chattr.domain.person import NOBODY
from chattr.domain.summary import Summary, Window, along, asked, block_end, read, summary_id
from chattr.ports.language import ChatRequest, LanguageModel, text_of
from chattr.ports.outbox import Entry, Outbox
from chattr.ports.records import Conversations
from chattr.usecases.carrying import FIRST_PAUSE, carried_on, struck_off
from chattr.usecases.characters import Cast
from chattr.usecases.summing import Summing

logger = logging.getLogger(__name__)

SECONDS: Final = 120.0
# A model that reasons spends tokens on that before it says anything; the summary itself is cut to its own size.
THINKING: Final = 2_000
THINKING_SHARE: Final = 0.2
# Seconds until a model that said nothing to a block is asked about it again, and how many such blocks are remembered.
AGAIN: Final = 3_600.0
MOST_UNSAID: Final = 1_000


class Summariser:
    """Sums up what the queue names, at least once. Any number of replicas may run one."""

    def __init__(
        self,
        *,
        cast: Cast,
        conversations: Conversations,
        summing: Summing,
        queue: Outbox,
        language: LanguageModel,
        clock: Callable[[], float] = time.time,
        pause: float = FIRST_PAUSE,
    ) -> None:
        self._cast = cast
        self._conversations = conversations
        self._summing = summing
        self._queue = queue
        self._language = language
        self._clock = clock
        self._pause = pause
        self._unsaid: dict[str, float] = {}

    async def run(self) -> None:
        """Work until cancelled, one conversation after the other."""
        await carried_on(self._queue, self.carry, doing="summing up", pause=self._pause)

    async def carry(self, entries: Sequence[Entry]) -> None:
        """Sum up the conversations of entries. Raises what the ports and the language model raise."""
        await struck_off(self._queue, entries, self._sum_up)

    async def _sum_up(self, owner: Owner, conversation_id: str) -> bool:
        """Sum up what there is to sum up on the active branch; False where it is not the time for it."""
        while True:
            conversation = await self._conversations.get(owner, conversation_id)
            if conversation is None:
                return True
            if conversation.live_reply_id is not None:
                return False
            path = branch(await self._conversations.messages(owner, conversation_id), conversation.head_id)
            try:
                if not await self._next(owner, conversation, path):
                    return True
            except (DeadlineExceeded, InvalidInput, TooLarge, UpstreamFailed) as error:  # the next reply looks again
                logger.warning("the model summed nothing up", extra={"error.type": type(error).__name__})
                return True

    async def _next(self, owner: Owner, conversation: Conversation, path: Sequence[Message]) -> bool:
        """Sum up one block for one of those who are there; False where there is nothing to do."""
        known = await self._summing.standing(owner, conversation.id)
        for character_id in conversation.members or (conversation.character_id,):
            try:
                character = await self._cast.get(owner, character_id)
            except NotFound:
                continue
            start, before = next(reversed(along(known.values(), character_id, path)), (0, None))
            window = self._summing.windows.of(character)
            end = block_end(path, start, window)
            if end is None:
                continue
            block = Block(conversation, character, path[start:end], before)
            made = await self._made(owner, block, window, list(known.values()))
            return made is not None and await self._summing.keep(owner, made, before)
        return False

    async def _made(self, owner: Owner, block: "Block", window: Window, known: Sequence[Summary]) -> Summary | None:
        """Make the summary of a block; None where the model has no answer."""
        forgotten = await self._summing.forgotten(owner)
        told = [
            message
            for message in block.heard
            if not any(
                forgotten.covers(one) for one in remembered_as(owner, block.character.id, source_of(block, message))
            )
        ]
        sources = tuple(source_of(block, message) for message in told)
        text, last = block.before.text if block.before else "", block.messages[-1]
        name = summary_id(block.character.id, last.id)
        if told:
            text = block.same(known, sources) or await self._said(name, owner, block, told, window)
            if not text:
                return None
        return Summary(
            id=name,
            conversation_id=block.conversation.id,
            character_id=block.character.id,
            through_id=last.id,
            through_at=last.created_at,
            text=text,
            sources=sources,
            created_at=self._clock(),
            previous_id=block.before.id if block.before else None,
        )

    async def _said(self, name: str, owner: Owner, block: "Block", told: Sequence[Message], window: Window) -> str:
        """Return what the model says; one that said nothing to a block is not asked about it again for a while."""
        if self._clock() - self._unsaid.get(name, -AGAIN) < AGAIN:
            return ""
        text = await self._told(owner, block, told, window)
        if not text:
            logger.warning("the model's summary says nothing")
            self._unsaid = {**dict(list(self._unsaid.items())[-MOST_UNSAID:]), name: self._clock()}
        return text

    async def _told(self, owner: Owner, block: "Block", told: Sequence[Message], window: Window) -> str:
        """Ask the language model."""
        names = {block.character.id: block.name}
        for each in {message.character_id for message in told} - {None, block.character.id}:
            names[each or ""] = await self._called(owner, each or "")
        lines = [
            f"{block.person if each.role == 'user' else names.get(each.character_id or '', block.name)}: {each.content}"
            for each in told
        ]
        messages = asked(block.name, block.person, block.before.text if block.before else "", lines, window)
        budget = self._summing.windows.budget
        thinking = 0 if budget.slow else min(THINKING, int(budget.context_tokens * THINKING_SHARE))
        sampling = {"temperature": 0, "max_tokens": window.summary + thinking}
        request = ChatRequest(messages, sampling, yielding=frozenset(sampling), background=True)
        async with aclosing(self._language.stream(request, Deadline.after(SECONDS))) as chunks:
            return read("".join([text_of(chunk) async for chunk in chunks]), window)

    async def _called(self, owner: Owner, character_id: str) -> str:
        """Return the name of a character, or its id where it is gone."""
        try:
            character = await self._cast.get(owner, character_id)
        except NotFound:
            return character_id
        return character.nickname or character.name


@dataclass(frozen=True, slots=True)
class Block:
    """Some messages that one character is to have summed up."""

    conversation: Conversation
    character: Character
    messages: Sequence[Message]
    before: Summary | None

    @property
    def name(self) -> str:
        """What the character is called."""
        return self.character.nickname or self.character.name

    @property
    def person(self) -> str:
        """What the person is called."""
        return (self.conversation.persona or NOBODY).called

    @property
    def heard(self) -> list[Message]:
        """What the character heard of it."""
        return [each for each in self.messages if self.character.id in self.conversation.hearers(each)]

    def same(self, known: Sequence[Summary], sources: Sequence[Source]) -> str:
        """Return what another of a group has of the very same messages; empty where nobody has."""
        heard = [source.message_id for source in sources]
        texts = {one.id: one.text for one in known}
        told = self.before.text if self.before else None
        return next(
            (
                one.text
                for one in known
                if one.through_id == self.messages[-1].id
                and [source.message_id for source in one.sources] == heard
                and texts.get(one.previous_id or "") == told
            ),
            "",
        )


def source_of(block: Block, message: Message) -> Source:
    """Return a message as what a summary stands on."""
    return Source(block.conversation.id, message.id, message.created_at)
