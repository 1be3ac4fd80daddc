"""Long-term memory: one suite over the fake, Qdrant's engine in process, its client in memory, its client over REST in
front of the engine, where requests are judged (`tests/qdrant_rest.py`), and a real server.
"""

import asyncio
import os
import subprocess
import sys
import uuid
import warnings
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, models

from chatacter.chassis.errors import Misconfigured, NotReady, Unavailable
from chattr.adapters.edge_memory import EdgeMemory
from chattr.adapters.fakes.embedder import FakeEmbedder, bag
from chattr.adapters.fakes.memory import FakeMemory
from chattr.adapters.qdrant_memory import QdrantMemory, connected
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, Selection, memory_id, memory_of
from chattr.ports.memory import MemoryIndex, Point, Query, conditions
from tests.qdrant_rest import asked_over_rest

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
ANN_ELSEWHERE = Owner("evil", "ann")
EMBEDDER = FakeEmbedder.name


@pytest.fixture(params=["fake", "edge", "client", "rest", "server"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryIndex]:
    match request.param:
        case "fake":
            yield FakeMemory()
        case "edge":
            async with EdgeMemory(tmp_path / "memory") as edge:
                yield edge
        case "client":
            # Its local mode has no payload index and says so.
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            client = AsyncQdrantClient(":memory:")
            yield QdrantMemory(client, "memories")
            await client.close()
        case "rest":
            async with asked_over_rest(tmp_path) as (client, _):
                yield QdrantMemory(client, "memories")
        case "server":
            url = os.environ.get("QDRANT_TEST_URL")
            if url is None:
                pytest.skip("QDRANT_TEST_URL names no Qdrant server")
            name = f"test_{uuid.uuid4().hex}"
            async with connected(url, api_key=None, request_timeout=10.0) as client:
                yield QdrantMemory(client, name)
                await client.delete_collection(name)


def said(
    owner: Owner,
    number: int,
    text: str,
    *,
    character: str = "ada",
    conversation: str = "c1",
    embedder: str = EMBEDDER,
    person: str | None = None,
) -> Point:
    message = Message(f"m{number}", None, "user", text, float(number))
    memory = memory_of(owner, character, conversation, message, person=person)
    terms = {len(word): 1.0 for word in text.split()}
    return Point(memory, bag(text), bag(f"{text} around"), terms, embedder)


def asked(text: str, **narrowed: object) -> Query:
    return Query(bag(text), {len(word): 1.0 for word in text.split()}, EMBEDDER, **narrowed)  # type: ignore[arg-type]


async def found(memory: MemoryIndex, owner: Owner, query: Query) -> set[str]:
    return {candidate.memory.text for candidate in await memory.search(owner, query)}


async def test_finds_what_was_said_with_its_provenance_and_all_scores(memory: MemoryIndex) -> None:
    point = said(ANN, 1, "my dog is called biscuit")
    await memory.upsert(ANN, [point, said(ANN, 2, "the harbour was grey")])
    candidates = {one.memory.message_id: one for one in await memory.search(ANN, asked("my dog is called biscuit"))}
    assert candidates["m1"].memory == point.memory
    assert candidates["m1"].near == pytest.approx(1.0, abs=1e-3)
    assert candidates["m1"].near_with_talk == pytest.approx(float(point.dense @ point.talk), abs=1e-3)
    assert candidates["m1"].sharing is not None
    assert candidates["m1"].sharing > 0


async def test_rare_words_weigh_more_than_common_ones_among_the_owners_own_turns(memory: MemoryIndex) -> None:
    await memory.upsert(BOB, [said(BOB, number, "xxxxxxxxx") for number in range(20)])
    await memory.upsert(ANN, [said(ANN, number, "aa") for number in range(10)] + [said(ANN, 20, "aa bbbbbbbbb")])
    scores = {one.memory.message_id: one.sharing for one in await memory.search(ANN, asked("aa bbbbbbbbb"))}
    rare = np.log((11 - 1 + 0.5) / (1 + 0.5) + 1)
    common = np.log((11 - 11 + 0.5) / (11 + 0.5) + 1)
    assert scores["m20"] == pytest.approx(rare + common, rel=1e-3)
    assert scores["m1"] == pytest.approx(common, rel=1e-3)


async def test_nothing_of_another_tenant_or_person_is_found_listed_or_forgotten(memory: MemoryIndex) -> None:
    for owner in (ANN, BOB, ANN_ELSEWHERE):
        await memory.upsert(owner, [said(owner, 1, f"a secret of {owner.tenant} {owner.person}")])
    assert await found(memory, ANN, asked("a secret of evil bob")) == {"a secret of acme ann"}
    foreign = memory_id(BOB, "m1")
    assert await found(memory, ANN, asked("a secret", within=Selection(ids=(foreign,)))) == set()
    await memory.forget(ANN, Selection(ids=(foreign,)))
    await memory.forget(ANN, Selection())
    assert await memory.newest(ANN, Selection(), limit=10) == []
    assert [one.text for one in await memory.newest(BOB, Selection(), limit=10)] == ["a secret of acme bob"]
    assert len(await memory.newest(ANN_ELSEWHERE, Selection(), limit=10)) == 1


async def test_the_same_message_indexed_twice_is_one_memory(memory: MemoryIndex) -> None:
    await memory.upsert(ANN, [said(ANN, 1, "first words")])
    await memory.upsert(ANN, [said(ANN, 1, "corrected words")])
    assert [one.text for one in await memory.newest(ANN, Selection(), limit=10)] == ["corrected words"]


async def test_narrows_by_character_conversation_time_and_leaves_out_what_is_excluded(memory: MemoryIndex) -> None:
    points = [
        said(ANN, 1, "blue boats", character="ada", conversation="c1"),
        said(ANN, 2, "blue birds", character="ada", conversation="c2"),
        said(ANN, 3, "blue bread", character="bo", conversation="c3"),
    ]
    await memory.upsert(ANN, points)
    assert await found(memory, ANN, asked("blue", within=Selection(character_id="ada"))) == {"blue boats", "blue birds"}
    assert await found(memory, ANN, asked("blue", within=Selection(conversation_id="c3"))) == {"blue bread"}
    assert await found(memory, ANN, asked("blue", within=Selection(until=2.0))) == {"blue boats", "blue birds"}
    excluded = (points[0].memory.id, points[2].memory.id)
    assert await found(memory, ANN, asked("blue", exclude=excluded)) == {"blue birds"}


async def test_vectors_of_another_embedder_are_not_compared_and_words_find_them(memory: MemoryIndex) -> None:
    point = said(ANN, 1, "blue boats", embedder="older")
    longer = replace(point, dense=np.ones(7, np.float32) / np.sqrt(np.float32(7)), talk=np.zeros(7, np.float32))
    await memory.upsert(ANN, [longer])
    (candidate,) = await memory.search(ANN, asked("blue boats"))
    assert candidate.near is None
    assert candidate.near_with_talk is None
    assert candidate.sharing is not None


async def test_without_a_vector_words_alone_are_looked_for(memory: MemoryIndex) -> None:
    await memory.upsert(ANN, [said(ANN, 1, "blue boats"), said(ANN, 2, "a")])
    (candidate,) = await memory.search(ANN, Query(None, {4: 1.0}, EMBEDDER))
    assert (candidate.memory.text, candidate.near) == ("blue boats", None)
    assert await memory.search(ANN, Query(None, {}, EMBEDDER)) == []


async def test_what_another_embedder_or_version_indexed_is_stale_until_it_is_indexed_anew(memory: MemoryIndex) -> None:
    await memory.upsert(ANN, [said(ANN, 1, "blue boats", embedder="older"), said(ANN, 2, "blue birds")])
    await memory.upsert(BOB, [said(BOB, 3, "red boats", embedder="older")])
    stale = {(owner.person, one.text) for owner, one in await memory.stale(EMBEDDER, limit=10)}
    assert stale == {("ann", "blue boats"), ("bob", "red boats")}
    assert len(await memory.stale(EMBEDDER, limit=1)) == 1
    await memory.upsert(ANN, [said(ANN, 1, "blue boats")])
    assert [one.text for _, one in await memory.stale(EMBEDDER, limit=10)] == ["red boats"]
    near = {one.memory.text: one.near for one in await memory.search(ANN, asked("blue boats"))}
    assert near["blue boats"] == pytest.approx(1.0, abs=1e-3)


async def test_returns_vectors_that_there_are_and_only_ones_own(memory: MemoryIndex) -> None:
    mine, older = said(ANN, 1, "mine"), said(ANN, 2, "older", embedder="older")
    await memory.upsert(ANN, [mine, older, said(ANN, 3, "not asked for")])
    await memory.upsert(BOB, [said(BOB, 1, "foreign")])
    ids = [mine.memory.id, older.memory.id, memory_id(BOB, "m1"), memory_id(ANN, "m9")]
    found = {one.memory.text: one.dense for one in await memory.indexed(ANN, ids, EMBEDDER)}
    assert found.keys() == {"mine", "older"}
    assert found["mine"] == pytest.approx(mine.dense, abs=1e-3)
    assert found["older"] is None
    assert await memory.indexed(ANN, [], EMBEDDER) == []


async def test_knows_who_spoke(memory: MemoryIndex) -> None:
    points = [said(ANN, number, "hi", person="Ada" if number % 3 else "Ann") for number in range(1, 9)]
    await memory.upsert(ANN, [*points, said(ANN, 20, "hi", character="bo", person="Bo"), said(ANN, 21, "hi")])
    await memory.upsert(BOB, [said(BOB, 1, "hi", person="Secret")])
    assert list(await memory.speakers(ANN, Selection(character_id="ada"))) == ["Ada", "Ann"]
    assert {*await memory.speakers(ANN, Selection())} == {"Ada", "Ann", "Bo"}


async def test_what_was_said_on_a_branch_that_was_left_is_not_active_until_somebody_goes_back(
    memory: MemoryIndex,
) -> None:
    boats, birds, foreign = said(ANN, 1, "blue boats"), said(ANN, 2, "blue birds"), said(BOB, 1, "blue bread")
    await memory.upsert(ANN, [boats, birds])
    await memory.upsert(BOB, [foreign])
    await memory.mark(ANN, [boats.memory.id, foreign.memory.id], "left")
    assert await found(memory, ANN, asked("blue", active=True)) == {"blue birds"}
    assert await found(memory, ANN, asked("blue")) == {"blue boats", "blue birds"}
    assert await found(memory, BOB, asked("blue", active=True)) == {"blue bread"}
    assert [one.branch for one in await memory.newest(ANN, Selection(), limit=2)] == ["active", "left"]
    await memory.mark(ANN, [boats.memory.id], "active")
    candidates = {one.memory.id: one for one in await memory.search(ANN, asked("blue boats", active=True))}
    assert candidates[boats.memory.id].memory == boats.memory
    assert candidates[boats.memory.id].near == pytest.approx(1.0, abs=1e-3)


async def test_lists_the_newest_first(memory: MemoryIndex) -> None:
    await memory.upsert(ANN, [said(ANN, number, f"turn {number}") for number in range(1, 8)])
    newest = await memory.newest(ANN, Selection(until=5.0), limit=3)
    assert [one.text for one in newest] == ["turn 5", "turn 4", "turn 3"]


@pytest.mark.parametrize(
    ("what", "left"),
    [
        (Selection(ids=(memory_id(ANN, "m1"),)), ["m3", "m2"]),
        (Selection(conversation_id="c2"), ["m3", "m1"]),
        (Selection(character_id="ada"), ["m3"]),
        (Selection(character_id="ada", until=1.0), ["m3", "m2"]),
        (Selection(), []),
    ],
)
async def test_forgets_what_is_selected_and_only_that(memory: MemoryIndex, what: Selection, left: list[str]) -> None:
    await memory.upsert(
        ANN,
        [
            said(ANN, 1, "one", conversation="c1"),
            said(ANN, 2, "two", conversation="c2"),
            said(ANN, 3, "three", character="bo", conversation="c3"),
        ],
    )
    await memory.forget(ANN, what)
    assert [one.message_id for one in await memory.newest(ANN, Selection(), limit=10)] == left


async def test_an_empty_memory_answers(memory: MemoryIndex) -> None:
    assert await found(memory, ANN, asked("anything")) == set()
    assert await memory.newest(ANN, Selection(), limit=5) == []


async def test_many_at_once(memory: MemoryIndex) -> None:
    await asyncio.gather(*(memory.upsert(ANN, [said(ANN, number, f"turn {number}")]) for number in range(20)))
    answers = await asyncio.gather(*(found(memory, ANN, asked(f"turn {number}")) for number in range(20)))
    assert all(f"turn {number}" in answer for number, answer in enumerate(answers))


@pytest.mark.parametrize("nobody", [Owner("", "ann"), Owner("acme", "")])
async def test_no_query_without_tenant_and_person(memory: MemoryIndex, nobody: Owner) -> None:
    with pytest.raises(ValueError, match="tenant and a person"):
        conditions(nobody, Selection())
    with pytest.raises(ValueError, match="tenant and a person"):
        await memory.search(nobody, asked("anything"))
    with pytest.raises(ValueError, match="tenant and a person"):
        await memory.newest(nobody, Selection(), limit=1)
    with pytest.raises(ValueError, match="tenant and a person"):
        await memory.forget(nobody, Selection())
    with pytest.raises(ValueError, match="tenant and a person"):
        await memory.indexed(nobody, (), EMBEDDER)
    with pytest.raises(ValueError, match="tenant and a person"):
        await memory.speakers(nobody, Selection())


async def test_the_engine_in_process_keeps_what_it_has_over_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    async with EdgeMemory(folder) as memory:
        await memory.upsert(ANN, [said(ANN, 1, "kept")])
    async with EdgeMemory(folder) as memory:
        assert await found(memory, ANN, asked("kept")) == {"kept"}


CRASHING = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.contract.test_memory import ANN, EdgeMemory, said

async def main() -> None:
    async with EdgeMemory(Path(sys.argv[1])) as memory:
        await memory.upsert(ANN, [said(ANN, 1, "written before the crash")])
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_the_engine_in_process_survives_a_crash(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    folder = tmp_path / "memory"
    command = [sys.executable, "-c", CRASHING, str(folder)]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=pytestconfig.rootpath, check=False)
    assert ended.returncode == -9
    async with EdgeMemory(folder) as memory:
        assert await found(memory, ANN, asked("written")) == {"written before the crash"}


async def test_a_second_chattr_on_the_same_home_is_told(tmp_path: Path) -> None:
    async with EdgeMemory(tmp_path):
        with pytest.raises(Misconfigured, match="Another Chattr already uses the memory"):
            await EdgeMemory(tmp_path).__aenter__()
    async with EdgeMemory(tmp_path) as memory:
        assert await memory.newest(ANN, Selection(), limit=1) == []


async def test_the_engine_in_process_is_not_ready_when_closed(tmp_path: Path) -> None:
    with pytest.raises(NotReady):
        await EdgeMemory(tmp_path).search(ANN, asked("anything"))


async def test_a_collection_that_is_not_ours_is_told() -> None:
    client = AsyncQdrantClient(":memory:")
    await client.create_collection("memories", models.VectorParams(size=3, distance=models.Distance.COSINE))
    with pytest.raises(Misconfigured, match="VECTOR_DATABASE__COLLECTION"):
        await QdrantMemory(client, "memories").search(ANN, asked("one"))
    await client.close()


async def test_a_server_that_is_away_is_unavailable(unused_tcp_port: int) -> None:
    async with connected(f"http://127.0.0.1:{unused_tcp_port}", api_key=None, request_timeout=1.0) as client:
        memory = QdrantMemory(client, "memories")
        with pytest.raises(Unavailable):
            await memory.search(ANN, asked("anything"))
        assert await memory.reachable() is not None


def test_a_record_reads_back() -> None:
    point = said(ANN, 1, "one")
    assert Memory.of_record(point.memory.record()) == point.memory
    narrowed = Selection(ids=("a", "b"), character_id="ada", until=1.5)
    assert Selection.of_record(narrowed.record()) == narrowed
