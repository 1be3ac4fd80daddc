"""What leaves for a Qdrant server is what its API takes: each request is judged by `tests/qdrant_rest.py`."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from chatacter.chassis.errors import UpstreamFailed
from chattr.adapters.fakes.embedder import FakeEmbedder, bag
from chattr.adapters.qdrant_memory import QdrantMemory
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Selection, memory_id, memory_of
from chattr.ports.memory import Point, Query
from tests.qdrant_rest import DOORS, asked_over_rest

pytestmark = pytest.mark.contract

ANN = Owner("acme", "ann")
MEMORY = memory_of(ANN, "ada", "c", Message("m1", None, "user", "I like tea", 5.0))
POINT = Point(MEMORY, bag("tea"), bag("tea time"), {7: 1.0}, FakeEmbedder.name)


async def test_every_request_is_one_that_a_server_takes(tmp_path: Path) -> None:
    """And all that is ever asked is asked here, so that nothing is judged by nobody."""
    everything = Selection((MEMORY.id,), "ada", "c", 9.0, "turn", "plain")
    async with asked_over_rest(tmp_path) as (client, rest):
        index = QdrantMemory(client, "memories")
        assert await index.reachable() is None
        await index.upsert(ANN, [POINT])
        query = Query(bag("tea"), {7: 1.0}, FakeEmbedder.name, everything, exclude=(memory_id(ANN, "m2"),), active=True)
        (candidate,) = await index.search(ANN, query)
        assert (candidate.memory, candidate.near) == (MEMORY, pytest.approx(1.0, abs=1e-3))
        assert await index.newest(ANN, everything, limit=3) == [MEMORY]
        assert [one.memory for one in await index.indexed(ANN, [MEMORY.id], FakeEmbedder.name)] == [MEMORY]
        assert await index.speakers(ANN, everything) == []
        assert await index.stale("another", limit=1) == [(ANN, MEMORY)]
        await index.mark(ANN, [MEMORY.id], "left")
        await index.forget(ANN, everything)
        assert await index.newest(ANN, Selection(), limit=3) == []
        await client.delete_collection("memories")
        assert rest.asked.keys() == DOORS.keys()
        if rest.document is not None:
            assert rest.document.judged == DOORS.keys()


async def test_by_qdrants_own_document_too(tmp_path: Path) -> None:
    """The suites above hold requests against it where it is named; that it judges at all is seen here."""
    if not os.environ.get("QDRANT_OPENAPI"):
        pytest.skip("QDRANT_OPENAPI names no file of Qdrant's OpenAPI document")
    async with asked_over_rest(tmp_path) as (client, rest):
        await QdrantMemory(client, "memories").upsert(ANN, [POINT])
        place = "http://qdrant:6333/collections/memories/points"
        http = client.http.client._async_client  # type: ignore[attr-defined]  # what no method of the client would send
        for path, body in (
            ("/scroll", {"limit": 1, "surprise": True}),
            ("/scroll", {"filter": {"must": [{"has_id": ["m1"]}]}}),
            ("/scroll", {"filter": {"must": [{"key": "tenant", "match": {"valu": "acme"}}]}}),
            ("/delete?when=now", {"filter": {}}),
        ):
            assert (await http.post(place + path, json=body)).status_code == 400
        assert (await http.post(place + "/scroll", json={"limit": 1})).status_code == 200
        assert rest.document is not None


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(replace(POINT, memory=replace(MEMORY, id="m1")), id="an id that is no UUID"),
        pytest.param(replace(POINT, dense=bag("tea")[:5]), id="a vector of another length than its first"),
        pytest.param(replace(POINT, terms={-1: 1.0}), id="a term that is no unsigned number"),
    ],
)
async def test_what_a_server_would_refuse_is_refused(tmp_path: Path, refused: Point) -> None:
    async with asked_over_rest(tmp_path) as (client, _):
        index = QdrantMemory(client, "memories")
        await index.upsert(ANN, [POINT])
        with pytest.raises(UpstreamFailed):
            await index.upsert(ANN, [refused])
