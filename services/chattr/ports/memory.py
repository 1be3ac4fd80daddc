"""Long-term memory: the turns of a person, found again by meaning and by word.

Whose they are stands in no query by chance: `conditions` is the one place that says which points may be touched, every
query of every adapter is built from it, and it cannot be called without an owner.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from chattr.domain.identity import Owner
from chattr.domain.memory import Branch, Memory, Selection
from chattr.ports.embedder import Vectors

TENANT: Final = "tenant"
PERSON: Final = "person"
EMBEDDER: Final = "embedder"
CHARACTER: Final = "character_id"
CONVERSATION: Final = "conversation_id"
CREATED_AT: Final = "created_at"
BRANCH: Final = "branch"
KIND: Final = "kind"
STANDING: Final = "standing"
# Every field that a query compares has an index: without one the engine reads the payload of each memory.
KEYWORDS: Final = (TENANT, PERSON, EMBEDDER, CHARACTER, CONVERSATION, BRANCH, KIND, STANDING)

EVERYTHING: Final = Selection()

# Term id (32 bits) to weight; what a term is worth among the owner's turns (IDF) is applied by the engine.
Terms = Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Point:
    """A memory as it is indexed. `dense` has length 1 and is `embedder`'s."""

    memory: Memory
    dense: Vectors
    terms: Terms
    embedder: str


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: near to `dense` among `embedder`'s vectors, or sharing terms; at most `limit` by each way.

    `exclude` names memories that the asker already has.
    """

    dense: Vectors
    terms: Terms
    embedder: str
    within: Selection = EVERYTHING
    exclude: tuple[str, ...] = ()
    limit: int = 50
    active: bool = False
    """Leaves out what was said on branches that their conversations have left."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory that was found. `dense` is the cosine, `sparse` the BM25-like sum; None where that way missed it."""

    memory: Memory
    dense: float | None
    sparse: float | None


class MemoryIndex(Protocol):
    """Indexed memories. All methods raise `Unavailable` while the engine is away."""

    async def upsert(self, owner: Owner, points: Sequence[Point]) -> None:
        """Add points, or replace those of the same ids."""
        ...

    async def search(self, owner: Owner, query: Query) -> Sequence[Candidate]:
        """Return what either way found, in no particular order."""
        ...

    async def newest(self, owner: Owner, within: Selection, *, limit: int) -> Sequence[Memory]:
        """Return the newest memories first."""
        ...

    async def mark(self, owner: Owner, ids: Sequence[str], branch: Branch) -> None:
        """Say on which branch memories were said. Their vectors stay as they are."""
        ...

    async def forget(self, owner: Owner, what: Selection) -> None:
        """Remove memories. They are gone from every later answer."""
        ...


class Comparison(StrEnum):
    """How a stored field is compared."""

    IS = "is"
    IS_NOT = "is not"
    AT_MOST = "at most"
    ID_IN = "id in"
    ID_NOT_IN = "id not in"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold of a point."""

    comparison: Comparison
    key: str
    value: Any


def conditions(
    owner: Owner,
    within: Selection,
    *,
    exclude: Sequence[str] = (),
    embedder: str | None = None,
    active: bool = False,
) -> tuple[Condition, ...]:
    """Say which points a query may touch; all of it must hold. Raises `ValueError` for an owner who is nobody."""
    if not owner.tenant or not owner.person:
        raise ValueError("a memory query needs a tenant and a person")
    narrowed = {CHARACTER: within.character_id, CONVERSATION: within.conversation_id, KIND: within.kind}
    narrowed |= {STANDING: within.standing, EMBEDDER: embedder}
    wanted = [Condition(Comparison.IS, TENANT, owner.tenant), Condition(Comparison.IS, PERSON, owner.person)]
    wanted += [Condition(Comparison.IS, name, value) for name, value in narrowed.items() if value is not None]
    if within.ids is not None:
        wanted.append(Condition(Comparison.ID_IN, "id", within.ids))
    if within.until is not None:
        wanted.append(Condition(Comparison.AT_MOST, CREATED_AT, within.until))
    if exclude:
        wanted.append(Condition(Comparison.ID_NOT_IN, "id", tuple(exclude)))
    if active:
        wanted.append(Condition(Comparison.IS_NOT, BRANCH, "left"))
    return tuple(wanted)


def payload(owner: Owner, point: Point) -> dict[str, Any]:
    """Write what is stored beside a point's vectors. Raises `ValueError` for an owner who is nobody."""
    if not owner.tenant or not owner.person:
        raise ValueError("a memory needs a tenant and a person")
    return {**point.memory.record(), TENANT: owner.tenant, PERSON: owner.person, EMBEDDER: point.embedder}


def merged(near: Iterable[tuple[Memory, float]], sharing: Iterable[tuple[Memory, float]] = ()) -> list[Candidate]:
    """Join what the two ways found, each memory once."""
    found = {memory.id: Candidate(memory, cosine, None) for memory, cosine in near}
    for memory, weight in sharing:
        both = found.get(memory.id)
        found[memory.id] = Candidate(memory, both.dense if both else None, weight)
    return list(found.values())
