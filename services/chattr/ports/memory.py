"""Long-term memory: the turns of a person, found again by meaning and by word.

Whose they are stands in no query by chance: `conditions` is the one place that says which points may be touched, every
query of every adapter is built from it, and it cannot be called without an owner. Only `stale`, which shows nobody
anything, looks at all.
"""

import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, Protocol

from chattr.domain.identity import Owner
from chattr.domain.memory import Branch, Memory, Selection
from chattr.ports.embedder import Vectors

TENANT: Final = "tenant"
PERSON: Final = "person"
CHARACTER: Final = "character_id"
CONVERSATION: Final = "conversation_id"
SPEAKER: Final = "speaker"
BRANCH: Final = "branch"
KIND: Final = "kind"
STANDING: Final = "standing"
INDEXED_AS: Final = "indexed_as"
CREATED_AT: Final = "created_at"
# Every field that a query compares has an index: without one the engine reads the payload of each memory.
KEYWORDS: Final = (TENANT, PERSON, CHARACTER, CONVERSATION, SPEAKER, BRANCH, KIND, STANDING, INDEXED_AS)
# Raised when what is made of a turn changes: every memory is then indexed anew.
INDEX_VERSION: Final = 2
# Names that a person could have given to those they talk with.
MOST_SPEAKERS: Final = 50

EVERYTHING: Final = Selection()

# Term id (32 bits) to weight; what a term is worth among the owner's turns (IDF) is applied by the engine.
Terms = Mapping[int, float]
Way = Literal["near", "near_with_talk", "sharing"]


@dataclass(frozen=True, slots=True)
class Point:
    """A memory as it is indexed: `embedder`'s vectors of length 1, of the turn and of it with the talk around it.

    `terms` are those of turn and talk.
    """

    memory: Memory
    dense: Vectors
    talk: Vectors
    terms: Terms
    embedder: str


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: near to `dense` among `embedder`'s vectors, or sharing terms; at most `limit` by each way.

    Without `dense` it is looked for by terms alone. `exclude` names memories that the asker already has.
    """

    dense: Vectors | None
    terms: Terms
    embedder: str
    within: Selection = EVERYTHING
    exclude: tuple[str, ...] = ()
    limit: int = 100
    active: bool = False
    """Leaves out what was said on branches that their conversations have left."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory that was found: the cosines of turn and talk, and the BM25-like sum; None where that way missed it."""

    memory: Memory
    near: float | None = None
    near_with_talk: float | None = None
    sharing: float | None = None


class Indexed(NamedTuple):
    """A memory and the vector of its turn; None where it has none of that embedder."""

    memory: Memory
    dense: Vectors | None


class MemoryIndex(Protocol):
    """Indexed memories. All methods raise `Unavailable` while the engine is away."""

    async def upsert(self, owner: Owner, points: Sequence[Point]) -> None:
        """Add points, or replace those of the same ids."""
        ...

    async def search(self, owner: Owner, query: Query) -> Sequence[Candidate]:
        """Return what any way found, in no particular order."""
        ...

    async def newest(self, owner: Owner, within: Selection, *, limit: int) -> Sequence[Memory]:
        """Return the newest memories first."""
        ...

    async def indexed(self, owner: Owner, ids: Sequence[str], embedder: str) -> Sequence[Indexed]:
        """Return those of these memories that there are, with that embedder's vectors."""
        ...

    async def speakers(self, owner: Owner, within: Selection) -> Sequence[str]:
        """Return the names of those who spoke, the most talkative first."""
        ...

    async def mark(self, owner: Owner, ids: Sequence[str], branch: Branch) -> None:
        """Say on which branch memories were said. Their vectors stay as they are."""
        ...

    async def forget(self, owner: Owner, what: Selection) -> None:
        """Remove memories. They are gone from every later answer."""
        ...

    async def stale(self, embedder: str, *, limit: int) -> Sequence[tuple[Owner, Memory]]:
        """Return memories of anybody that are not indexed as `embedder` and this version index them."""
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
    owner: Owner, within: Selection, *, exclude: Sequence[str] = (), active: bool = False
) -> tuple[Condition, ...]:
    """Say which points a query may touch; all of it must hold. Raises `ValueError` for an owner who is nobody."""
    if not owner.tenant or not owner.person:
        raise ValueError("a memory query needs a tenant and a person")
    narrowed = {CHARACTER: within.character_id, CONVERSATION: within.conversation_id, KIND: within.kind}
    narrowed |= {STANDING: within.standing}
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
    return {
        **point.memory.record(),
        TENANT: owner.tenant,
        PERSON: owner.person,
        INDEXED_AS: stamp(point.embedder),
    }


def owner_of(stored: Mapping[str, Any]) -> Owner:
    """Read whose a point is."""
    return Owner(stored[TENANT], stored[PERSON])


def stamp(embedder: str) -> str:
    """Say how a memory is indexed now."""
    return f"{embedder}/{INDEX_VERSION}"


def vector_names(embedder: str) -> tuple[str, str]:
    """Name an embedder's vectors of turns, and of turns with the talk around them."""
    # Engines take few signs in a name, and providers many.
    plain = re.sub(r"[^A-Za-z0-9]+", "-", embedder)[:40]
    whole = f"{plain}_{hashlib.blake2b(embedder.encode(), digest_size=4).hexdigest()}"
    return f"turn_{whole}", f"talk_{whole}"


class Hit(Protocol):
    """A point that one way of searching found, as an engine hands it out."""

    @property
    def id(self) -> Hashable:
        """Its id, by which other ways may have found it too."""
        ...

    @property
    def score(self) -> float:
        """How well it fits."""
        ...


def by_point(ways: Mapping[Way, Sequence[Hit]]) -> dict[Hashable, dict[Way, float]]:
    """Join what the ways of searching found: by the points' ids, each way's score."""
    scores: dict[Hashable, dict[Way, float]] = {}
    for way, hits in ways.items():
        for hit in hits:
            scores.setdefault(hit.id, {})[way] = hit.score
    return scores


def candidates(
    scores: Mapping[Hashable, dict[Way, float]], stored: Iterable[tuple[Hashable, Mapping[str, Any] | None]]
) -> list[Candidate]:
    """Read what is `stored` of the points that were found."""
    return [Candidate(read(record), **scores[each]) for each, record in stored]


def read(stored: Mapping[str, Any] | None) -> Memory:
    """Read a memory out of a point's payload."""
    return Memory.of_record(stored or {})
