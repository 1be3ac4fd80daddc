"""Long-term memory in a dict, by the same arithmetic as Qdrant: cosine, and IDF over the owner's own memories."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chatacter.chassis.errors import Unavailable
from chattr.domain.identity import Owner
from chattr.domain.memory import Branch, Memory, Selection
from chattr.ports.memory import (
    INDEXED_AS,
    SPEAKER,
    Candidate,
    Comparison,
    Condition,
    Indexed,
    Point,
    Query,
    Way,
    by_point,
    candidates,
    conditions,
    owner_of,
    payload,
    stamp,
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A point and the payload beside it."""

    point: Point
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """A point that one way of searching found."""

    id: str
    score: float


class FakeMemory:
    """Holds points until the process ends. While `away` is set, every call raises `Unavailable`."""

    def __init__(self) -> None:
        self.away = False
        self._points: dict[str, Stored] = {}

    async def upsert(self, owner: Owner, points: Sequence[Point]) -> None:
        """Add points, or replace those of the same ids."""
        self._present()
        for point in points:
            self._points[point.memory.id] = Stored(point, payload(owner, point))

    async def search(self, owner: Owner, query: Query) -> Sequence[Candidate]:
        """Return what any way found."""
        self._present()
        allowed = self._matching(conditions(owner, query.within, exclude=query.exclude, active=query.active))
        weights = self._rarity(owner, query)
        ways: dict[Way, list[Hit]] = {
            "sharing": [
                Hit(
                    one.point.memory.id,
                    sum(weight * one.point.terms.get(term, 0.0) for term, weight in weights.items()),
                )
                for one in allowed
                if weights.keys() & one.point.terms.keys()
            ]
        }
        if query.dense is not None:
            ours = [one.point for one in allowed if one.point.embedder == query.embedder]
            ways["near"] = [Hit(one.memory.id, float(np.dot(one.dense, query.dense))) for one in ours]
            ways["near_with_talk"] = [Hit(one.memory.id, float(np.dot(one.talk, query.dense))) for one in ours]
        scores = by_point({way: best(hits, query.limit) for way, hits in ways.items()})
        stored = ((one.point.memory.id, one.payload) for one in allowed)
        return candidates(scores, ((each, payload) for each, payload in stored if each in scores))

    async def newest(self, owner: Owner, within: Selection, *, limit: int) -> Sequence[Memory]:
        """Return the newest memories first."""
        self._present()
        found = [one.point.memory for one in self._matching(conditions(owner, within))]
        return sorted(found, key=lambda memory: -memory.created_at)[:limit]

    async def indexed(self, owner: Owner, ids: Sequence[str], embedder: str) -> Sequence[Indexed]:
        """Return those of these memories that there are."""
        self._present()
        found = [one.point for one in self._matching(conditions(owner, Selection(ids=tuple(ids))))]
        return [Indexed(one.memory, one.dense if one.embedder == embedder else None) for one in found]

    async def speakers(self, owner: Owner, within: Selection) -> Sequence[str]:
        """Return the names of those who spoke."""
        self._present()
        said = Counter(one.payload[SPEAKER] for one in self._matching(conditions(owner, within)))
        return [name for name, _ in said.most_common() if name]

    async def mark(self, owner: Owner, ids: Sequence[str], branch: Branch) -> None:
        """Say on which branch memories were said."""
        self._present()
        for one in self._matching(conditions(owner, Selection(ids=tuple(ids)))):
            point = replace(one.point, memory=replace(one.point.memory, branch=branch))
            self._points[point.memory.id] = Stored(point, payload(owner, point))

    async def forget(self, owner: Owner, what: Selection) -> None:
        """Remove memories."""
        self._present()
        for one in self._matching(conditions(owner, what)):
            del self._points[one.point.memory.id]

    async def stale(self, embedder: str, *, limit: int) -> Sequence[tuple[Owner, Memory]]:
        """Return memories that are not indexed as they would be now."""
        self._present()
        stored = [one for one in self._points.values() if one.payload[INDEXED_AS] != stamp(embedder)]
        return [(owner_of(one.payload), one.point.memory) for one in stored[:limit]]

    def _present(self) -> None:
        if self.away:
            raise Unavailable("The memory is away.", retry_after=1.0)

    def _matching(self, wanted: Sequence[Condition]) -> list[Stored]:
        return [one for one in self._points.values() if all(holds(condition, one) for condition in wanted)]

    def _rarity(self, owner: Owner, query: Query) -> dict[int, float]:
        corpus = self._matching(conditions(owner, Selection()))
        weights = {}
        for term, weight in query.terms.items():
            having = sum(term in one.point.terms for one in corpus)
            weights[term] = weight * math.log((len(corpus) - having + 0.5) / (having + 0.5) + 1)
        return weights


def holds(condition: Condition, one: Stored) -> bool:
    """Whether a condition holds of a point."""
    match condition.comparison:
        case Comparison.IS:
            return bool(one.payload[condition.key] == condition.value)
        case Comparison.IS_NOT:
            return bool(one.payload.get(condition.key) != condition.value)
        case Comparison.AT_MOST:
            return bool(one.payload[condition.key] <= condition.value)
        case Comparison.ID_IN:
            return one.point.memory.id in condition.value
        case Comparison.ID_NOT_IN:
            return one.point.memory.id not in condition.value


def best(hits: list[Hit], limit: int) -> list[Hit]:
    """Return the highest scores."""
    return sorted(hits, key=lambda hit: -hit.score)[:limit]
