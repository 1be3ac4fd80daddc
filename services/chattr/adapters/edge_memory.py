"""Long-term memory in Qdrant's own engine, in this process: one folder, one process, a write-ahead log."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import numpy as np
import qdrant_edge as edge

from chatacter.chassis.errors import Misconfigured, NotReady, Unavailable
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

T = TypeVar("T")

TERMS: Final = "terms"
# Reads go on while one write runs.
THREADS: Final = 3
# Until then a plain scan is as fast as the graph: 10,000 turns of one person take 3.5 ms instead of 3.
OPTIMIZE_EVERY: Final = 20_000
ENGINE_FAILED: Final = "The memory's engine failed. Look at the log; is the disk full?"


class EdgeMemory:
    """The shard in `folder`, made when there is none; opened and closed with the context."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool: ThreadPoolExecutor | None = None
        self._shard: edge.EdgeShard | None = None
        self._lock: int | None = None
        self._written = 0
        self._named: set[str] = set()

    async def __aenter__(self) -> Self:
        """Open the shard. Raises `Misconfigured` when another process holds it, or when it cannot be read."""
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="memory")
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._open)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let running work finish, write everything down and let go of the folder."""
        await self._close()

    async def upsert(self, owner: Owner, points: Sequence[Point]) -> None:
        """Add points, or replace those of the same ids; they survive a crash from here on."""
        if not points:
            return
        sizes = {name: len(point.dense) for point in points for name in vector_names(point.embedder)}
        await self._run(lambda shard: self._write(shard, sizes, [written(owner, point) for point in points]))

    async def search(self, owner: Owner, query: Query) -> Sequence[Candidate]:
        """Return what any way found."""
        asked = requests(owner, query)
        return await self._run(lambda shard: self._search(shard, owner, asked, query))

    async def newest(self, owner: Owner, within: Selection, *, limit: int) -> Sequence[Memory]:
        """Return the newest memories first."""
        request = edge.ScrollRequest(
            limit=limit,
            filter=filter_of(conditions(owner, within)),
            with_payload=True,
            order_by=edge.OrderBy(CREATED_AT, edge.Direction.Desc),
        )
        records, _ = await self._run(lambda shard: shard.scroll(request))
        return [read(record.payload) for record in records]

    async def indexed(self, owner: Owner, ids: Sequence[str], embedder: str) -> Sequence[Indexed]:
        """Return those of these memories that there are, with that embedder's vectors."""
        turn, _ = vector_names(embedder)
        request = reading(owner, ids, with_vector=[turn])
        records, _ = await self._run(lambda shard: shard.scroll(request))
        return [Indexed(read(record.payload), vector(record.vector, turn)) for record in records]

    async def speakers(self, owner: Owner, within: Selection) -> Sequence[str]:
        """Return the names of those who spoke, the most talkative first."""
        request = edge.FacetRequest(SPEAKER, limit=MOST_SPEAKERS, filter=filter_of(conditions(owner, within)))
        return [str(hit.value) for hit in (await self._run(lambda shard: shard.facet(request))).hits]

    async def mark(self, owner: Owner, ids: Sequence[str], branch: Branch) -> None:
        """Say on which branch memories were said."""
        wanted = filter_of(conditions(owner, Selection(ids=tuple(ids))))
        await self._run(
            lambda shard: shard.update(edge.UpdateOperation.set_payload_by_filter(wanted, {BRANCH: branch}))
        )

    async def forget(self, owner: Owner, what: Selection) -> None:
        """Remove memories."""
        deletion = edge.UpdateOperation.delete_points_by_filter(filter_of(conditions(owner, what)))
        await self._run(lambda shard: shard.update(deletion))

    async def stale(self, embedder: str, *, limit: int) -> Sequence[tuple[Owner, Memory]]:
        """Return memories that are not indexed as they would be now."""
        current = edge.FieldCondition(INDEXED_AS, match=edge.MatchValue(stamp(embedder)))
        request = edge.ScrollRequest(limit=limit, filter=edge.Filter(must_not=[current]), with_payload=True)
        records, _ = await self._run(lambda shard: shard.scroll(request))
        return [(owner_of(record.payload or {}), read(record.payload)) for record in records]

    async def _run(self, work: Callable[[edge.EdgeShard], T]) -> T:
        shard = self._shard
        if self._pool is None or shard is None:
            raise NotReady("The memory is not open.", retry_after=1.0)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, shard)
        except Exception as error:  # the engine raises nothing more precise
            raise Unavailable(ENGINE_FAILED) from error

    def _search(
        self, shard: edge.EdgeShard, owner: Owner, asked: dict[Way, edge.QueryRequest], query: Query
    ) -> Sequence[Candidate]:
        if query.dense is not None:  # an embedder that wrote nothing yet has no vectors to look among
            self._name(shard, dict.fromkeys(vector_names(query.embedder), len(query.dense)))
        answers = shard.query_batch(edge.QueryBatchRequest(list(asked.values())))
        scores = by_point(dict(zip(asked, answers, strict=True)))
        # Payloads are read afterwards, each once: with every way's hits they took five times as long as the search.
        records, _ = shard.scroll(reading(owner, [str(each) for each in scores]))
        return candidates(scores, ((record.id, record.payload) for record in records))

    def _name(self, shard: edge.EdgeShard, sizes: dict[str, int]) -> None:
        """Make room for vectors of these names, unless there is some."""
        for name in sizes.keys() - self._named:
            shard.update(edge.UpdateOperation.create_dense_vector(name, sizes[name], edge.Distance.Cosine))
            self._named.add(name)

    def _write(self, shard: edge.EdgeShard, sizes: dict[str, int], points: list[edge.Point]) -> None:
        self._name(shard, sizes)
        shard.update(edge.UpdateOperation.upsert_points(points))
        self._written += len(points)
        if self._written >= OPTIMIZE_EVERY:
            self._written = 0
            shard.optimize()

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Misconfigured(
                f"Another Chattr already uses the memory in {self._folder}. Stop it, give this one its own "
                "CHATACTER_HOME, or point both at a Qdrant server with VECTOR_DATABASE__URL."
            ) from error
        place = self._folder / "shard"
        try:
            if not place.exists():
                self._create(place)
            self._shard = edge.EdgeShard.load(str(place))
            index(self._shard)
        except Exception as error:
            raise Misconfigured(
                f"The memory in {place} cannot be opened: it is damaged. Move it away to begin with an empty one."
            ) from error

    def _create(self, place: Path) -> None:
        """Make an empty shard beside its place and move it there whole, so that a crash leaves none or all."""
        making = place.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        shard = edge.EdgeShard.create(str(making), configuration())
        shard.flush()
        shard.close()
        making.rename(place)

    async def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        shard, self._shard = self._shard, None
        lock, self._lock = self._lock, None
        try:
            if shard is not None:
                shard.flush()
                shard.close()
        finally:
            if lock is not None:
                os.close(lock)


def configuration() -> edge.EdgeConfig:
    """Say how a new shard is laid out; each embedder's vectors are added with their first use."""
    return edge.EdgeConfig(
        vectors={},
        sparse_vectors={TERMS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        # The engine's own values, but for one thread: somebody may be waiting for a reply beside it.
        hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10_000, max_indexing_threads=1),
    )


def index(shard: edge.EdgeShard) -> None:
    """Make the payload indexes that are missing."""
    wanted: dict[str, Any] = {name: edge.KeywordIndexParams(is_tenant=name == TENANT) for name in KEYWORDS}
    wanted[CREATED_AT] = edge.PayloadSchemaType.Float
    for name in wanted.keys() - shard.info().payload_schema.keys():
        shard.update(edge.UpdateOperation.create_field_index(name, wanted[name]))


def filter_of(wanted: Sequence[Condition]) -> edge.Filter:
    """Write the conditions as the engine's filter."""
    must: list[Any] = []
    must_not: list[Any] = []
    for condition in wanted:
        match condition.comparison:
            case Comparison.IS:
                must.append(edge.FieldCondition(condition.key, match=edge.MatchValue(condition.value)))
            case Comparison.IS_NOT:
                must_not.append(edge.FieldCondition(condition.key, match=edge.MatchValue(condition.value)))
            case Comparison.AT_MOST:
                must.append(edge.FieldCondition(condition.key, range=edge.RangeFloat(lte=condition.value)))
            case Comparison.ID_IN:
                must.append(edge.HasIdCondition(set(condition.value)))
            case Comparison.ID_NOT_IN:
                must_not.append(edge.HasIdCondition(set(condition.value)))
    return edge.Filter(must=must, must_not=must_not)


def reading(owner: Owner, ids: Sequence[str], *, with_vector: Sequence[str] = ()) -> edge.ScrollRequest:
    """Ask for memories by their ids."""
    wanted = filter_of(conditions(owner, Selection(ids=tuple(ids))))
    vectors = list(with_vector) or False
    return edge.ScrollRequest(limit=max(1, len(ids)), filter=wanted, with_payload=True, with_vector=vectors)


def requests(owner: Owner, query: Query) -> dict[Way, edge.QueryRequest]:
    """Ask in each way; how rare a term is, is counted among the owner's own memories."""
    allowed = filter_of(conditions(owner, query.within, exclude=query.exclude, active=query.active))
    asked: dict[Way, edge.QueryRequest] = {}

    def ask(way: Way, wanted: Any, using: str, params: edge.SearchParams | None = None) -> None:
        nearest = edge.Query.Nearest(wanted, using=using)
        asked[way] = edge.QueryRequest(limit=query.limit, query=nearest, filter=allowed, params=params)

    if query.dense is not None:
        turn, talk = vector_names(query.embedder)
        ask("near", query.dense.tolist(), turn)
        ask("near_with_talk", query.dense.tolist(), talk)
    if query.terms:
        corpus = edge.IdfParams(corpus=filter_of(conditions(owner, Selection())))
        ask("sharing", sparse(query.terms), TERMS, edge.SearchParams(idf=corpus))
    return asked


def sparse(terms: Terms) -> edge.SparseVector:
    """Write terms as the engine takes them."""
    return edge.SparseVector(indices=list(terms), values=list(terms.values()))


def written(owner: Owner, point: Point) -> edge.Point:
    """Write a point as the engine takes it."""
    turn, talk = vector_names(point.embedder)
    vectors = {turn: point.dense.tolist(), talk: point.talk.tolist(), TERMS: sparse(point.terms)}
    return edge.Point(point.memory.id, vectors, payload(owner, point))


def vector(stored: Any, name: str) -> Vectors | None:
    """Read a vector of a point, where it has one of that name."""
    found = (stored or {}).get(name)
    return None if found is None else np.array(found, np.float32)
