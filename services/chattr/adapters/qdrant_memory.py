"""Long-term memory on a Qdrant server or in Qdrant Cloud: one collection for all, told apart by payload.

Source: Qdrant documentation, "Multitenancy" (one collection, `is_tenant` on the tenant's field) and "Hybrid queries".
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import httpx
import numpy as np
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from chatacter.chassis.errors import ChatacterError, Misconfigured, Unavailable, UpstreamFailed
from chatacter.chassis.telemetry import outgoing_headers
from chattr.domain.identity import Owner
from chattr.domain.memory import Branch, Memory, Selection
from chattr.ports.embedder import Vectors
from chattr.ports.memory import (
    BRANCH,
    CREATED_AT,
    INDEXED_AS,
    KEYWORDS,
    MOST_SPEAKERS,
    SPEAKER,
    TENANT,
    Candidate,
    Comparison,
    Condition,
    Indexed,
    Point,
    Query,
    Terms,
    Way,
    by_point,
    candidates,
    conditions,
    owner_of,
    payload,
    read,
    stamp,
    vector_names,
)

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

    def __init__(self, client: AsyncQdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection
        self._prepared = False
        self._named: set[str] = set()
        self._preparing = asyncio.Lock()

    async def upsert(self, owner: Owner, points: Sequence[Point]) -> None:
        """Add points, or replace those of the same ids; returns when they can be found."""
        if not points:
            return
        sizes = {name: len(point.dense) for point in points for name in vector_names(point.embedder)}
        with told():
            await self._prepare(sizes)
            await self._client.upsert(self._collection, [written(owner, point) for point in points], wait=True)

    async def search(self, owner: Owner, query: Query) -> Sequence[Candidate]:
        """Return what any way found, in one request."""
        asked = requests(owner, query)
        # An embedder that wrote nothing yet has no vectors to look among.
        sizes = {} if query.dense is None else dict.fromkeys(vector_names(query.embedder), len(query.dense))
        with told():
            await self._prepare(sizes)
            answers = await self._client.query_batch_points(self._collection, list(asked.values()))
        stored = {hit.id: hit.payload for answer in answers for hit in answer.points}
        scores = by_point({way: answer.points for way, answer in zip(asked, answers, strict=True)})
        return candidates(scores, stored.items())

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

    async def indexed(self, owner: Owner, ids: Sequence[str], embedder: str) -> Sequence[Indexed]:
        """Return those of these memories that there are, with that embedder's vectors."""
        turn, _ = vector_names(embedder)
        with told():
            await self._prepare()
            records, _ = await self._client.scroll(
                self._collection,
                scroll_filter=filter_of(conditions(owner, Selection(ids=tuple(ids)))),
                limit=max(1, len(ids)),
                with_vectors=[turn] if turn in self._named else False,
            )
        return [Indexed(read(record.payload), vector(record.vector, turn)) for record in records]

    async def speakers(self, owner: Owner, within: Selection) -> Sequence[str]:
        """Return the names of those who spoke, the most talkative first."""
        with told():
            await self._prepare()
            answer = await self._client.facet(
                self._collection, SPEAKER, facet_filter=filter_of(conditions(owner, within)), limit=MOST_SPEAKERS
            )
        return [str(hit.value) for hit in answer.hits]

    async def stale(self, embedder: str, *, limit: int) -> Sequence[tuple[Owner, Memory]]:
        """Return memories that are not indexed as they would be now."""
        current = models.FieldCondition(key=INDEXED_AS, match=models.MatchValue(value=stamp(embedder)))
        with told():
            await self._prepare()
            records, _ = await self._client.scroll(
                self._collection, scroll_filter=models.Filter(must_not=[current]), limit=limit
            )
        return [(owner_of(record.payload or {}), read(record.payload)) for record in records]

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

    async def _prepare(self, sizes: Mapping[str, int] | None = None) -> None:
        """Make what is missing: the collection, its indexes, and room for the vectors of these names."""
        wanted = sizes or {}
        if self._prepared and wanted.keys() <= self._named:
            return
        async with self._preparing:
            if not self._prepared:
                await self._create()
                self._named.update(await self._check())
                await self._index()
                self._prepared = True
            for name in sorted(wanted.keys() - self._named):
                dense = models.DenseVectorConfig(size=wanted[name], distance=models.Distance.COSINE)
                await self._client.create_vector_name(
                    self._collection, name, models.DenseVectorNameConfig(dense=dense), wait=True
                )
                self._named.add(name)

    async def _create(self) -> None:
        """Make the collection, unless there is one, or another replica was faster."""
        if await self._client.collection_exists(self._collection):
            return
        try:
            await self._client.create_collection(
                self._collection,
                vectors_config={},
                sparse_vectors_config={TERMS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
        except UnexpectedResponse:
            if not await self._client.collection_exists(self._collection):
                raise

    async def _check(self) -> Sequence[str]:
        """Return the names of the dense vectors there are. Raises `Misconfigured` for a collection of others."""
        params = (await self._client.get_collection(self._collection)).config.params
        if TERMS not in (params.sparse_vectors or {}):
            raise Misconfigured(
                f"The Qdrant collection {self._collection!r} is not one of ours. "
                "Set VECTOR_DATABASE__COLLECTION to another name."
            )
        return list(params.vectors) if isinstance(params.vectors, dict) else []

    async def _index(self) -> None:
        for name in KEYWORDS:
            schema = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=name == TENANT)
            await self._client.create_payload_index(self._collection, name, schema)
        await self._client.create_payload_index(self._collection, CREATED_AT, models.PayloadSchemaType.FLOAT)


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


def requests(owner: Owner, query: Query) -> dict[Way, models.QueryRequest]:
    """Ask in each way; how rare a term is, is counted among the owner's own memories."""
    allowed = filter_of(conditions(owner, query.within, exclude=query.exclude, active=query.active))
    asked: dict[Way, models.QueryRequest] = {}

    def ask(way: Way, wanted: models.Query, using: str, params: models.SearchParams | None = None) -> None:
        asked[way] = models.QueryRequest(
            query=wanted, using=using, filter=allowed, params=params, limit=query.limit, with_payload=True
        )

    if query.dense is not None:
        turn, talk = vector_names(query.embedder)
        nearest = models.NearestQuery(nearest=query.dense.tolist())
        ask("near", nearest, turn)
        ask("near_with_talk", nearest, talk)
    if query.terms:
        corpus = models.IdfCorpusParams(corpus=filter_of(conditions(owner, Selection())))
        ask("sharing", models.NearestQuery(nearest=sparse(query.terms)), TERMS, models.SearchParams(idf=corpus))
    return asked


def sparse(terms: Terms) -> models.SparseVector:
    """Write terms as Qdrant takes them."""
    return models.SparseVector(indices=list(terms), values=list(terms.values()))


def written(owner: Owner, point: Point) -> models.PointStruct:
    """Write a point as Qdrant takes it."""
    turn, talk = vector_names(point.embedder)
    vectors = {turn: point.dense.tolist(), talk: point.talk.tolist(), TERMS: sparse(point.terms)}
    return models.PointStruct(id=point.memory.id, vector=vectors, payload=payload(owner, point))


def vector(stored: Any, name: str) -> Vectors | None:
    """Read a vector of a point, where it has one of that name."""
    found = stored.get(name) if isinstance(stored, dict) else None
    return None if found is None else np.array(found, np.float32)
