"""What is known beside what was said: facts that were drawn from it, and what people corrected and pinned.

A fact stands on the messages that it was drawn from. Where all of them are gone it goes too, and what it had replaced
holds again; where their branches were left, it is left with them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal
from uuid import uuid5

from chattr.domain.identity import Owner
from chattr.domain.memory import NAMESPACE, Branch, Memory, Selection, memory_id

SCHEMA_VERSION: Final = 1
About = Literal["person", "world", "self"]


@dataclass(frozen=True, slots=True)
class Source:
    """A message that a fact was drawn from."""

    conversation_id: str
    message_id: str
    said_at: float
    branch: Branch = "active"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a character knows of a person, of the world, or holds itself. Times are Unix times in seconds."""

    id: str
    character_id: str
    about: About
    text: str
    sources: tuple[Source, ...]
    valid_from: float
    valid_to: float | None = None
    """When something else took its place; None: it holds."""
    supersedes: str | None = None
    """The fact whose place it took."""

    @property
    def branch(self) -> Branch:
        """Whether one of the messages that it stands on is on its conversation's branch."""
        return "active" if any(source.branch == "active" for source in self.sources) else "left"

    def memory(self) -> Memory:
        """Return it as it is remembered; it comes from the newest of its messages."""
        newest = max(self.sources, key=lambda source: source.said_at)
        return Memory(
            id=self.id,
            text=self.text,
            role="assistant" if self.about == "self" else "user",
            character_id=self.character_id,
            conversation_id=newest.conversation_id,
            message_id=newest.message_id,
            created_at=self.valid_from,
            branch=self.branch,
            kind="fact",
        )

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Fact":
        """Read what `record` wrote."""
        known = {name: record[name] for name in cls.__slots__ if name in record}
        return cls(**{**known, "sources": tuple(Source(**source) for source in record["sources"])})


@dataclass(frozen=True, slots=True)
class Correction:
    """What a memory said until somebody corrected it."""

    text: str
    until: float


@dataclass(frozen=True, slots=True)
class Amendment:
    """What somebody did to a memory. `memory` is the memory as it was before."""

    memory: Memory
    text: str | None = None
    """What it says instead; None: it was not corrected."""
    pinned: bool = False
    history: tuple[Correction, ...] = ()
    """What it said before, the oldest first."""
    revision: int = 0
    """How often something was done to it; 0: never."""

    def applied(self, memory: Memory) -> Memory:
        """Return a memory as somebody wants it."""
        text = memory.text if self.text is None else self.text
        return replace(memory, text=text, standing="pinned" if self.pinned else "plain")

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "memory": self.memory.record()}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Amendment":
        """Read what `record` wrote."""
        history = tuple(Correction(**one) for one in record["history"])
        memory, revision = Memory.of_record(record["memory"]), record.get("revision", 1)
        return cls(memory, record["text"], record["pinned"], history, revision)


def fact_id(owner: Owner, character_id: str, text: str, message_id: str) -> str:
    """Name a fact: the same one where the same is drawn from the same message again."""
    return str(uuid5(NAMESPACE, f"{owner.tenant}/{owner.person}/fact/{character_id}/{message_id}/{text}"))


def standing(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts that hold, the newest first."""
    return sorted((fact for fact in facts if fact.valid_to is None), key=lambda fact: -fact.valid_from)


def kept(facts: Sequence[Fact], stands: Callable[[Source], Source | None]) -> list[Fact]:
    """Return facts with the sources that still stand; one without any is gone, and what it had replaced holds again."""
    left = []
    for fact in facts:
        sources = tuple(source for source in map(stands, fact.sources) if source is not None)
        if sources:
            left.append(replace(fact, sources=sources))
    return mended(left, {fact.id: fact for fact in facts})


def mended(left: Sequence[Fact], before: Mapping[str, Fact]) -> list[Fact]:
    """Say which facts hold. One that was replaced holds again where what did so is gone, or its branch was left."""
    there = {fact.id for fact in left}
    ended: dict[str, float] = {}
    linked: dict[str, Fact] = {}
    for fact in left:
        older = fact.supersedes
        while older is not None and older not in there:
            older = before[older].supersedes if older in before else None
        linked[fact.id] = replace(fact, supersedes=older)
    for fact in linked.values():
        if fact.branch == "active":
            for older in superseded(fact, linked):
                ended[older] = min(fact.valid_from, ended.get(older, fact.valid_from))
    return [replace(fact, valid_to=ended.get(fact.id)) for fact in linked.values()]


def superseded(fact: Fact, among: Mapping[str, Fact]) -> list[str]:
    """Return the facts in whose place one came, the newest first."""
    chain: list[str] = []
    older = among.get(fact.supersedes or "")
    while older is not None and older.id not in chain:
        chain.append(older.id)
        older = among.get(older.supersedes or "")
    return chain


def in_conversation(
    facts: Sequence[Fact], conversation_id: str, there: Collection[str], active: Collection[str]
) -> list[Fact]:
    """Return facts as they stand where a conversation has these messages, and these on its branch."""

    def stands(source: Source) -> Source | None:
        if source.conversation_id != conversation_id:
            return source
        if source.message_id not in there:
            return None
        return replace(source, branch="active" if source.message_id in active else "left")

    return kept(facts, stands)


def without(owner: Owner, facts: Sequence[Fact], what: Selection) -> list[Fact]:
    """Return the facts that are left where something was forgotten: the messages that they stand on, or themselves."""
    others = [fact for fact in facts if not forgets(what, fact)]
    left = []
    for fact in others:
        sources = tuple(
            source
            for source in fact.sources
            if not any(what.covers(memory) for memory in remembered_as(owner, fact.character_id, source))
        )
        if sources:
            left.append(replace(fact, sources=sources))
    return mended(left, {fact.id: fact for fact in facts})


def remembered_as(owner: Owner, character_id: str, source: Source) -> tuple[Memory, Memory]:
    """Return the memories of a message that one character may have, outside groups and in one, without its words."""
    turn = Memory(
        id=memory_id(owner, source.message_id),
        text="",
        role="user",
        character_id=character_id,
        conversation_id=source.conversation_id,
        message_id=source.message_id,
        created_at=source.said_at,
    )
    return turn, replace(turn, id=memory_id(owner, f"{source.message_id}/{character_id}"))


def forgets(what: Selection, fact: Fact) -> bool:
    """Whether a fact itself is among what was forgotten."""
    return what.ids is not None and fact.id in what.ids
