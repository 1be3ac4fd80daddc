"""Nothing foreign comes back: random owners with names that look alike, random queries, all ways to ask.

Proved once by mutation: without the conditions on tenant or person in `chattr.ports.memory.conditions` this fails.
"""

import os
import random
import uuid
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from chattr.adapters.edge_memory import EdgeMemory
from chattr.adapters.fakes.embedder import DIMENSIONS, FakeEmbedder
from chattr.adapters.fakes.memory import FakeMemory
from chattr.adapters.qdrant_memory import QdrantMemory, connected
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, Selection, memory_of
from chattr.ports.memory import MemoryIndex, Point, Query
from tests.qdrant_rest import asked_over_rest

pytestmark = pytest.mark.contract

NAMES = ["a", "b", "ab", "a-b", "a.b", "A", "owner", "default", "0", "None", "a@b", "*"]
OWNERS = [Owner(tenant, person) for tenant in NAMES for person in NAMES]
CHARACTERS = ["ada", "bo", "owner"]
MESSAGES = 30
QUERIES = {"fake": 300, "client": 150, "edge": 1500}


@pytest.fixture(params=list(QUERIES))
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[MemoryIndex, int]]:
    queries = QUERIES[request.param]
    match request.param:
        case "fake":
            yield FakeMemory(), queries
        case "client":
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            client = AsyncQdrantClient(":memory:")
            yield QdrantMemory(client, "memories"), queries
            await client.close()
        case "edge":
            async with EdgeMemory(tmp_path) as edge:
                yield edge, queries


class World:
    """Everybody's memories, from one seed. Message ids repeat from owner to owner, as imported ones may."""

    def __init__(self, seed: int, *, dimensions: int = DIMENSIONS) -> None:
        self.dimensions = dimensions
        self.random = random.Random(seed)
        self.noise = np.random.default_rng(seed)
        self.memories: dict[Owner, list[Memory]] = {}

    def points(self, owner: Owner) -> list[Point]:
        points = []
        for _ in range(self.random.randint(1, 4)):
            number = self.random.randrange(MESSAGES)
            message = Message(f"m{number}", None, "user", f"{owner.tenant}/{owner.person} {number}", float(number))
            memory = memory_of(owner, self.random.choice(CHARACTERS), f"c{number % 3}", message)
            points.append(Point(memory, self.vector(), self.vector(), self.terms(), FakeEmbedder.name))
        unique = {point.memory.id: point for point in points}
        self.memories[owner] = [point.memory for point in unique.values()]
        return list(unique.values())

    def vector(self) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
        vector = self.noise.normal(size=self.dimensions).astype(np.float32)
        return vector / np.linalg.norm(vector)

    def terms(self) -> dict[int, float]:
        return {self.random.randrange(12): 1.0 for _ in range(3)}

    def selection(self) -> Selection:
        every = [memory.id for memories in self.memories.values() for memory in memories]
        return Selection(
            ids=self.random.choice([None, tuple(self.random.sample(every, 20))]),
            character_id=self.random.choice([None, *CHARACTERS]),
            conversation_id=self.random.choice([None, "c0", "c1"]),
            until=self.random.choice([None, 10.0, 1e12]),
        )


async def test_random_queries_return_only_the_askers_own(memory: tuple[MemoryIndex, int]) -> None:
    index, queries = memory
    world = World(seed=20)
    for owner in OWNERS:
        await index.upsert(owner, world.points(owner))
    hits = 0
    for _ in range(queries):
        owner, within = world.random.choice(OWNERS), world.selection()
        own = {one.id for one in world.memories[owner] if within.covers(one)}
        query = Query(world.vector(), world.terms(), FakeEmbedder.name, within=within, limit=500)
        found = {candidate.memory.id for candidate in await index.search(owner, query)}
        assert found == own
        assert {one.id for one in await index.newest(owner, within, limit=500)} == own
        hits += len(found)
    assert hits > queries / 4


async def test_random_forgetting_takes_only_the_askers_own(memory: tuple[MemoryIndex, int]) -> None:
    index, _ = memory
    world = World(seed=21)
    for owner in OWNERS:
        await index.upsert(owner, world.points(owner))
    for owner in world.random.sample(OWNERS, 40):
        within = world.selection()
        await index.forget(owner, within)
        world.memories[owner] = [one for one in world.memories[owner] if not within.covers(one)]
    for owner in OWNERS:
        left = {one.id for one in await index.newest(owner, Selection(), limit=500)}
        assert left == {one.id for one in world.memories[owner]}


@dataclass(frozen=True)
class Crowd:
    """How many tenants an engine gets, each with two people, and how many queries."""

    tenants: int
    queries: int


# `make torture` asks 100,000 queries: of the engine in process; through `qdrant-client` over REST, of the same engine
# behind what `tests/qdrant_rest.py` answers; and of a server where one is named. The client's own local mode reads
# every payload for every query, and gets as many as it can answer in some seconds.
CROWDS = {
    "edge": Crowd(1_000, int(os.environ.get("ISOLATION_QUERIES", "6000"))),
    "rest": Crowd(1_000, int(os.environ.get("ISOLATION_QUERIES", "1000"))),
    "server": Crowd(1_000, int(os.environ.get("ISOLATION_QUERIES", "6000"))),
    "client": Crowd(40, 80),
}


@pytest.fixture(params=list(CROWDS))
async def crowded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[MemoryIndex, Crowd]]:
    crowd = CROWDS[request.param]
    match request.param:
        case "edge":
            async with EdgeMemory(tmp_path) as edge:
                yield edge, crowd
        case "client":
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            client = AsyncQdrantClient(":memory:")
            yield QdrantMemory(client, "memories"), crowd
            await client.close()
        case "rest":
            async with asked_over_rest(tmp_path) as (client, _):
                yield QdrantMemory(client, "memories"), crowd
        case "server":
            url = os.environ.get("QDRANT_TEST_URL")
            if url is None:
                pytest.skip("QDRANT_TEST_URL names no Qdrant server")
            name = f"test_{uuid.uuid4().hex}"
            async with connected(url, api_key=None, request_timeout=30.0) as client:
                yield QdrantMemory(client, name), crowd
                await client.delete_collection(name)


@pytest.mark.timeout(3600)
async def test_among_a_thousand_tenants_each_query_sees_its_own_person_only(crowded: tuple[MemoryIndex, Crowd]) -> None:
    """The vectors and terms of all are alike, so that without a filter nearly every answer would be another's."""
    index, crowd = crowded
    world = World(seed=22, dimensions=8)
    owners = [Owner(f"tenant-{number}", person) for number in range(crowd.tenants) for person in ("ann", "bob")]
    for owner in owners:
        await index.upsert(owner, world.points(owner))
    whose = {one.id: owner for owner, memories in world.memories.items() for one in memories}
    hits = 0
    for _ in range(crowd.queries):
        owner = world.random.choice(owners)
        found = await index.search(owner, Query(world.vector(), world.terms(), FakeEmbedder.name, limit=20))
        assert {whose[one.memory.id] for one in found} == {owner}
        hits += len(found)
    assert hits > crowd.queries
