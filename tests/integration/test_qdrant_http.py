"""What leaves for a Qdrant server: key, trace, one collection with its indexes, the owner in every filter."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI, Request
from opentelemetry.sdk.trace import TracerProvider
from starlette.responses import JSONResponse, Response

from chatacter.chassis.errors import Misconfigured, Unavailable, UpstreamFailed
from chattr.adapters.fakes.embedder import DIMENSIONS, bag
from chattr.adapters.qdrant_memory import QdrantMemory, connected
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.memory import Selection, memory_of
from chattr.ports.memory import KEYWORDS, Point, Query, vector_names
from tests.served import served

pytestmark = pytest.mark.integration

ANN = Owner("acme", "ann")
OWNED = [
    {"key": "tenant", "match": {"value": "acme"}},
    {"key": "person", "match": {"value": "ann"}},
]


@dataclass
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Server:
    """Answers as Qdrant does, as far as we ask, and notes what it was asked. `status` is what searches answer."""

    calls: list[Call] = field(default_factory=list)
    exists: bool = False
    status: int = 200
    lost_race: bool = False

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.api_route("/{path:path}", methods=["GET", "PUT", "POST", "DELETE"])
        async def any_path(path: str, request: Request) -> Response:
            body = await request.body()
            call = Call(request.method, f"/{path}", dict(request.headers), json.loads(body) if body else {})
            self.calls.append(call)
            return self.answer(call)

        return app

    def answer(self, call: Call) -> Response:
        place = call.path.removeprefix("/collections/memories")
        if (call.method, place) == ("PUT", "") and self.lost_race:
            self.exists = True
            return JSONResponse({"status": {"error": "already exists"}, "time": 0}, 409)
        if call.method == "POST" and self.status != 200:
            return JSONResponse({"status": {"error": "no"}, "time": 0}, self.status)
        results: dict[tuple[str, str], Any] = {
            ("GET", "/exists"): {"exists": self.exists},
            ("PUT", ""): True,
            ("GET", ""): described(),
            ("POST", "/points/query/batch"): [{"points": []}, {"points": []}, {"points": []}],
            ("POST", "/facet"): {"hits": [{"value": "Ada", "count": 2}]},
            ("POST", "/points/scroll"): {"points": [], "next_page_offset": None},
        }
        self.exists = self.exists or (call.method, place) == ("PUT", "")
        result = results.get((call.method, place), {"operation_id": 1, "status": "completed"})
        return JSONResponse({"result": result, "status": "ok", "time": 0.0})

    def bodies(self, method: str, place: str) -> list[dict[str, Any]]:
        return [
            call.body for call in self.calls if (call.method, call.path) == (method, f"/collections/memories{place}")
        ]


def described() -> dict[str, Any]:
    hnsw = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000}
    optimizers = {
        "deleted_threshold": 0.2,
        "vacuum_min_vector_number": 1000,
        "default_segment_number": 0,
        "flush_interval_sec": 5,
    }
    params = {"vectors": {}, "sparse_vectors": {"terms": {}}}
    config = {"params": params, "hnsw_config": hnsw, "optimizer_config": optimizers}
    return {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "config": config,
        "payload_schema": {},
    }


@asynccontextmanager
async def qdrant(server: Server, api_key: str | None = "s3cret") -> AsyncIterator[QdrantMemory]:
    app = await asyncio.to_thread(server.app)
    async with served(app) as url, connected(url, api_key=api_key, request_timeout=5.0) as client:
        yield QdrantMemory(client, "memories")


def query() -> Query:
    return Query(bag("tea"), {7: 1.0}, "bag", within=Selection(character_id="ada"), exclude=(str(memory().id),))


def memory() -> Any:
    return memory_of(ANN, "ada", "c", Message("m1", None, "user", "I like tea", 5.0))


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
async def test_the_collection_is_made_once_with_named_vectors_and_all_indexes() -> None:
    server = Server()
    async with qdrant(server) as index:
        await asyncio.gather(*(index.newest(ANN, Selection(), limit=3) for _ in range(4)))
    (made,) = server.bodies("PUT", "")
    assert made["vectors"] == {}
    assert made["sparse_vectors"] == {"terms": {"modifier": "idf"}}
    indexes = {one["field_name"]: one["field_schema"] for one in server.bodies("PUT", "/index")}
    assert indexes.keys() == {*KEYWORDS, "created_at"}
    assert [name for name in KEYWORDS if indexes[name]["is_tenant"]] == ["tenant"]
    assert indexes["created_at"] == "float"


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
async def test_every_request_carries_the_key_and_the_trace() -> None:
    server = Server(exists=True)
    tracer = TracerProvider().get_tracer("test")
    async with qdrant(server) as index:
        with tracer.start_as_current_span("asking") as span:
            await index.search(ANN, query())
    trace = format(span.get_span_context().trace_id, "032x")
    assert all(call.headers["api-key"] == "s3cret" for call in server.calls)
    assert all(trace in call.headers["traceparent"] for call in server.calls)


async def test_every_filter_names_tenant_and_person() -> None:
    server = Server(exists=True)
    async with qdrant(server, None) as index:
        await index.upsert(ANN, [Point(memory(), bag("tea"), bag("tea time"), {7: 1.0}, "bag")])
        await index.search(ANN, query())
        await index.newest(ANN, Selection(until=9.0), limit=3)
        await index.forget(ANN, Selection())
        await index.indexed(ANN, [memory().id], "bag")
        await index.mark(ANN, [memory().id], "left")
        assert await index.speakers(ANN, Selection()) == ["Ada"]
    (batch,) = server.bodies("POST", "/points/query/batch")
    filters = [search["filter"] for search in batch["searches"]]
    filters += [body["filter"] for body in server.bodies("POST", "/points/scroll")]
    filters += [body["filter"] for body in server.bodies("POST", "/points/delete")]
    filters += [body["filter"] for body in server.bodies("POST", "/facet")]
    filters += [body["filter"] for body in server.bodies("POST", "/points/payload")]
    assert len(filters) == 8
    assert all(one["must"][:2] == OWNED for one in filters)
    assert [search["using"] for search in batch["searches"]] == [*vector_names("bag"), "terms"]
    words = batch["searches"][2]
    assert words["params"]["idf"]["corpus"]["must"] == OWNED
    assert words["filter"]["must_not"] == [{"has_id": [memory().id]}]
    (written,) = server.bodies("PUT", "/points")
    (point,) = written["points"]
    assert point["id"] == memory().id
    assert (point["payload"]["tenant"], point["payload"]["person"]) == ("acme", "ann")
    assert point["payload"]["schema_version"] == 2
    made = [one for name in vector_names("bag") for one in server.bodies("PUT", f"/vectors/{name}")]
    assert [one["dense"]["size"] for one in made] == [DIMENSIONS, DIMENSIONS]


async def test_another_replica_may_make_the_collection_first() -> None:
    server = Server(lost_race=True)
    async with qdrant(server, None) as index:
        assert await index.newest(ANN, Selection(), limit=3) == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Misconfigured), (403, Misconfigured), (429, Unavailable), (500, Unavailable), (400, UpstreamFailed)],
)
async def test_errors_are_told_in_our_words(status: int, error: type[Exception]) -> None:
    async with qdrant(Server(exists=True, status=status), None) as index:
        with pytest.raises(error):
            await index.search(ANN, query())
