"""What is remembered, each with where it came from. It follows from what is stored of conversations, and from nothing
else: `memories_of` is what a rebuild gives.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from chattr.domain.conversation import Conversation, Message, Role, branch
from chattr.domain.identity import Owner

# 2 added `branch`, `kind`, `standing`, what a memory answers, the talk around it, and who spoke, by name.
SCHEMA_VERSION: Final = 2
NAMESPACE: Final = UUID("8b0f7c2e-6f5b-4b57-9d3e-1f6a2c4d9e10")
# A pasted document is not a turn to recall; its beginning says what it was.
MAX_CHARACTERS: Final = 8_000
Branch = Literal["active", "left"]
Kind = Literal["turn", "fact"]
Standing = Literal["plain", "pinned"]


@dataclass(frozen=True, slots=True)
class Memory:
    """One remembered turn and its provenance. `created_at` is a Unix time in seconds."""

    id: str
    text: str
    role: Role
    character_id: str
    conversation_id: str
    message_id: str
    created_at: float
    previous_id: str | None = None
    """The message that it answers."""
    speaker: str | None = None
    """Who spoke, by name, where one is known."""
    talk: str = ""
    """A digest of what was said around it, with which it is understood; see `domain.talk`."""
    branch: Branch = "active"
    """Whether its conversation is on the branch where it was said. What was left reaches no prompt until somebody goes
    back there."""
    kind: Kind = "turn"
    """A turn as it was said, or a fact that was drawn from one."""
    standing: Standing = "plain"
    """What is pinned reaches every prompt."""

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Memory":
        """Read what `record` wrote, now or in an earlier version; fields of other layers are left alone."""
        return cls(**{name: record[name] for name in cls.__slots__ if name in record})


@dataclass(frozen=True, slots=True)
class Changed:
    """A conversation whose memory has to follow it. `message_ids`: nothing but these was added; None: anything."""

    conversation_id: str
    message_ids: tuple[str, ...] | None = None

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Changed":
        """Read what `record` wrote."""
        ids = record["message_ids"]
        return cls(record["conversation_id"], None if ids is None else tuple(ids))

    def joined(self, other: "Changed") -> "Changed":
        """Both changes of one conversation as one."""
        if self.message_ids is None or other.message_ids is None:
            return Changed(self.conversation_id)
        return Changed(self.conversation_id, tuple(dict.fromkeys(self.message_ids + other.message_ids)))


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory that answers a question, and why: the parts of its score."""

    memory: Memory
    meaning: float = 0.0
    """How near it and the talk around it are to what the question means."""
    words: float = 0.0
    """What it and the talk around it share of the question's words, rare ones more."""
    speaker: float = 0.0
    """Whether the one spoke about whom the question asks."""
    time: float = 0.0
    """Whether it was said when the question asks about, and tells of times where the question asks for one."""
    form: float = 0.0
    """Whether it tells much, and does not ask."""

    @property
    def parts(self) -> dict[str, float]:
        """What its score is made of, by name."""
        return {name: getattr(self, name) for name in ("meaning", "words", "speaker", "time", "form")}

    @property
    def score(self) -> float:
        """How well it answers; comparable within one question."""
        return sum(self.parts.values())

    @property
    def bearing(self) -> float:
        """The parts that say that it bears on the question at all."""
        return self.meaning + self.words


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a person's memories are meant. What is None does not narrow; an empty one means all of the person's."""

    ids: tuple[str, ...] | None = None
    character_id: str | None = None
    conversation_id: str | None = None
    until: float | None = None
    """Only memories created at this moment or earlier."""
    kind: Kind | None = None
    standing: Standing | None = None

    def covers(self, memory: Memory) -> bool:
        """Whether a memory is among them."""
        return (
            (self.ids is None or memory.id in self.ids)
            and (self.character_id is None or memory.character_id == self.character_id)
            and (self.conversation_id is None or memory.conversation_id == self.conversation_id)
            and (self.until is None or memory.created_at <= self.until)
            and (self.kind is None or memory.kind == self.kind)
            and (self.standing is None or memory.standing == self.standing)
        )

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Selection":
        """Read what `record` wrote, now or in an earlier version."""
        known = {name: record[name] for name in cls.__slots__ if name in record}
        return cls(**{**known, "ids": None if known["ids"] is None else tuple(known["ids"])})


class Forgotten:
    """All that a person had forgotten, to be asked of many memories: single ones are found by their ids."""

    def __init__(self, selections: Iterable[Selection]) -> None:
        self._by_id: dict[str, list[Selection]] = {}
        self._wide: list[Selection] = []
        for one in selections:
            if one.ids is None:
                self._wide.append(one)
                continue
            rest = replace(one, ids=None)
            for each in one.ids:
                self._by_id.setdefault(each, []).append(rest)

    @property
    def anything(self) -> bool:
        """Whether something was."""
        return bool(self._by_id or self._wide)

    def covers(self, memory: Memory) -> bool:
        """Whether a memory was forgotten."""
        return any(what.covers(memory) for what in (*self._by_id.get(memory.id, ()), *self._wide))


def memory_id(owner: Owner, message_id: str) -> str:
    """Name the memory of a message: always the same one, and never another person's, whatever ids they use."""
    return str(uuid5(NAMESPACE, f"{owner.tenant}/{owner.person}/{message_id}"))


def memory_of(
    owner: Owner, character_id: str, conversation_id: str, message: Message, *, person: str | None = None
) -> Memory:
    """Make the memory of a message. `person`: how its person is called. Characters are called by their ids."""
    return Memory(
        id=memory_id(owner, message.id),
        text=message.content.strip()[:MAX_CHARACTERS],
        role=message.role,
        character_id=character_id,
        conversation_id=conversation_id,
        message_id=message.id,
        created_at=message.created_at,
        previous_id=message.parent_id,
        speaker=person if message.role == "user" else character_id,
    )


@dataclass(frozen=True, slots=True)
class Beside:
    """A message of which nothing is told but how memories of it are named."""

    id: str
    in_group: bool

    @classmethod
    def of(cls, message: Message) -> "Beside":
        """Take of a message what names it."""
        return cls(message.id, bool(message.audience))

    def name(self, character_id: str) -> str:
        """Name it as `name_of` names a message."""
        return f"{self.id}/{character_id}" if self.in_group else self.id


def name_of(message: Message, character_id: str) -> str:
    """Name a message as one character remembers it: of what a group heard, each has a memory of its own."""
    return Beside.of(message).name(character_id)


def memory_ids(owner: Owner, messages: Iterable[Message]) -> tuple[str, ...]:
    """Name all memories that there may be of messages."""
    names = (name_of(message, each) for message in messages for each in message.audience or ("",))
    return tuple(memory_id(owner, name) for name in names)


def overheard(memory: Memory, owner: Owner, message: Message) -> Memory:
    """Make a group's memory of a message one character's own: what others said has their name before it."""
    memory = replace(memory, id=memory_id(owner, name_of(message, memory.character_id)))
    if message.role == "user" or message.character_id == memory.character_id:
        return memory
    return replace(memory, role="user", speaker=message.character_id, text=f"{message.character_id}: {memory.text}")


def memories_of(owner: Owner, conversation: Conversation, messages: Sequence[Message]) -> dict[str, Memory]:
    """Return what is remembered of a conversation, by id: its memorable messages, of all branches.

    Of a group each character remembers what it heard.
    """
    active = {message.id for message in branch(messages, conversation.head_id)}
    person = conversation.persona.name if conversation.persona else None
    told = [
        (message, memory_of(owner, each, conversation.id, message, person=person))
        for message in messages
        if message.memorable
        for each in (message.kept_by if message.audience else conversation.hearers(message))
    ]
    memories = [overheard(memory, owner, message) if message.audience else memory for message, memory in told]
    return {
        memory.id: memory if memory.message_id in active else replace(memory, branch="left")
        for memory in memories
        if memory.text
    }
