"""Forgetting by search: what would be forgotten is shown first, then exactly that is forgotten, for good."""

from collections.abc import AsyncIterator

import pytest

from chattr.domain.conversation import Conversation
from chattr.domain.knowledge import Source
from chattr.domain.summary import Summary, summary_id
from tests.memory_doors import ANN, BOB, Rig, opened
from tests.memory_world import fake_world

pytestmark = pytest.mark.integration


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with opened(fake_world()) as made:
        yield made


async def test_nothing_is_forgotten_until_it_is_said_what(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    await rig.said("the boats are blue")
    answer = await rig.ask("POST", "/memories/forget:preview", json={"q": "dog biscuit"})
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["ids"] == [dog] == [one["id"] for one in shown["data"]]
    assert shown["data"][0]["score"]["words"] > 0
    assert len(await rig.memories()) == 2
    assert (await rig.ask("POST", "/memories/forget", json={"ids": shown["ids"]})).json()["erased"] is True
    assert [one["text"] for one in await rig.memories()] == ["the boats are blue"]
    again = (await rig.ask("POST", "/memories/forget:preview", json={"q": "dog biscuit"})).json()
    assert again["ids"] == []


async def test_it_is_narrowed_as_a_search_is(rig: Rig) -> None:
    await rig.said("my dog is called biscuit")
    other = await rig.said("my dog is called rex", "b")
    asked = {"q": "dog", "conversation": "b"}
    assert (await rig.ask("POST", "/memories/forget:preview", json=asked)).json()["ids"] == [other]
    asked = {"q": "dog", "character": "bo"}
    assert (await rig.ask("POST", "/memories/forget:preview", json=asked)).json()["ids"] == []
    assert len((await rig.ask("POST", "/memories/forget:preview", json={"q": "dog", "limit": 1})).json()["ids"]) == 1


async def test_facts_and_summaries_that_go_along_are_shown_and_go_along(rig: Rig) -> None:
    said = await rig.world.say("a", "my dog is called biscuit", owner=ANN)
    also = await rig.world.say("a", "the boats are blue", owner=ANN)
    await rig.world.learn("Ann has a dog.", "a", said, owner=ANN)
    both = await rig.world.learn("Ann likes talking.", "a", said, also, owner=ANN)
    summary = Summary(summary_id("ada", said), "a", "ada", said, 1.0, "A dog.", (Source("a", said, 1.0),), 2.0)
    assert rig.world.summaries is not None
    assert await rig.world.summaries.put(ANN, summary)
    await rig.world.index()
    asked = {"q": "dog biscuit", "kind": "turn"}
    shown = (await rig.ask("POST", "/memories/forget:preview", json=asked)).json()
    assert [one["text"] for one in shown["facts"]] == ["Ann has a dog."]
    assert shown["summaries"] == [summary.id]
    await rig.ask("POST", "/memories/forget", json={"ids": shown["ids"]})
    assert {one["text"] for one in await rig.memories()} == {"the boats are blue", "Ann likes talking."}
    assert [fact.id for fact in (await rig.world.knowledge.facts(ANN)).all] == [both]
    assert await rig.world.summaries.of(ANN, "a") == []


async def test_what_is_forgotten_does_not_come_back_with_its_conversation(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    await rig.ask("POST", "/memories/forget", json={"ids": [dog]})
    kept = await rig.world.conversations.messages(ANN, "a")
    await rig.world.conversations.delete(ANN, "a")
    await rig.world.conversations.create(ANN, Conversation("a", "ada", 1.0, head_id=kept[-1].id), kept)
    await rig.world.index()
    assert await rig.memories() == []


async def test_others_memories_are_neither_found_nor_forgotten(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    theirs = await rig.said("my dog is called rex", "c", owner=BOB)
    assert theirs not in (await rig.ask("POST", "/memories/forget:preview", json={"q": "dog"})).json()["ids"]
    answer = await rig.ask("POST", "/memories/forget", json={"ids": [dog, theirs]})
    assert answer.status_code == 404
    assert "nothing was forgotten" in answer.json()["detail"]
    assert len(await rig.memories()) == 1
    assert len(await rig.memories(person="bob")) == 1


@pytest.mark.parametrize("body", [{"q": " "}, {"q": "dog", "limit": 101}, {"q": "dog", "all": True}, {}])
async def test_a_search_says_what_it_looks_for(rig: Rig, body: dict[str, object]) -> None:
    assert (await rig.ask("POST", "/memories/forget:preview", json=body)).status_code == 422


@pytest.mark.parametrize("body", [{"ids": []}, {"ids": ["x"]}, {"q": "dog"}, {}])
async def test_only_what_is_named_is_forgotten(rig: Rig, body: dict[str, object]) -> None:
    await rig.said("my dog is called biscuit")
    assert (await rig.ask("POST", "/memories/forget", json=body)).status_code == 422
    assert len(await rig.memories()) == 1
