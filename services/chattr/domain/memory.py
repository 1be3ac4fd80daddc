"""What is remembered: single turns, each with where it came from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID, uuid5

from chattr.domain.conversation import Message, Role
from chattr.domain.identity import Owner

SCHEMA_VERSION: Final = 1
NAMESPACE: Final = UUID("8b0f7c2e-6f5b-4b57-9d3e-1f6a2c4d9e10")
# A pasted document is not a turn to recall; its beginning says what it was.
MAX_CHARACTERS: Final = 8_000


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

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Memory":
        """Read what `record` wrote; fields of other layers are left alone."""
        return cls(**{name: record[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory that answers a question. Its score is the sum of two parts: by meaning, 0 to 1, and by words."""

    memory: Memory
    dense: float
    sparse: float

    @property
    def score(self) -> float:
        """How well it answers; comparable within one question."""
        return self.dense + self.sparse


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a person's memories are meant. What is None does not narrow; an empty one means all of the person's."""

    ids: tuple[str, ...] | None = None
    character_id: str | None = None
    conversation_id: str | None = None
    until: float | None = None
    """Only memories created at this moment or earlier."""

    def covers(self, memory: Memory) -> bool:
        """Whether a memory is among them."""
        return (
            (self.ids is None or memory.id in self.ids)
            and (self.character_id is None or memory.character_id == self.character_id)
            and (self.conversation_id is None or memory.conversation_id == self.conversation_id)
            and (self.until is None or memory.created_at <= self.until)
        )

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Selection":
        """Read what `record` wrote."""
        ids = record["ids"]
        return cls(
            None if ids is None else tuple(ids), record["character_id"], record["conversation_id"], record["until"]
        )


def memory_id(owner: Owner, message_id: str) -> str:
    """Name the memory of a message: always the same one, and never another person's, whatever ids they use."""
    return str(uuid5(NAMESPACE, f"{owner.tenant}/{owner.person}/{message_id}"))


def memory_of(owner: Owner, character_id: str, conversation_id: str, message: Message) -> Memory:
    """Make the memory of a message."""
    return Memory(
        id=memory_id(owner, message.id),
        text=message.content.strip()[:MAX_CHARACTERS],
        role=message.role,
        character_id=character_id,
        conversation_id=conversation_id,
        message_id=message.id,
        created_at=message.created_at,
    )
