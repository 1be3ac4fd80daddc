"""The doors to memories, on a real server: list, search, read, forget; nobody sees another's."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.trace import NoOpTracer

from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.settings import ServiceSettings
from chatacter.chassis.telemetry import telemetry_of
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.embedder import FakeEmbedder
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.memory import FakeMemory
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Selection
from chattr.routes import memories, memory_changes
from chattr.usecases.amending import Amending
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from chattr.usecases.remember import Remember
from tests.served import served
from tests.telling import tell

pytestmark = pytest.mark.integration

ANN = Owner("default", "ann")
BOB = Owner("default", "bob")


@dataclass
class Rig:
    """The doors with fakes behind them."""

    web: httpx.AsyncClient
    memory: FakeMemory
    remember: Remember
    indexer: Indexer
    outbox: FakeOutbox
    conversations: FakeConversations

    async def tell(self, owner: Owner, *texts: str, character: str = "ada", at: float = 1000.0) -> None:
        messages = [Message(text, None, "user", text, at + number) for number, text in enumerate(texts)]
        await tell(self.conversations, owner, character, f"talk with {character}", messages)
        await self.indexer.carry(await self.outbox.take(100))

    async def listed(self, person: str = "ann", **query: Any) -> list[dict[str, Any]]:
        answer = await self.web.get("/api/v1/memories", params=query, headers={"x-chatacter-person": person})
        assert answer.status_code == 200, answer.text
        data: list[dict[str, Any]] = answer.json()["data"]
        return data

    async def forget(self, path: str = "", person: str = "ann", **query: Any) -> httpx.Response:
        return await self.web.delete(f"/api/v1/memories{path}", params=query, headers={"x-chatacter-person": person})


def application(remember: Remember | None, knowing: Knowing) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        yield {"remember": remember, "amending": Amending(remember, knowing) if remember else None}

    settings = ServiceSettings.read()
    telemetry = telemetry_of("test", settings)
    service = Service("test", "Test", "0", Health(), lifespan, [memory_changes.router, memories.router], telemetry)
    return build(service, settings)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    memory, embedder, outbox, stem = FakeMemory(), FakeEmbedder(), FakeOutbox(block_ms=10), english_stemmer()
    knowing = Knowing(FakeKnowledge(outbox))
    remember = Remember(
        memory=memory, embedder=embedder, outbox=outbox, knowing=knowing, stem=stem, tracer=NoOpTracer()
    )
    conversations = FakeConversations(outbox)
    indexer = Indexer(
        memory=memory, conversations=conversations, knowing=knowing, embedder=embedder, outbox=outbox, stem=stem
    )
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(await asyncio.to_thread(application, remember, knowing)))
        web = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
        yield Rig(web, memory, remember, indexer, outbox, conversations)


async def test_lists_with_provenance_the_newest_first_and_by_character(rig: Rig) -> None:
    await rig.tell(ANN, "I like tea", "I like boats")
    await rig.tell(ANN, "I like bread", character="bo", at=2000.0)
    newest, *_ = listed = await rig.listed()
    assert [one["text"] for one in listed] == ["I like bread", "I like boats", "I like tea"]
    assert newest == {
        "id": newest["id"],
        "object": "memory",
        "text": "I like bread",
        "role": "user",
        "character": "bo",
        "conversation_id": "talk with bo",
        "message_id": "I like bread",
        "previous_id": None,
        "speaker": None,
        "created_at": 2000.0,
        "kind": "turn",
        "branch": "active",
        "pinned": False,
        "score": None,
    }
    assert [one["text"] for one in await rig.listed(character="ada")] == ["I like boats", "I like tea"]
    assert [one["text"] for one in await rig.listed(conversation="talk with bo")] == ["I like bread"]


async def test_pages_hold_each_memory_once_even_of_one_moment(rig: Rig) -> None:
    for number in range(9):
        await rig.tell(ANN, f"fact {number}", at=1000.0 + number // 3)
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        answer = await rig.web.get("/api/v1/memories", params=query, headers={"x-chatacter-person": "ann"})
        seen += [one["text"] for one in answer.json()["data"]]
        if answer.json()["next"] is None:
            break
        query["after"] = answer.json()["next"]
    assert sorted(seen) == [f"fact {number}" for number in range(9)]


async def test_searches_with_the_parts_of_each_score(rig: Rig) -> None:
    await rig.tell(ANN, "my dog is called biscuit", "the harbour was grey")
    best, *_ = await rig.listed(q="what is my dog called")
    assert best["text"] == "my dog is called biscuit"
    parts = {name: part for name, part in best["score"].items() if name != "total"}
    assert parts.keys() == {"meaning", "words", "speaker", "time", "form"}
    assert best["score"]["total"] == pytest.approx(sum(parts.values()))
    assert best["score"]["words"] > 0


async def test_reads_and_forgets_one(rig: Rig) -> None:
    await rig.tell(ANN, "I like tea", "I like boats")
    boats, _ = await rig.listed()
    read = await rig.web.get(f"/api/v1/memories/{boats['id']}", headers={"x-chatacter-person": "ann"})
    assert read.json() == {**boats, "history": []}
    answer = await rig.forget(f"/{boats['id']}")
    assert (answer.status_code, answer.json()) == (200, {"object": "memory.forgotten", "erased": True})
    assert [one["text"] for one in await rig.listed()] == ["I like tea"]
    assert (await rig.forget(f"/{boats['id']}")).status_code == 404


async def test_forgets_a_character_or_all_of_a_person_but_never_by_accident(rig: Rig) -> None:
    await rig.tell(ANN, "I like tea")
    await rig.tell(ANN, "I like bread", character="bo")
    await rig.tell(BOB, "I like fish")
    assert (await rig.forget()).status_code == 422
    assert (await rig.forget(character="ada")).status_code == 200
    assert [one["text"] for one in await rig.listed()] == ["I like bread"]
    assert (await rig.forget(all="true")).status_code == 200
    assert await rig.listed() == []
    assert [one["text"] for one in await rig.listed("bob")] == ["I like fish"]


async def test_nobody_reads_or_forgets_anothers(rig: Rig) -> None:
    await rig.tell(BOB, "I like fish")
    (fish,) = await rig.listed("bob")
    assert await rig.listed("ann", q="fish") == []
    read = await rig.web.get(f"/api/v1/memories/{fish['id']}", headers={"x-chatacter-person": "ann"})
    assert read.status_code == 404
    assert (await rig.forget(f"/{fish['id']}", "ann")).status_code == 404
    assert len(await rig.listed("bob")) == 1


async def test_while_memory_is_away_listing_says_so_and_forgetting_is_promised(rig: Rig) -> None:
    await rig.tell(ANN, "I like tea")
    (tea,) = await rig.listed()
    rig.memory.away = True
    away = await rig.web.get("/api/v1/memories", headers={"x-chatacter-person": "ann"})
    assert away.status_code == 503
    answer = await rig.forget(f"/{tea['id']}")
    assert (answer.status_code, answer.json()["erased"]) == (202, False)
    rig.memory.away = False
    assert await rig.listed() == []
    await rig.indexer.carry(await rig.outbox.take(10))
    assert await rig.memory.newest(ANN, Selection(), limit=10) == []


@pytest.mark.parametrize(
    ("query", "param"),
    [({"after": "x"}, "after"), ({"limit": 0}, "query.limit"), ({"q": "tea", "after": "1.0_x"}, "after")],
)
async def test_mistakes_are_named(rig: Rig, query: dict[str, Any], param: str) -> None:
    answer = await rig.web.get("/api/v1/memories", params=query)
    assert answer.status_code == 422
    assert answer.json()["param"] == param
    assert (await rig.forget("/not-a-uuid")).status_code == 422


async def test_without_long_term_memory_the_doors_say_so() -> None:
    app = await asyncio.to_thread(application, None, Knowing(FakeKnowledge()))
    async with served(app) as url, httpx.AsyncClient(base_url=url) as web:
        answer = await web.get("/api/v1/memories")
    assert answer.status_code == 422
    assert "ENABLE_LONG_TERM_MEMORY" in answer.json()["detail"]
