"""Long-term memory on a Qdrant server or in Qdrant Cloud: one collection for all, told apart by payload.

Source: Qdrant documentation, "Multitenancy" (one collection, `is_tenant` on the tenant's field) and "Hybrid queries".
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import httpx
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from chatacter.chassis.errors import ChatacterError, Misconfigured, Unavailable, UpstreamFailed
from chatacter.chassis.telemetry import outgoing_headers
from chattr.domain.identity import Owner
from chattr.domain.memory import Branch, Memory, Selection
from chattr.ports.memory import (
    BRANCH,
    CREATED_AT,
    KEYWORDS,
    TENANT,
    Candidate,
    Comparison,
    Condition,
    Point,
    Query,
    conditions,
    merged,
    payload,
)

DENSE: Final = "dense"
TERMS: Final = "terms"
AWAY: Final = "Qdrant does not answer. Nothing was lost; try again in a moment."
REFUSED: Final = "Qdrant refuses the API key; set VECTOR_DATABASE__API_KEY."
REJECTED: Final = "Qdrant rejected a request of ours. Update the server if it is older than the client, 1.20."
RETRY_AFTER: Final = 2.0


@asynccontextmanager
async def connected(url: str, *, api_key: str | None, request_timeout: float) -> AsyncIterator[AsyncQdrantClient]:
    """Hold a client. Connects with the first request, each of which may take `request_timeout` seconds."""

    async def traced(request: httpx.Request) -> None:
        request.headers.update(outgoing_headers())

    client = await asyncio.to_thread(
        AsyncQdrantClient,
        url=url,
        api_key=api_key,
        timeout=math.ceil(request_timeout),
        check_compatibility=False,
        event_hooks={"request": [traced]},
    )
    try:
        yield client
    finally:
        await client.close()


class QdrantMemory:
    """Memories in one collection, made with the first use when there is none."""

    def __init__(self, client: AsyncQdrantClient, collection: str, *, dimensions: int) -> None:
        self._client = client
        self._collection = collection
        self._dimensions = dimensions
        self._prepared = False
        self._preparing = asyncio.Lock()

    async def upsert(self, owner: Owner, points: Sequence[Point]) -> None:
        """Add points, or replace those of the same ids; returns when they can be found."""
        if not points:
            return
        with told():
            await self._prepare()
            await self._client.upsert(self._collection, [written(owner, point) for point in points], wait=True)

    async def search(self, owner: Owner, query: Query) -> Sequence[Candidate]:
        """Return what either way found, in one request."""
        requests = [nearest(owner, query), sharing(owner, query)] if query.terms else [nearest(owner, query)]
        with told():
            await self._prepare()
            answers = await self._client.query_batch_points(self._collection, requests)
        return merged(*([(read(hit.payload), hit.score) for hit in answer.points] for answer in answers))

    async def newest(self, owner: Owner, within: Selection, *, limit: int) -> Sequence[Memory]:
        """Return the newest memories first."""
        with told():
            await self._prepare()
            records, _ = await self._client.scroll(
                self._collection,
                scroll_filter=filter_of(conditions(owner, within)),
                limit=limit,
                order_by=models.OrderBy(key=CREATED_AT, direction=models.Direction.DESC),
            )
        return [read(record.payload) for record in records]

    async def mark(self, owner: Owner, ids: Sequence[str], branch: Branch) -> None:
        """Say on which branch memories were said."""
        wanted = filter_of(conditions(owner, Selection(ids=tuple(ids))))
        with told():
            await self._prepare()
            await self._client.set_payload(self._collection, {BRANCH: branch}, wanted, wait=True)

    async def forget(self, owner: Owner, what: Selection) -> None:
        """Remove memories."""
        selector = models.FilterSelector(filter=filter_of(conditions(owner, what)))
        with told():
            await self._prepare()
            await self._client.delete(self._collection, selector, wait=True)

    async def reachable(self) -> str | None:
        """Readiness: None when the collection can be used."""
        try:
            with told():
                await self._prepare()
                await self._client.collection_exists(self._collection)
        except ChatacterError as error:
            return error.message
        return None

    async def _prepare(self) -> None:
        async with self._preparing:
            if self._prepared:
                return
            if not await self._client.collection_exists(self._collection):
                await self._create()
            await self._check()
            for name in KEYWORDS:
                schema = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=name == TENANT)
                await self._client.create_payload_index(self._collection, name, schema)
            await self._client.create_payload_index(self._collection, CREATED_AT, models.PayloadSchemaType.FLOAT)
            self._prepared = True

    async def _create(self) -> None:
        """Make the collection, unless another replica was faster."""
        try:
            await self._client.create_collection(
                self._collection,
                vectors_config={DENSE: models.VectorParams(size=self._dimensions, distance=models.Distance.COSINE)},
                sparse_vectors_config={TERMS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
        except UnexpectedResponse:
            if not await self._client.collection_exists(self._collection):
                raise

    async def _check(self) -> None:
        """Raise `Misconfigured` when the collection is for another embedder."""
        vectors = (await self._client.get_collection(self._collection)).config.params.vectors
        ours = vectors.get(DENSE) if isinstance(vectors, dict) else None
        if ours is None or ours.size != self._dimensions:
            raise Misconfigured(
                f"The Qdrant collection {self._collection!r} is not one of ours, or is for another embedder. "
                "Set VECTOR_DATABASE__COLLECTION to another name."
            )


@contextmanager
def told() -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except UnexpectedResponse as error:
        raise by_status(error.status_code or 0) from error
    except (ResponseHandlingException, QdrantException) as error:
        raise Unavailable(AWAY, retry_after=RETRY_AFTER) from error


def by_status(status: int) -> ChatacterError:
    """Say what an answer's status means."""
    if status in {401, 403}:
        return Misconfigured(REFUSED)
    if status == 429 or status >= 500:
        return Unavailable(AWAY, retry_after=RETRY_AFTER)
    return UpstreamFailed(REJECTED)


def filter_of(wanted: Sequence[Condition]) -> models.Filter:
    """Write the conditions as Qdrant's filter."""
    must: list[models.Condition] = []
    must_not: list[models.Condition] = []
    for condition in wanted:
        match condition.comparison:
            case Comparison.IS:
                match = models.MatchValue(value=condition.value)
                must.append(models.FieldCondition(key=condition.key, match=match))
            case Comparison.IS_NOT:
                unlike = models.MatchValue(value=condition.value)
                must_not.append(models.FieldCondition(key=condition.key, match=unlike))
            case Comparison.AT_MOST:
                must.append(models.FieldCondition(key=condition.key, range=models.Range(lte=condition.value)))
            case Comparison.ID_IN:
                must.append(models.HasIdCondition(has_id=list(condition.value)))
            case Comparison.ID_NOT_IN:
                must_not.append(models.HasIdCondition(has_id=list(condition.value)))
    return models.Filter(must=must, must_not=must_not)


def nearest(owner: Owner, query: Query) -> models.QueryRequest:
    """Ask for the memories nearest in meaning."""
    return models.QueryRequest(
        query=query.dense.tolist(),
        using=DENSE,
        filter=filter_of(
            conditions(owner, query.within, exclude=query.exclude, embedder=query.embedder, active=query.active)
        ),
        limit=query.limit,
        with_payload=True,
    )


def sharing(owner: Owner, query: Query) -> models.QueryRequest:
    """Ask for the memories that share terms; how rare a term is, is counted among the owner's own memories."""
    corpus = filter_of(conditions(owner, Selection()))
    return models.QueryRequest(
        query=models.SparseVector(indices=list(query.terms), values=list(query.terms.values())),
        using=TERMS,
        filter=filter_of(conditions(owner, query.within, exclude=query.exclude, active=query.active)),
        params=models.SearchParams(idf=models.IdfCorpusParams(corpus=corpus)),
        limit=query.limit,
        with_payload=True,
    )


def written(owner: Owner, point: Point) -> models.PointStruct:
    """Write a point as Qdrant takes it."""
    terms = models.SparseVector(indices=list(point.terms), values=list(point.terms.values()))
    return models.PointStruct(
        id=point.memory.id, vector={DENSE: point.dense.tolist(), TERMS: terms}, payload=payload(owner, point)
    )


def read(stored: dict[str, Any] | None) -> Memory:
    """Read a memory out of a point's payload."""
    return Memory.of_record(stored or {})
