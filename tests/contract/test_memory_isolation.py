"""Nothing foreign comes back: random owners with names that look alike, random queries, all ways to ask.

Proved once by mutation: without the conditions on tenant or person in `chattr.ports.memory.conditions` this fails.
"""

import random
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from chattr.adapters.edge_memory import EdgeMemory
from chattr.adapters.fakes.embedder import DIMENSIONS, FakeEmbedder
from chattr.adapters.fakes.memory import FakeMemory
from chattr.adapters.qdrant_memory import QdrantMemory
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Memory, Selection, memory_of
from chattr.ports.memory import MemoryIndex, Point, Query

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

    def __init__(self, seed: int) -> None:
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
        vector = self.noise.normal(size=DIMENSIONS).astype(np.float32)
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
