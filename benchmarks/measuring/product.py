"""Remembering as Chattr does it: its use cases over the packaged embedder and Qdrant's engine, records in memory."""

from dataclasses import replace
from itertools import groupby
from typing import Final

from opentelemetry.trace import NoOpTracer

from chattr.adapters.edge_memory import EdgeMemory
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.minilm_embedder import MiniLmEmbedder
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Conversation, Message, Persona, Role
from chattr.domain.identity import Owner
from chattr.domain.memory import Selection
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from chattr.usecases.remember import Remember
from measuring.talks import Talk

BATCH: Final = 32
DAY: Final = 86_400.0
# As many as the door of forgetting shows.
MOST: Final = 100


class Product:
    """Remembering and recalling as Chattr does it."""

    def __init__(self, memory: EdgeMemory, embedder: MiniLmEmbedder) -> None:
        self._outbox, self._character, self._now = FakeOutbox(block_ms=1), "", 0.0
        self._conversations, knowing = FakeConversations(self._outbox), Knowing(FakeKnowledge(self._outbox))
        stem = english_stemmer()
        self._remember = Remember(
            memory=memory,
            embedder=embedder,
            outbox=self._outbox,
            knowing=knowing,
            stem=stem,
            tracer=NoOpTracer(),
            clock=lambda: self._now,
        )
        self._indexer = Indexer(
            memory=memory,
            conversations=self._conversations,
            knowing=knowing,
            embedder=embedder,
            outbox=self._outbox,
            stem=stem,
        )

    async def learn(self, owner: Owner, talk: Talk) -> None:
        """Store and remember a talk: a conversation a session; the first to speak is the person."""
        person, *_ = talk.speakers
        self._character = next((name for name in talk.speakers if name != person), person)
        for number, turns in groupby(talk.turns, key=lambda turn: turn.session):
            messages: list[Message] = []
            for turn in turns:
                parent = messages[-1].id if messages else None
                role: Role = "user" if turn.speaker == person else "assistant"
                messages.append(Message(turn.id, parent, role, turn.text, turn.at, self._character))
            first, last = messages[0], messages[-1]
            session = Conversation(f"session-{number}", self._character, first.created_at, head_id=last.id)
            await self._conversations.create(owner, replace(session, persona=Persona(name=person)), messages)
        while entries := await self._outbox.take(BATCH):
            await self._indexer.carry(entries)
        self._now = talk.turns[-1].at + DAY

    async def recall(self, owner: Owner, question: str, limit: int) -> list[str]:
        """Return the turns that answer a question best."""
        within = Selection(character_id=self._character)
        found = await self._remember.search(owner, question, within, limit=limit)
        return [one.memory.message_id for one in found]

    async def about(self, owner: Owner, text: str) -> list[str]:
        """Return the turns that forgetting by search would show for a text."""
        within = Selection(character_id=self._character)
        return [one.memory.message_id for one in await self._remember.bearing(owner, text, within, limit=MOST)]
