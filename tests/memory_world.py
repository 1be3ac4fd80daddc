"""Conversations and what is remembered of them, where the power may be cut before any step."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.trace import NoOpTracer

from chatacter.chassis.deadline import Deadline
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.embedder import FakeEmbedder
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.memory import FakeMemory
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.fakes.summaries import FakeSummaries
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Conversation, Message, Role
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, Fact, Source, fact_id, mended, without
from chattr.domain.memory import Changed, Forgotten, Memory, Selection, memory_id
from chattr.domain.tree import Tree
from chattr.ports.knowledge import Knowledge
from chattr.ports.outbox import Outbox
from chattr.ports.records import Conversations
from chattr.ports.replies import ReplyCache
from chattr.ports.summaries import Summaries
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from chattr.usecases.remember import Remember
from chattr.usecases.summing import Summing, Windows

ANN = Owner("acme", "ann")
EVERYTHING = Selection()


class PowerCut(BaseException):
    """The process ends here."""


@dataclass
class Fuse:
    """Counts what is asked of ports, and cuts the power before the `blows_at`th."""

    blows_at: int | None = None
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.blows_at:
            raise PowerCut


class Wired:
    """A port behind a fuse."""

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def asked(*given: Any, **named: Any) -> Any:
            self._fuse.step()
            return await found(*given, **named)

        return asked


@dataclass
class World:
    """Conversations and the memory of them, each step of which may be the last."""

    conversations: Conversations
    outbox: Outbox
    knowledge: Knowledge
    summaries: Summaries | None = None
    replies: ReplyCache | None = None
    memory: FakeMemory = field(default_factory=FakeMemory)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    fuse: Fuse = field(default_factory=Fuse)
    now: float = 1000.0
    made: int = 0

    def wired(self, port: Any) -> Any:
        return Wired(port, self.fuse)

    def indexer(self) -> Indexer:
        return Indexer(
            memory=self.wired(self.memory),
            conversations=self.wired(self.conversations),
            knowing=self.knowing(),
            embedder=self.wired(self.embedder),
            outbox=self.wired(self.outbox),
            stem=english_stemmer(),
        )

    def knowing(self) -> Knowing:
        return Knowing(self.wired(self.knowledge), self.wired(self.summaries) if self.summaries else None)

    def summing(self, queue: Outbox, windows: Windows) -> Summing:
        return Summing(self.wired(self.summaries), self.wired(self.outbox), self.wired(queue), windows)

    async def learn(
        self, text: str, about: str, *message_ids: str, supersedes: str | None = None, owner: Owner = ANN
    ) -> str:
        """Draw a fact from messages."""
        self.now += 1
        sources = tuple(Source(about, each, self.now) for each in message_ids)
        name = fact_id(owner, "ada", text, message_ids[0])
        fact = Fact(name, "ada", "person", text, sources, self.now, supersedes=supersedes)

        def added(facts: Sequence[Fact]) -> Sequence[Fact]:
            every = [*facts, fact]
            return mended(every, {one.id: one for one in every})

        await self.knowing().change(owner, added)
        return name

    async def amend(self, memory_id: str, text: str) -> None:
        found = await self.memory.newest(ANN, Selection(ids=(memory_id,)), limit=1)
        await self.knowing().amend(ANN, Amendment(found[0], text, pinned=True))

    def remember(self, knowing: Knowing | None = None) -> Remember:
        return Remember(
            memory=self.wired(self.memory),
            embedder=self.wired(self.embedder),
            outbox=self.wired(self.outbox),
            knowing=knowing or self.knowing(),
            stem=english_stemmer(),
            tracer=NoOpTracer(),
            replies=self.replies,
            clock=lambda: self.now,
        )

    async def say(
        self,
        conversation_id: str,
        text: str,
        parent_id: str | None = "head",
        *,
        owner: Owner = ANN,
        role: Role = "user",
    ) -> str:
        """Say something at the head, or in answer to a message."""
        await self.wired(self.conversations).create(owner, Conversation(conversation_id, "ada", self.now))
        head = await self.head(conversation_id, owner)
        self.now += 1
        self.made += 1
        parent_id = head if parent_id == "head" else parent_id
        message = Message(f"m{self.made}", parent_id, role, text, self.now, "ada")
        await self.wired(self.conversations).append(owner, conversation_id, [message])
        return message.id

    async def head(self, conversation_id: str, owner: Owner) -> str | None:
        found = await self.conversations.get(owner, conversation_id)
        return found.head_id if found else None

    async def switch(self, conversation_id: str, message_id: str) -> None:
        found = await self.conversations.get(ANN, conversation_id)
        assert found is not None
        await self.wired(self.conversations).update(ANN, replace(found, head_id=message_id), "head_id")

    async def cut(self, conversation_id: str, message_id: str, owner: Owner = ANN) -> None:
        """Delete a message with what followed, as the doors do it."""
        found = await self.conversations.get(owner, conversation_id)
        assert found is not None
        tree = Tree(await self.conversations.messages(owner, conversation_id))
        removed = tree.under(message_id)
        head = tree.head_without(removed, found.head_id)
        self.now += 1
        assert await self.wired(self.conversations).prune(owner, replace(found, head_id=head), removed)
        await self.remember().forget(owner, Selection(ids=tuple(memory_id(owner, each) for each in removed)))

    async def delete(self, conversation_id: str) -> None:
        self.now += 1
        await self.wired(self.conversations).delete(ANN, conversation_id)
        await self.remember().forget(ANN, Selection(conversation_id=conversation_id))

    async def forget(self, what: Selection, owner: Owner = ANN) -> None:
        self.now += 1
        await self.remember().forget(owner, what)

    async def index(self, most: int = 32) -> None:
        """Let an indexer work until nothing waits."""
        indexer = self.indexer()
        while await self.outbox.waiting():
            await indexer.carry(await self.wired(self.outbox).take(most))

    async def remembered(self) -> dict[str, Memory]:
        return {one.id: one for one in await self.memory.newest(ANN, EVERYTHING, limit=1000)}

    async def rebuilt(self) -> dict[str, Memory]:
        """What an empty memory gets from what is stored."""
        anew = World(self.conversations, RebuildOutbox(self.outbox), self.knowledge)
        stored = await self.conversations.list(ANN, before=None, limit=100)
        await anew.outbox.note(ANN, [Changed(one.id) for one in stored])
        await anew.index()
        return await anew.remembered()

    async def known_of_what_was_forgotten(self) -> list[str]:
        """Facts and corrections that stand although what they are of was forgotten."""
        forgotten = await self.outbox.forgotten(ANN)
        facts = (await self.knowledge.facts(ANN)).all
        left = [fact.id for fact in facts if any(len(without(ANN, [fact], what)) == 0 for what in forgotten)]
        amended = await self.knowledge.amendments(ANN)
        return left + [each for each, one in amended.items() if Forgotten(forgotten).covers(one.memory)]

    async def recalled(self, text: str, owner: Owner = ANN) -> set[str]:
        found = await self.remember().recall(owner, "ada", text, (), Deadline.after(5.0), limit=20)
        assert found.told is None
        return {one.memory.text for one in found.memories}


class RebuildOutbox(FakeOutbox):
    """An empty outbox that knows what was forgotten."""

    def __init__(self, other: Outbox) -> None:
        super().__init__(lease_ms=0, block_ms=1)
        self._other = other

    async def forgotten(self, owner: Owner) -> Sequence[Selection]:
        return await self._other.forgotten(owner)


def fake_world() -> World:
    outbox = FakeOutbox(lease_ms=0, block_ms=1)
    conversations = FakeConversations(outbox)
    return World(conversations, outbox, FakeKnowledge(outbox), FakeSummaries(conversations))
