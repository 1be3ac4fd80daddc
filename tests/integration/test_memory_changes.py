"""Doors that change memories, on a real server: correct, pin, take along, put down, and why a reply said something."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chatacter.chassis.app import Service, build
from chatacter.chassis.health import Health
from chatacter.chassis.settings import ServiceSettings
from chatacter.chassis.telemetry import telemetry_of
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.sessions import FakeShortTerm
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message, Reminder
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Source
from chattr.domain.memory import Selection, memory_id
from chattr.domain.prompt import Budget
from chattr.domain.summary import Summary, summary_id
from chattr.routes import memories, memory_changes, reminders, summaries
from chattr.usecases.amending import Amending
from chattr.usecases.characters import Cast
from chattr.usecases.conversing import Conversing
from chattr.usecases.moving import Moving
from chattr.usecases.summing import Windows
from tests.memory_world import World, fake_world
from tests.served import served

pytestmark = pytest.mark.integration

ANN = Owner("default", "ann")
BOB = Owner("default", "bob")
ZOE = Owner("default", "zoe")
ADA = Character(id="ada", name="Ada", system_prompt="You are Ada.")
BO = Character(id="bo", name="Bo", system_prompt="You are Bo.")
ROUTERS = [reminders.router, summaries.router, memory_changes.router, memories.router]


@dataclass
class Rig:
    """The doors with fakes behind them."""

    web: httpx.AsyncClient
    world: World

    async def ask(self, method: str, path: str, *, person: str = "ann", **named: Any) -> httpx.Response:
        return await self.web.request(method, f"/api/v1{path}", headers={"x-chatacter-person": person}, **named)

    async def memories(self, person: str = "ann", **query: Any) -> list[dict[str, Any]]:
        answer = await self.ask("GET", "/memories", person=person, params=query)
        assert answer.status_code == 200, answer.text
        data: list[dict[str, Any]] = answer.json()["data"]
        return data

    async def said(self, text: str, conversation: str = "a", *, owner: Owner = ANN) -> str:
        """Say something and see it remembered; returns the memory's id."""
        message_id = await self.world.say(conversation, text, owner=owner)
        await self.world.index()
        return memory_id(owner, message_id)


def application(world: World) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        remember = world.remember()
        cast = Cast({"ada": ADA, "bo": BO}, {}, FakeCharacters(), default="ada")
        yield {
            "remember": remember,
            "amending": Amending(remember, world.knowing(), clock=lambda: world.now),
            "moving": Moving(world.conversations, world.knowledge, world.outbox, clock=lambda: world.now),
            "summing": world.summing(world.outbox, Windows(Budget(), 8)),
            "characters": cast,
            "conversing": Conversing(cast, world.conversations, FakeShortTerm(), remember),
        }

    settings = ServiceSettings.read()
    service = Service("test", "Test", "0", Health(), lifespan, ROUTERS, telemetry_of("test", settings))
    return build(service, settings)


@asynccontextmanager
async def opened(world: World) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(await asyncio.to_thread(application, world)))
        yield Rig(await stack.enter_async_context(httpx.AsyncClient(base_url=url)), world)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with opened(fake_world()) as made:
        yield made


async def test_a_corrected_memory_says_so_at_once_and_keeps_what_it_said(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    answer = await rig.ask("PATCH", f"/memories/{dog}", json={"text": " my dog is called pickle "})
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"] == "my dog is called pickle"
    assert [one["text"] for one in answer.json()["history"]] == ["my dog is called biscuit"]
    assert [one["text"] for one in await rig.memories()] == ["my dog is called pickle"]
    assert await rig.world.recalled("my dog called", owner=ANN) == {"my dog is called pickle"}
    again = await rig.ask("PATCH", f"/memories/{dog}", json={"text": "my dog is called pickle"})
    assert len(again.json()["history"]) == 1


async def test_a_corrected_memory_is_found_by_its_new_words(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    await rig.ask("PATCH", f"/memories/{dog}", json={"text": "the terrier answers to pickle"})
    await rig.world.index()
    (found,) = await rig.memories(q="pickle")
    assert found["text"] == "the terrier answers to pickle"
    assert found["score"]["words"] > 0


async def test_a_correction_goes_with_its_memory(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    await rig.ask("PATCH", f"/memories/{dog}", json={"text": "a secret"})
    assert (await rig.ask("DELETE", f"/memories/{dog}")).status_code == 200
    assert await rig.world.knowledge.amendments(ANN) == {}
    assert (await rig.ask("GET", f"/memories/{dog}")).status_code == 404


async def test_what_is_pinned_reaches_every_prompt_until_it_is_not(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    assert (await rig.ask("POST", f"/memories/{dog}/pin")).json()["pinned"] is True
    await rig.world.index()
    assert await rig.world.recalled("zzz qqq", owner=ANN) == {"my dog is called biscuit"}
    assert (await rig.ask("DELETE", f"/memories/{dog}/pin")).json()["pinned"] is False
    await rig.world.index()
    assert await rig.world.recalled("zzz qqq", owner=ANN) == set()


async def test_not_everything_can_be_pinned(rig: Rig) -> None:
    every = [await rig.said(f"fact number{number}") for number in range(9)]
    statuses = [(await rig.ask("POST", f"/memories/{each}/pin")).status_code for each in every]
    assert statuses == [200] * 8 + [409]
    assert (await rig.ask("POST", f"/memories/{every[0]}/pin")).status_code == 200


async def test_nobody_changes_anothers_memory(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    for method, path, body in (("PATCH", "", {"text": "x"}), ("POST", "/pin", None), ("DELETE", "/pin", None)):
        answer = await rig.ask(method, f"/memories/{dog}{path}", person="bob", json=body)
        assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("text", ["", "   ", "x" * 8_001])
async def test_a_memory_says_something(rig: Rig, text: str) -> None:
    dog = await rig.said("my dog is called biscuit")
    assert (await rig.ask("PATCH", f"/memories/{dog}", json={"text": text})).status_code == 422


async def test_a_fact_tells_what_held_before_it_and_what_held_comes_back(rig: Rig) -> None:
    first = await rig.world.say("a", "I live in Leipzig", owner=ANN)
    second = await rig.world.say("a", "I moved to Porto", owner=ANN)
    old = await rig.world.learn("The user lives in Leipzig.", "a", first, owner=ANN)
    new = await rig.world.learn("The user lives in Porto.", "a", second, supersedes=old, owner=ANN)
    await rig.world.index()
    assert [one["text"] for one in await rig.memories(kind="fact")] == ["The user lives in Porto."]
    read = (await rig.ask("GET", f"/memories/{new}")).json()
    assert (read["kind"], [one["text"] for one in read["history"]]) == ("fact", ["The user lives in Leipzig."])
    await rig.world.cut("a", second, owner=ANN)
    await rig.world.index()
    assert [one["text"] for one in await rig.memories(kind="fact")] == ["The user lives in Leipzig."]


async def test_a_person_takes_everything_along_and_is_remembered_the_same_elsewhere(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    boats = await rig.said("the boats are blue", "b")
    secret = await rig.said("a secret that goes", "b")
    await rig.said("something of bob's", owner=BOB)
    await rig.world.say("a", "left behind", None, owner=ANN)
    head = await rig.world.conversations.messages(ANN, "a")
    await rig.world.learn("The dog is called Biscuit.", "a", head[0].id, owner=ANN)
    await rig.ask("PATCH", f"/memories/{boats}", json={"text": "the boats are red"})
    await rig.ask("POST", f"/memories/{dog}/pin")
    await rig.ask("DELETE", f"/memories/{secret}")
    await rig.world.index()
    before = await rig.memories()
    exported = await rig.ask("GET", "/memories/export", params={"character": "ada"})
    assert exported.status_code == 200, exported.text
    async with opened(fake_world()) as other:
        first = {"conversations": 2, "messages": 4, "facts": 1, "amendments": 2}
        for wanted in (first, {"conversations": 0, "messages": 0, "facts": 0, "amendments": 0}):
            arrived = await other.ask("POST", "/memories/import", person="zoe", json=exported.json())
            assert arrived.status_code == 200, arrived.text
            assert {name: arrived.json()[name] for name in wanted} == wanted
        await other.world.index()
        after = await other.memories("zoe")
        assert [without_id(one) for one in after] == [without_id(one) for one in before]
        assert "a secret that goes" not in {one["text"] for one in after}
        for question in ("my dog called", "boats", "left behind", "a secret that goes"):
            elsewhere = await other.world.recalled(question, owner=ZOE)
            assert elsewhere == await rig.world.recalled(question, owner=ANN)


def without_id(memory: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in memory.items() if name != "id"}


async def test_what_was_forgotten_here_stays_forgotten_when_an_archive_brings_it_again(rig: Rig) -> None:
    await rig.said("my dog is called biscuit")
    exported = (await rig.ask("GET", "/memories/export")).json()
    rig.world.now += 1
    assert (await rig.ask("DELETE", "/memories", params={"all": "true"})).status_code == 200
    await rig.world.conversations.delete(ANN, "a")
    assert (await rig.ask("POST", "/memories/import", json=exported)).json()["conversations"] == 1
    await rig.world.index()
    assert await rig.memories() == []


async def test_an_archive_may_be_put_down_as_another_characters(rig: Rig) -> None:
    await rig.said("my dog is called biscuit")
    exported = (await rig.ask("GET", "/memories/export")).json()
    answer = await rig.ask("POST", "/memories/import", person="zoe", params={"character": "bo"}, json=exported)
    assert answer.status_code == 200, answer.text
    await rig.world.index()
    assert [one["character"] for one in await rig.memories("zoe")] == ["bo"]
    nobody = await rig.ask("POST", "/memories/import", params={"character": "nobody"}, json=exported)
    assert nobody.status_code == 404


async def test_facts_and_corrections_of_what_is_not_there_are_refused(rig: Rig) -> None:
    fact = {
        "id": "f1",
        "character": "ada",
        "about": "person",
        "text": "It is so.",
        "sources": [{"conversation_id": "x", "message_id": "m1", "said_at": 1.0}],
        "valid_from": 1.0,
    }
    amendments = [{"message_id": "m1", "text": "x"}, {"fact_id": "f1", "pinned": True}]
    strange = {"exported_at": 1.0, "conversations": [], "facts": [fact], "amendments": amendments}
    answer = await rig.ask("POST", "/memories/import", json=strange)
    assert [one["id"] for one in answer.json()["refused"]] == ["f1", "m1", "f1"]
    assert await rig.world.knowledge.amendments(ANN) == {}


FIRST = {"id": "m1", "parent_id": None, "role": "user", "content": "x", "created_at": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{**FIRST, "parent_id": "m0"}]},
        {"messages": [FIRST, FIRST]},
        {"messages": [], "head_id": "m1"},
        {"messages": [], "id": "../x"},
        {"messages": [], "created_at": -1},
        {"messages": [{**FIRST, "role": "system"}]},
    ],
)
async def test_broken_archives_are_refused_whole(rig: Rig, wrong: dict[str, Any]) -> None:
    sound = {"id": "d", "character": "ada", "created_at": 1.0, "messages": [{**FIRST, "id": "m9"}]}
    broken = {"id": "c", "character": "ada", "created_at": 1.0, **wrong}
    body = {"exported_at": 1.0, "conversations": [sound, broken]}
    answer = await rig.ask("POST", "/memories/import", json=body)
    assert answer.status_code == 422, answer.text
    assert await rig.world.conversations.list(ANN, before=None, limit=5) == []


async def test_a_reply_says_what_it_was_reminded_of_and_no_longer_what_was_forgotten(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    parts = (("meaning", 0.5), ("words", 0.25))
    reminder = Reminder(dog, reached=True, parts=parts, section="facts")
    reply = Message("r", None, "assistant", "Biscuit!", 2.0, "ada", reminders=(reminder,))
    await rig.world.conversations.create(ANN, Conversation("b", "ada", 1.0), [reply])
    answer = await rig.ask("GET", "/conversations/b/messages/r/recall")
    assert answer.status_code == 200, answer.text
    (one,) = answer.json()["data"]
    assert (one["memory"]["text"], one["reached"], one["parts"]) == ("my dog is called biscuit", True, dict(parts))
    assert one["section"] == "facts"
    assert answer.json()["summary"] is None
    await rig.world.forget(Selection(ids=(dog,)), owner=ANN)
    (one,) = (await rig.ask("GET", "/conversations/b/messages/r/recall")).json()["data"]
    assert one["memory"] is None
    assert (await rig.ask("GET", "/conversations/b/messages/r/recall", person="bob")).status_code == 404
    assert (await rig.ask("GET", "/conversations/b/messages/x/recall")).status_code == 404


async def summed_up(rig: Rig, *texts: str) -> list[Summary]:
    """Say things, and have each summed up with all before it."""
    made: list[Summary] = []
    for text in texts:
        said = await rig.world.say("a", text, owner=ANN)
        sources = (Source("a", said, rig.world.now),)
        previous = made[-1].id if made else None
        made.append(
            Summary(
                summary_id("ada", said), "a", "ada", said, rig.world.now, f"{text}, in short", sources, 9.0, previous
            )
        )
        assert rig.world.summaries is not None
        assert await rig.world.summaries.put(ANN, made[-1])
    await rig.world.index()
    return made


async def test_summaries_are_listed_with_what_they_were_made_of(rig: Rig) -> None:
    first, _ = await summed_up(rig, "my dog is called biscuit", "he fears storms")
    await rig.world.say("a", "or rather not", first.through_id, owner=ANN)
    answer = await rig.ask("GET", "/conversations/a/summaries")
    assert answer.status_code == 200, answer.text
    one, other = answer.json()["data"]
    assert (one["id"], one["text"], one["message_ids"]) == (first.id, first.text, [first.through_id])
    assert (one["branch"], one["previous_id"], one["corrected"], one["character"]) == ("active", None, False, "ada")
    assert (other["previous_id"], other["branch"]) == (first.id, "left")
    assert (await rig.ask("GET", "/conversations/a/summaries", person="bob")).status_code == 404
    assert (await rig.ask("GET", "/conversations/x/summaries")).status_code == 404


async def test_a_summary_is_corrected_and_taken_back(rig: Rig) -> None:
    first, second = await summed_up(rig, "my dog is called biscuit", "he fears storms")
    place = "/conversations/a/summaries"
    answer = await rig.ask("PATCH", f"{place}/{first.id}", json={"text": " Ann has a dog. "})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["text"], answer.json()["corrected"]) == ("Ann has a dog.", True)
    assert [one["id"] for one in (await rig.ask("GET", place)).json()["data"]] == [first.id]
    assert (await rig.ask("PATCH", f"{place}/{second.id}", json={"text": "x"})).status_code == 404
    for text in ("  ", "x" * 4_001):
        assert (await rig.ask("PATCH", f"{place}/{first.id}", json={"text": text})).status_code == 422
    assert (await rig.ask("DELETE", f"{place}/{first.id}", person="bob")).status_code == 404
    assert (await rig.ask("DELETE", f"{place}/{first.id}")).status_code == 204
    assert (await rig.ask("DELETE", f"{place}/{first.id}")).status_code == 404
    await summed_up(rig, "the boats are blue")
    assert (await rig.ask("DELETE", place)).status_code == 204
    assert (await rig.ask("GET", place)).json()["data"] == []


async def test_a_forgotten_memory_takes_the_summaries_of_its_message_back(rig: Rig) -> None:
    first, second = await summed_up(rig, "my dog is called biscuit", "he fears storms")
    dog = memory_id(ANN, second.through_id)
    assert (await rig.ask("DELETE", f"/memories/{dog}")).status_code == 200
    found = (await rig.ask("GET", "/conversations/a/summaries")).json()["data"]
    assert [one["id"] for one in found] == [first.id]
    assert (await rig.ask("DELETE", "/memories", params={"all": "true"})).status_code == 200
    assert (await rig.ask("GET", "/conversations/a/summaries")).json()["data"] == []


async def test_a_reply_says_which_summary_stood_in_its_prompt(rig: Rig) -> None:
    (first,) = await summed_up(rig, "my dog is called biscuit")
    reply = Message("r", first.through_id, "assistant", "Biscuit!", 2.0, "ada", summary_id=first.id)
    await rig.world.conversations.append(ANN, "a", [reply])
    recall = "/conversations/a/messages/r/recall"
    assert (await rig.ask("GET", recall)).json()["summary"]["text"] == first.text
    await rig.ask("DELETE", f"/conversations/a/summaries/{first.id}")
    assert (await rig.ask("GET", recall)).json()["summary"] is None
