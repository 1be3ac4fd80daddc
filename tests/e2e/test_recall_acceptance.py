"""A fact told, 200 turns of other talk, a new conversation: the packaged embedder and engine bring the fact back."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.trace import NoOpTracer

from chatacter.chassis.deadline import Deadline
from chattr.adapters.edge_memory import EdgeMemory
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.minilm_embedder import MiniLmEmbedder
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner, new_id
from chattr.domain.memory import Selection
from chattr.ports.memory import Candidate, Query
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from chattr.usecases.remember import Remember
from tests.small_talk import FACTS, Fact, small_talk
from tests.telling import tell

pytestmark = pytest.mark.e2e

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
SECRET = "My dog is called Rex and he is afraid of storms; my name is Bob."


class NoRecall(EdgeMemory):
    """Long-term memory with recall switched off."""

    async def search(self, owner: Owner, query: Query) -> Sequence[Candidate]:
        return []

    async def speakers(self, owner: Owner, within: Selection) -> Sequence[str]:
        return []


@dataclass(frozen=True)
class House:
    remember: Remember
    without_recall: Remember

    async def answers(self, fact: Fact, question: str, *, recall: bool = True) -> bool:
        """Ask in a new conversation and see whether the fact is among what reaches the prompt."""
        used = self.remember if recall else self.without_recall
        recollection = await used.recall(ANN, "ada", question, (), Deadline.after(10.0))
        assert recollection.told is None
        assert len(recollection.items) <= 5
        assert not any(SECRET in item for item in recollection.items)
        return any(fact.said in item for item in recollection.items)


@pytest.fixture
async def house(models_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    folder = models_home / "all-minilm-l6-v2"
    outbox, stem = FakeOutbox(block_ms=10), english_stemmer()
    conversations, knowing = FakeConversations(outbox), Knowing(FakeKnowledge(outbox))
    async with (
        MiniLmEmbedder(folder / "model.safetensors", folder / "tokenizer.json") as embedder,
        EdgeMemory(tmp_path) as memory,
    ):

        def remember(index: EdgeMemory) -> Remember:
            return Remember(
                memory=index, embedder=embedder, outbox=outbox, knowing=knowing, stem=stem, tracer=NoOpTracer()
            )

        made = House(remember(memory), remember(NoRecall(Path("unused"))))
        talk = [("user", fact.said) for fact in FACTS] + small_talk(200)
        for owner, turns in ((ANN, talk), (BOB, [("user", SECRET)])):
            messages = [
                Message(new_id("msg"), None, "user" if role == "user" else "assistant", text, float(number))
                for number, (role, text) in enumerate(turns)
            ]
            await tell(conversations, owner, "ada", "an earlier conversation", messages)
        indexer = Indexer(
            memory=memory, conversations=conversations, knowing=knowing, embedder=embedder, outbox=outbox, stem=stem
        )
        while entries := await outbox.take(64):
            await indexer.carry(entries)
        yield made


async def test_facts_come_back_to_differently_worded_questions_and_not_without_recall(house: House) -> None:
    found = {fact.said: [await house.answers(fact, question) for question in fact.questions] for fact in FACTS}
    assert not [said for said, answers in found.items() if sum(answers) < 2]
    every = [answer for answers in found.values() for answer in answers]
    assert sum(every) >= 0.8 * len(every)
    for fact in FACTS:
        for question in fact.questions:
            assert not await house.answers(fact, question, recall=False)


async def test_another_persons_secret_comes_back_to_them_only(house: House) -> None:
    mine = await house.remember.recall(BOB, "ada", "What is my dog called?", (), Deadline.after(10.0))
    assert [SECRET in item for item in mine.items] == [True]
    theirs = await house.remember.recall(ANN, "ada", SECRET, (), Deadline.after(10.0))
    assert theirs.items
    assert not any("Rex" in item for item in theirs.items)
