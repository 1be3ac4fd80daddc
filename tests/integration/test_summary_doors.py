"""Doors of the running summary, on a real server: read, correct, take back, and what stood in a reply's prompt."""

from collections.abc import AsyncIterator

import pytest

from chattr.domain.conversation import Message
from chattr.domain.knowledge import Source
from chattr.domain.memory import memory_id
from chattr.domain.summary import Summary, summary_id
from tests.memory_doors import ANN, Rig, opened
from tests.memory_world import fake_world

pytestmark = pytest.mark.integration


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with opened(fake_world()) as made:
        yield made


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


async def test_summaries_are_taken_along_and_put_down_with_their_conversation(rig: Rig) -> None:
    first, second = await summed_up(rig, "my dog is called biscuit", "he fears storms")
    archive = (await rig.ask("GET", "/memories/export")).json()
    assert len(archive["conversations"][0]["summaries"]) == 2
    arrived = await rig.ask("POST", "/memories/import?character=bo", json=archive, person="zoe")
    assert arrived.status_code == 200, arrived.text
    place = "/conversations/a/summaries"
    one, other = (await rig.ask("GET", place, person="zoe")).json()["data"]
    assert (one["text"], one["character"], one["message_ids"]) == (first.text, "bo", [first.through_id])
    assert (other["text"], other["previous_id"]) == (second.text, one["id"])
    again = await rig.ask("POST", "/memories/import?character=bo", json=archive, person="zoe")
    assert again.status_code == 200
    assert len((await rig.ask("GET", place, person="zoe")).json()["data"]) == 2


async def test_what_was_forgotten_is_taken_along_in_no_summary_nor_brought_by_one(rig: Rig) -> None:
    _, second = await summed_up(rig, "my dog is called biscuit", "he fears storms")
    before = (await rig.ask("GET", "/memories/export")).json()
    await rig.ask("DELETE", f"/memories/{memory_id(ANN, second.through_id)}")
    archive = (await rig.ask("GET", "/memories/export")).json()
    assert [one["through_id"] for one in archive["conversations"][0]["summaries"]] != [second.through_id]
    assert len(archive["conversations"][0]["summaries"]) == 1
    await rig.world.conversations.delete(ANN, "a")
    assert (await rig.ask("POST", "/memories/import", json=before)).status_code == 200
    found = (await rig.ask("GET", "/conversations/a/summaries")).json()["data"]
    assert [one["text"] for one in found] == ["my dog is called biscuit, in short"]


async def test_an_archive_whose_summaries_name_what_is_not_there_comes_without_them(rig: Rig) -> None:
    await summed_up(rig, "my dog is called biscuit", "he fears storms")
    archive = (await rig.ask("GET", "/memories/export")).json()
    archive["conversations"][0]["summaries"][0]["sources"][0]["message_id"] = "unknown"
    assert (await rig.ask("POST", "/memories/import", json=archive, person="zoe")).status_code == 200
    assert (await rig.ask("GET", "/conversations/a/summaries", person="zoe")).json()["data"] == []


async def test_a_fork_begins_with_the_summaries_of_what_it_copies(rig: Rig) -> None:
    first, second = await summed_up(rig, "my dog is called biscuit", "he fears storms")
    for message_id, number in ((second.through_id, 2), (first.through_id, 1)):
        forked = await rig.ask("POST", "/conversations/a/fork", json={"message_id": message_id})
        assert forked.status_code == 201, forked.text
        home = f"/conversations/{forked.json()['id']}/summaries"
        found = (await rig.ask("GET", home)).json()["data"]
        assert [one["text"] for one in found] == [first.text, second.text][:number]
        assert {one["through_message_id"] for one in found} <= {one["id"] for one in forked.json()["messages"]}
