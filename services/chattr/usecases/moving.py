"""A person's conversations and knowledge as one archive, and back: on another installation, the same is remembered."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid5

from chatacter.chassis.errors import NotFound
from chattr.domain.archive import ArchivedAmendment, ArchivedConversation, ArchivedFact, ArchivedMessage, MemoryArchive
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, Fact, mended
from chattr.domain.memory import NAMESPACE, Forgotten, memories_of, memory_of, name_of, overheard
from chattr.domain.summary import Summary
from chattr.ports.knowledge import Knowledge
from chattr.ports.outbox import Outbox
from chattr.ports.records import Conversations
from chattr.usecases.knowing import Knowing
from chattr.usecases.summing import Summing

PAGE: Final = 100
THERE: Final = "A conversation of this id is there already; it was left as it is."
UNSUPPORTED: Final = "None of the messages that this fact was drawn from is there."
NOTHING: Final = "What this was done to is not there."


@dataclass(frozen=True, slots=True)
class Refused:
    """Something of an archive that was not taken, and why."""

    id: str
    why: str


@dataclass(slots=True)
class Arrived:
    """What was taken of an archive."""

    conversations: int = 0
    messages: int = 0
    facts: int = 0
    amendments: int = 0
    refused: list[Refused] = field(default_factory=list)


class Moving:
    """Takes along, and puts down."""

    def __init__(
        self,
        conversations: Conversations,
        knowledge: Knowledge,
        outbox: Outbox,
        summing: Summing | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._conversations = conversations
        self._knowledge = knowledge
        self._knowing = Knowing(knowledge)
        self._outbox = outbox
        self._summing = summing
        self._clock = clock

    async def take(self, owner: Owner, character_id: str | None) -> MemoryArchive:
        """Return all that a person has with one character, or with all. What was forgotten is not remembered again,
        nor what others of a group remember, where one character is asked for.
        """
        forgotten = Forgotten(await self._outbox.forgotten(owner))
        kept = []
        async for one in self._every(owner):
            if character_id in {None, one.character_id, *one.members}:
                archived = [
                    taken_along(owner, one, each, forgotten, character_id)
                    for each in await self._conversations.messages(owner, one.id)
                ]
                kept.append(ArchivedConversation.of(one, archived, await self._summed(owner, one.id, character_id)))
        places = {conversation.id for conversation in kept}
        facts = [fact for fact in await self._knowing.facts(owner) if within(fact, places)]
        amended = [
            one
            for one in (await self._knowing.amendments(owner)).values()
            if one.memory.conversation_id in places and not forgotten.covers(one.memory)
        ]
        return MemoryArchive(
            exported_at=self._clock(),
            character=character_id,
            conversations=tuple(kept),
            facts=tuple(ArchivedFact.of(one) for one in facts if character_id in {None, one.character_id}),
            amendments=tuple(
                ArchivedAmendment.of(one) for one in amended if character_id in {None, one.memory.character_id}
            ),
        )

    async def put(self, owner: Owner, archive: MemoryArchive, renamed: Mapping[str, str]) -> Arrived:
        """Put an archive's content down as this person's. `renamed`: characters that have other ids here.

        Putting it down again changes nothing.
        """
        arrived, names = Arrived(), dict(renamed)
        ids = await self._ids(owner, archive.facts)
        for one in archive.conversations:
            messages = [message.message(names) for message in one.messages]
            names_of = [name_of(message, each) for message in messages for each in message.kept_by or ("",)]
            await self._knowledge.note_learned(owner, one.id, names_of)
            if await self._conversations.create(owner, one.conversation(names), messages):
                arrived.conversations += 1
                arrived.messages += len(messages)
                if self._summing is not None:
                    same = {message.id: message.id for message in messages}
                    summaries = [each.summary(one.id) for each in one.summaries]
                    await self._summing.carry(owner, summaries, one.id, same, names)
            else:
                arrived.refused.append(Refused(one.id, THERE))
        there = await self._there(owner, archive)
        await self._put_facts(owner, archive.facts, ids, names, there, arrived)
        await self._put_amendments(owner, archive.amendments, ids, names, there, arrived)
        return arrived

    async def _summed(self, owner: Owner, conversation_id: str, character_id: str | None) -> list[Summary]:
        """Return what holds of what was summed up, for all or for one character."""
        if self._summing is None:
            return []
        found = (await self._summing.standing(owner, conversation_id)).values()
        return [one for one in found if character_id in {None, one.character_id}]

    async def _ids(self, owner: Owner, facts: Sequence[ArchivedFact]) -> dict[str, str]:
        """Say what facts are called here: a name of this person's own, but for those that were never away."""
        known = {fact.id for fact in await self._knowing.facts(owner)}
        own = {fact.id: str(uuid5(NAMESPACE, f"{owner.tenant}/{owner.person}/{fact.id}")) for fact in facts}
        return {each: each if each in known else name for each, name in own.items()}

    async def _put_facts(
        self,
        owner: Owner,
        archived: Sequence[ArchivedFact],
        ids: dict[str, str],
        names: dict[str, str],
        there: Mapping[str, Amendment],
        arrived: Arrived,
    ) -> None:
        new: dict[str, Fact] = {}
        for one in archived:
            sources = [each for each in one.sources if standing_on(each.message_id, each.conversation_id, there)]
            if sources:
                new[ids[one.id]] = one.fact(sources, ids, names)
            else:
                arrived.refused.append(Refused(one.id, UNSUPPORTED))

        def merged(facts: Sequence[Fact]) -> Sequence[Fact]:
            every = {**new, **{fact.id: fact for fact in facts}}
            return mended(list(every.values()), every)

        before = {fact.id for fact in await self._knowing.facts(owner)}
        await self._knowing.change(owner, merged)
        arrived.facts += len(new.keys() - before)

    async def _put_amendments(
        self,
        owner: Owner,
        archived: Sequence[ArchivedAmendment],
        ids: Mapping[str, str],
        names: Mapping[str, str],
        there: Mapping[str, Amendment],
        arrived: Arrived,
    ) -> None:
        facts = {fact.id: fact for fact in await self._knowing.facts(owner)}
        known = await self._knowing.amendments(owner)
        for one in archived:
            fact = facts.get(ids.get(one.fact_id or "", ""))
            untouched = (
                Amendment(fact.memory()) if fact else there.get(heard_as(one, names), there.get(one.message_id or ""))
            )
            if untouched is None:
                arrived.refused.append(Refused(one.fact_id or one.message_id or "", NOTHING))
            elif untouched.memory.id not in known:
                arrived.amendments += await self._knowing.amend(owner, one.applied(untouched))

    async def _there(self, owner: Owner, archive: MemoryArchive) -> dict[str, Amendment]:
        """Return what stands in the archive's conversations now, each message as a memory that nobody touched.

        Of a group's messages also what each heard, by `name_of`.
        """
        found: dict[str, Amendment] = {}
        for one in archive.conversations:
            conversation = await self._conversations.get(owner, one.id)
            messages = await self._conversations.messages(owner, one.id)
            for message in messages:
                found[message.id] = Amendment(memory_of(owner, message.character_id or one.character, one.id, message))
            by_id = {message.id: message for message in messages if message.audience}
            for memory in memories_of(owner, conversation, messages).values() if conversation else ():
                if memory.message_id in by_id:
                    found[name_of(by_id[memory.message_id], memory.character_id)] = Amendment(memory)
        return found

    async def _every(self, owner: Owner) -> AsyncIterator[Conversation]:
        """Yield a person's conversations, the newest first, each once. Where one that a page ended with was deleted
        meanwhile, it goes on after the one before that.
        """
        marks: list[str | None] = [None]
        seen: set[str] = set()
        while True:
            try:
                page = await self._conversations.list(owner, before=marks[-1], limit=PAGE)
            except NotFound:
                marks.pop()
                continue
            if not page:
                return
            for one in page:
                if one.id not in seen:
                    seen.add(one.id)
                    yield one
            marks.append(page[-1].id)


def taken_along(
    owner: Owner, conversation: Conversation, message: Message, forgotten: Forgotten, character_id: str | None
) -> ArchivedMessage:
    """Take a message along, remembered by those who remember it: all, or one character."""
    keeping = []
    for each in message.kept_by if message.audience else conversation.hearers(message):
        memory = memory_of(owner, each, conversation.id, message)
        memory = overheard(memory, owner, message) if message.audience else memory
        if character_id in {None, each} and not forgotten.covers(memory):
            keeping.append(each)
    memorable = message.memorable and bool(keeping)
    return ArchivedMessage.of(message, memorable=memorable, kept_by=tuple(keeping) if message.audience else ())


def heard_as(amendment: ArchivedAmendment, names: Mapping[str, str]) -> str:
    """Name the memory of a group's message that an amendment is of."""
    character = amendment.character or ""
    return f"{amendment.message_id}/{names.get(character, character)}"


def within(fact: Fact, places: set[str]) -> bool:
    """Whether a fact was drawn from some of these conversations."""
    return any(source.conversation_id in places for source in fact.sources)


def standing_on(message_id: str, conversation_id: str, there: Mapping[str, Amendment]) -> bool:
    """Whether a message stands in this conversation."""
    found = there.get(message_id)
    return found is not None and found.memory.conversation_id == conversation_id
