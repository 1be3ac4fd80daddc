"""Qdrant's REST API as far as Chatacter asks for it, in front of Qdrant's own engine: `qdrant-client` and what it sends
are those of a server, and so is the engine that finds; between them stands only what is written here.

A request is refused that a server would refuse: by the client's generated models, which take no field that the API does
not have, by the engine, and by Qdrant's OpenAPI document where `QDRANT_OPENAPI` names it (qdrant/qdrant, `docs/redoc`).
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import qdrant_edge as edge
from pydantic import BaseModel, ValidationError
from qdrant_client import AsyncQdrantClient, models

from tests.qdrant_document import Document, Refused

COLLECTION: Final = "/collections/{collection_name}"
MODIFIERS: Final = {models.Modifier.IDF: edge.Modifier.Idf}
DIRECTIONS: Final = {models.Direction.DESC: edge.Direction.Desc, models.Direction.ASC: edge.Direction.Asc}


@dataclass
class Collection:
    """One collection: a shard, and what its description says of it."""

    shard: edge.EdgeShard
    sparse: dict[str, Any]
    vectors: dict[str, Any] = field(default_factory=dict)


@dataclass
class QdrantRest(httpx.AsyncBaseTransport):
    """Answers requests; `asked` counts them, by method and place. `document`: what else a request is held against."""

    folder: Path
    document: Document | None = None
    asked: dict[tuple[str, str], int] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        body = await request.aread()
        return await asyncio.to_thread(self._answer, request, body)

    def close(self) -> None:
        """Close the engine."""
        for one in self.collections.values():
            one.shard.close()

    def _answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        try:
            result = self._done(request, body)
        except (Refused, ValidationError) as error:
            return httpx.Response(400, json={"status": {"error": str(error)}, "time": 0.0})
        except LookupError as error:
            return httpx.Response(404, json={"status": {"error": str(error)}, "time": 0.0})
        return httpx.Response(200, json={"result": result, "status": "ok", "time": 0.0})

    def _done(self, request: httpx.Request, body: bytes) -> Any:
        door, named = found(request.method, request.url.path)
        self.asked[door] = self.asked.get(door, 0) + 1
        if self.document is not None:
            self.document.judge(*door, dict(request.url.params), json.loads(body) if body else None)
        shape, work = DOORS[door]
        return work(self, shape and shape.model_validate_json(body), **named)

    def _there(self, collection_name: str) -> Collection:
        if collection_name not in self.collections:
            raise LookupError(f"Collection `{collection_name}` doesn't exist!")
        return self.collections[collection_name]

    def exists(self, _: None, collection_name: str) -> Any:
        return {"exists": collection_name in self.collections}

    def create(self, asked: models.CreateCollection, collection_name: str) -> Any:
        if asked.vectors != {}:
            raise Refused("Only named vectors that are added later are answered for here")
        sparse = asked.sparse_vectors or {}
        wanted = {
            name: edge.EdgeSparseVectorParams(modifier=one.modifier and MODIFIERS[one.modifier])
            for name, one in sparse.items()
        }
        config = edge.EdgeConfig(vectors={}, sparse_vectors=wanted)
        shard = edge.EdgeShard.create(str(self.folder / collection_name), config)
        self.collections[collection_name] = Collection(shard, {name: plain(one) for name, one in sparse.items()})
        return True

    def describe(self, _: None, collection_name: str) -> Any:
        there = self._there(collection_name)
        return described(there.vectors, there.sparse)

    def delete_collection(self, _: None, collection_name: str) -> Any:
        self.collections.pop(collection_name).shard.close()
        return True

    def index(self, asked: models.CreateFieldIndex, collection_name: str) -> Any:
        schema: Any = edge.PayloadSchemaType.Float
        if isinstance(asked.field_schema, models.KeywordIndexParams):
            schema = edge.KeywordIndexParams(is_tenant=asked.field_schema.is_tenant)
        elif asked.field_schema != models.PayloadSchemaType.FLOAT:
            raise Refused(f"{asked.field_schema} is not answered for here")
        return self._updated(collection_name, edge.UpdateOperation.create_field_index(asked.field_name, schema))

    def name(self, asked: models.DenseVectorNameConfig, collection_name: str, vector_name: str) -> Any:
        if asked.dense.distance != models.Distance.COSINE:
            raise Refused(f"{asked.dense.distance} is not answered for here")
        made = edge.UpdateOperation.create_dense_vector(vector_name, asked.dense.size, edge.Distance.Cosine)
        result = self._updated(collection_name, made)
        self._there(collection_name).vectors[vector_name] = plain(asked.dense)
        return result

    def upsert(self, asked: models.PointsList, collection_name: str) -> Any:
        points = [edge.Point(identity(one.id), vectors_of(one.vector), one.payload) for one in asked.points]
        return self._updated(collection_name, edge.UpdateOperation.upsert_points(points))

    def set_payload(self, asked: models.SetPayload, collection_name: str) -> Any:
        if asked.filter is None:
            raise Refused("Points are named by a filter here")
        wanted = filter_of(asked.filter)
        return self._updated(collection_name, edge.UpdateOperation.set_payload_by_filter(wanted, asked.payload))

    def delete(self, asked: models.FilterSelector, collection_name: str) -> Any:
        return self._updated(collection_name, edge.UpdateOperation.delete_points_by_filter(filter_of(asked.filter)))

    def _updated(self, collection_name: str, operation: edge.UpdateOperation) -> Any:
        with engine():
            self._there(collection_name).shard.update(operation)
        return {"operation_id": 1, "status": "completed"}

    def query(self, asked: models.QueryRequestBatch, collection_name: str) -> Any:
        searches = [query_of(one) for one in asked.searches]
        with engine():
            answers = self._there(collection_name).shard.query_batch(edge.QueryBatchRequest(searches))
        return [{"points": [{**point(hit), "version": 1, "score": hit.score} for hit in hits]} for hits in answers]

    def scroll(self, asked: models.ScrollRequest, collection_name: str) -> Any:
        by = asked.order_by
        order = edge.OrderBy(by.key, by.direction and DIRECTIONS[by.direction]) if by else None
        request = edge.ScrollRequest(
            limit=asked.limit,
            filter=filter_of(asked.filter),
            with_payload=asked.with_payload,
            with_vector=asked.with_vector or False,
            order_by=order,
        )
        with engine():
            records, following = self._there(collection_name).shard.scroll(request)
        return {"points": [point(one) for one in records], "next_page_offset": following and str(following)}

    def facet(self, asked: models.FacetRequest, collection_name: str) -> Any:
        request = edge.FacetRequest(asked.key, limit=asked.limit or 10, filter=filter_of(asked.filter))
        with engine():
            hits = self._there(collection_name).shard.facet(request).hits
        return {"hits": [{"value": hit.value, "count": hit.count} for hit in hits]}


def found(method: str, path: str) -> tuple[tuple[str, str], dict[str, str]]:
    """Which door was meant, and what the path names."""
    for each, template in DOORS:
        place = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), path)
        if each == method and place:
            return (method, template), place.groupdict()
    raise Refused(f"There is no {method} {path}")


@contextmanager
def engine() -> Iterator[None]:
    """Refuse what the engine refuses, as a server does."""
    try:
        yield
    except LookupError:
        raise
    except Exception as error:  # the engine raises nothing more precise
        raise Refused(str(error)) from error


def plain(config: BaseModel) -> Any:
    return config.model_dump(mode="json", exclude_none=True)


def identity(written: Any) -> str:
    """A point's id; a server takes no other strings than UUIDs."""
    try:
        return str(UUID(str(written)))
    except ValueError as error:
        raise Refused(f"value {written} is not a valid point ID") from error


def sparse_of(vector: models.SparseVector) -> edge.SparseVector:
    if len(set(vector.indices)) != len(vector.indices) or len(vector.indices) != len(vector.values):
        raise Refused("indices must be unique, and as many as values")
    if not all(0 <= index < 2**32 for index in vector.indices):
        raise Refused("indices are numbers of 32 bits without a sign")
    return edge.SparseVector(indices=vector.indices, values=vector.values)


def vectors_of(vectors: Any) -> dict[str, Any]:
    if not isinstance(vectors, dict):
        raise Refused("Only named vectors are answered for here")
    return {name: sparse_of(one) if isinstance(one, models.SparseVector) else one for name, one in vectors.items()}


def filter_of(wanted: models.Filter | None) -> edge.Filter | None:
    if wanted is None:
        return None
    must, must_not = (
        [condition_of(one) for one in (conditions if isinstance(conditions, list) else [conditions])]
        for conditions in (wanted.must or [], wanted.must_not or [])
    )
    return edge.Filter(must=must, must_not=must_not)


def condition_of(condition: Any) -> Any:
    match condition:
        case models.HasIdCondition(has_id=ids):
            return edge.HasIdCondition({identity(each) for each in ids})
        case models.FieldCondition(key=key, match=models.MatchValue(value=value)):
            return edge.FieldCondition(key, match=edge.MatchValue(value))
        case models.FieldCondition(key=key, range=models.Range(lte=limit)) if limit is not None:
            return edge.FieldCondition(key, range=edge.RangeFloat(lte=limit))
    raise Refused(f"{condition} is not answered for here")


def query_of(asked: models.QueryRequest) -> edge.QueryRequest:
    if not isinstance(asked.query, models.NearestQuery) or asked.using is None:
        raise Refused("Only a nearest query of a named vector is answered for here")
    wanted = asked.query.nearest
    nearest = sparse_of(wanted) if isinstance(wanted, models.SparseVector) else wanted
    params = None
    if asked.params is not None and isinstance(asked.params.idf, models.IdfCorpusParams):
        params = edge.SearchParams(idf=edge.IdfParams(corpus=filter_of(asked.params.idf.corpus)))
    return edge.QueryRequest(
        limit=10 if asked.limit is None else asked.limit,
        query=edge.Query.Nearest(nearest, using=asked.using),
        filter=filter_of(asked.filter),
        params=params,
        with_payload=asked.with_payload,
    )


def point(found: Any) -> dict[str, Any]:
    """Write a found point; a vector that was not asked for is left out."""
    written = {"id": str(found.id), "payload": found.payload}
    return written if found.vector is None else {**written, "vector": found.vector}


def described(vectors: Any, sparse: Any) -> dict[str, Any]:
    """A collection's description."""
    hnsw = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000}
    optimizers = {
        "deleted_threshold": 0.2,
        "vacuum_min_vector_number": 1000,
        "default_segment_number": 0,
        "flush_interval_sec": 5,
    }
    params = {"vectors": vectors, "sparse_vectors": sparse}
    config = {"params": params, "hnsw_config": hnsw, "optimizer_config": optimizers}
    return {"status": "green", "optimizer_status": "ok", "segments_count": 1, "config": config, "payload_schema": {}}


# By method and place: what is asked, and what answers.
DOORS: Final[dict[tuple[str, str], tuple[type[BaseModel] | None, Callable[..., Any]]]] = {
    ("GET", f"{COLLECTION}/exists"): (None, QdrantRest.exists),
    ("PUT", COLLECTION): (models.CreateCollection, QdrantRest.create),
    ("GET", COLLECTION): (None, QdrantRest.describe),
    ("DELETE", COLLECTION): (None, QdrantRest.delete_collection),
    ("PUT", f"{COLLECTION}/index"): (models.CreateFieldIndex, QdrantRest.index),
    ("PUT", f"{COLLECTION}/vectors/{{vector_name}}"): (models.DenseVectorNameConfig, QdrantRest.name),
    ("PUT", f"{COLLECTION}/points"): (models.PointsList, QdrantRest.upsert),
    ("POST", f"{COLLECTION}/points/payload"): (models.SetPayload, QdrantRest.set_payload),
    ("POST", f"{COLLECTION}/points/delete"): (models.FilterSelector, QdrantRest.delete),
    ("POST", f"{COLLECTION}/points/query/batch"): (models.QueryRequestBatch, QdrantRest.query),
    ("POST", f"{COLLECTION}/points/scroll"): (models.ScrollRequest, QdrantRest.scroll),
    ("POST", f"{COLLECTION}/facet"): (models.FacetRequest, QdrantRest.facet),
}


@asynccontextmanager
async def asked_over_rest(folder: Path) -> AsyncIterator[tuple[AsyncQdrantClient, QdrantRest]]:
    """A client, and what answers it."""
    rest = QdrantRest(folder, Document.named())
    client = await asyncio.to_thread(
        AsyncQdrantClient, url="http://qdrant:6333", check_compatibility=False, transport=rest
    )
    try:
        yield client, rest
    finally:
        await client.close()
        await asyncio.to_thread(rest.close)
