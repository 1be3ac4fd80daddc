"""Doors that change memories, on a real server: correct, pin, take along, put down, and why a reply said something."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from chatacter.chassis.errors import NotFound, Stale
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.fakes.replies import FakeReplyCache
from chattr.domain.conversation import Conversation, Message, Reminder
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment
from chattr.domain.memory import Selection
from chattr.usecases.amending import Amending, Known
from chattr.usecases.knowing import Knowing
from chattr.usecases.moving import Moving
from tests.memory_doors import ANN, BOB, ZOE, Rig, opened
from tests.memory_world import World, fake_world

pytestmark = pytest.mark.integration


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


async def test_a_memory_is_changed_only_where_it_is_still_what_was_read(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    read = await rig.ask("GET", f"/memories/{dog}")
    tag = read.headers["etag"]
    unchanged = await rig.web.get(
        f"/api/v1/memories/{dog}", headers={"x-chatacter-person": "ann", "if-none-match": tag}
    )
    assert unchanged.status_code == 304
    changes: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", "", {"json": {"text": "my dog is called pickle"}}),
        ("POST", "/pin", {}),
        ("DELETE", "/pin", {}),
    ]
    for method, path, body in changes:
        there = {"x-chatacter-person": "ann", "if-match": tag}
        answer = await rig.web.request(method, f"/api/v1/memories/{dog}{path}", headers=there, **body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["etag"] != tag
        late = await rig.web.request(method, f"/api/v1/memories/{dog}{path}", headers=there, **body)
        assert late.status_code == 412
        tag = answer.headers["etag"]
        assert (await rig.ask("GET", f"/memories/{dog}")).headers["etag"] == tag


async def test_a_memory_is_forgotten_only_where_it_is_still_what_was_read(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    tag = (await rig.ask("GET", f"/memories/{dog}")).headers["etag"]
    await rig.ask("PATCH", f"/memories/{dog}", json={"text": "my dog is called pickle"})
    there = {"x-chatacter-person": "ann", "if-match": tag}
    assert (await rig.web.delete(f"/api/v1/memories/{dog}", headers=there)).status_code == 412
    there["if-match"] = (await rig.ask("GET", f"/memories/{dog}")).headers["etag"]
    assert (await rig.web.delete(f"/api/v1/memories/{dog}", headers=there)).status_code == 200
    assert await rig.memories() == []


@pytest.mark.parametrize("away", [False, True])
async def test_what_is_forgotten_takes_the_kept_answers_along(*, away: bool) -> None:
    world, kept = fake_world(), FakeReplyCache()
    world.replies = kept
    async with opened(world) as rig:
        dog = await rig.said("my dog is called biscuit")
        for owner in (ANN, BOB):
            await kept.keep(owner, "print", [{"choices": []}])
        kept.away = away
        assert (await rig.ask("DELETE", f"/memories/{dog}")).status_code == 200
        kept.away = False
        assert bool(await kept.find(ANN, "print")) == away, "one that cannot be reached runs out by itself"
        assert await kept.find(BOB, "print")


class Interrupted(Knowing):
    """Lets somebody else do something before the first change is kept, or the first thing forgotten."""

    def __init__(self, world: World, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(world.knowledge)
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    async def amend(self, owner: Owner, amendment: Amendment) -> bool:
        await self._interrupted()
        return await super().amend(owner, amendment)

    async def forget(self, owner: Owner, what: Selection, *, revision: int) -> bool:
        await self._interrupted()
        return await super().forget(owner, what, revision=revision)

    async def _interrupted(self) -> None:
        if self._meanwhile is not None:
            work, self._meanwhile = self._meanwhile, None
            await work()


async def test_what_is_corrected_right_before_it_is_forgotten_is_looked_at_again(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    cat = await rig.said("my cat is called soot")
    first = Amending(rig.world.remember(), rig.world.knowing())

    def as_read(known: Known) -> None:
        if known.memory.text != "my dog is called biscuit":
            raise Stale("It changed.")

    async def forget(meanwhile: Callable[[], Awaitable[object]]) -> bool:
        knowing = Interrupted(rig.world, meanwhile)
        return await Amending(rig.world.remember(knowing), knowing).forget(ANN, dog, as_read)

    with pytest.raises(Stale):
        await forget(lambda: first.correct(ANN, dog, "my dog is called pickle"))
    assert {one["text"] for one in await rig.memories()} == {"my dog is called pickle", "my cat is called soot"}
    await first.correct(ANN, dog, "my dog is called biscuit")
    assert await forget(lambda: first.pin(ANN, cat, pinned=True)), "what became of another is looked at, and no matter"
    assert [one["text"] for one in await rig.memories()] == ["my cat is called soot"]


async def test_a_correction_and_a_pin_at_the_same_moment_both_hold(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    pinning = Amending(rig.world.remember(), rig.world.knowing())
    other = Interrupted(rig.world, lambda: pinning.pin(ANN, dog, pinned=True))
    known = await Amending(rig.world.remember(), other).correct(ANN, dog, "my dog is called pickle")
    assert (known.memory.text, known.memory.standing) == ("my dog is called pickle", "pinned")
    assert [one.text for one in known.history] == ["my dog is called biscuit"]


async def test_of_two_corrections_at_the_same_moment_the_history_knows_both(rig: Rig) -> None:
    dog = await rig.said("my dog is called biscuit")
    first = Amending(rig.world.remember(), rig.world.knowing())
    other = Interrupted(rig.world, lambda: first.correct(ANN, dog, "my dog is called rex"))
    known = await Amending(rig.world.remember(), other).correct(ANN, dog, "my dog is called pickle")
    assert known.memory.text == "my dog is called pickle"
    assert [one.text for one in known.history] == ["my dog is called biscuit", "my dog is called rex"]


@pytest.mark.parametrize("amended", [True, False])
async def test_what_is_forgotten_while_it_is_corrected_stays_forgotten(rig: Rig, *, amended: bool) -> None:
    dog = await rig.said("my dog is called biscuit")
    other = Interrupted(rig.world, lambda: rig.world.forget(Selection(ids=(dog,)), owner=ANN))
    if amended:
        await rig.ask("POST", f"/memories/{dog}/pin")
    with pytest.raises(NotFound):
        await Amending(rig.world.remember(), other).correct(ANN, dog, "my dog is called pickle")
    assert await rig.world.knowledge.amendments(ANN) == {}


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


class Moved(FakeConversations):
    """Somebody deletes the conversation that a page ended with."""

    async def list(self, owner: Owner, *, before: str | None, limit: int) -> Sequence[Conversation]:
        page = await super().list(owner, before=before, limit=limit)
        if page and before is None:
            await self.delete(owner, page[-1].id)
        return page


async def test_a_conversation_that_is_deleted_meanwhile_makes_an_archive_neither_longer_nor_endless() -> None:
    conversations = Moved()
    for number in range(150):
        await conversations.create(ANN, Conversation(f"c{number:03}", "ada", float(number)))
    moving = Moving(conversations, FakeKnowledge(), FakeOutbox())
    ids = [one.id for one in (await moving.take(ANN, None)).conversations]
    assert len(ids) == len(set(ids))
    assert set(ids) >= {f"c{number:03}" for number in range(150)} - {"c050"}
