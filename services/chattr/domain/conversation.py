"""Conversations as trees of messages. A branch is the path from the root to a leaf; the head is the active leaf."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from chattr.domain.person import Persona

# 2 added the person's persona, the count of changes, whether there is more than one branch, what is memorable, what a
# reply was reminded of, and groups.
SCHEMA_VERSION: Final = 2
Role = Literal["user", "assistant"]
Status = Literal["complete", "cancelled", "interrupted"]
Section = Literal["facts", "turns"]
Order = Literal["mention", "round_robin", "model", "client"]
MOST_MEMBERS: Final = 16
MOST_REPLIES: Final = 8
# So much of what the person said first is told of a conversation; whoever shows it cuts it where a word ends.
OPENING_CHARACTERS: Final = 160


@dataclass(frozen=True, slots=True)
class Reminder:
    """A memory that was recalled for a reply: why, by the parts of its score, and whether it had room in the prompt.

    What it says is not kept here: whoever asks reads it where it can be forgotten.
    """

    memory_id: str
    reached: bool
    parts: tuple[tuple[str, float], ...] = ()
    section: Section = "turns"
    """Where in the prompt it stood: among what is known, or among what was said."""

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Reminder":
        """Read what a message's `record` wrote."""
        parts = tuple((name, score) for name, score in record["parts"])
        return cls(record["memory_id"], record["reached"], parts, record.get("section", "turns"))


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that was said. `parent_id` is what it answers; None at the root."""

    id: str
    parent_id: str | None
    role: Role
    content: str
    created_at: float
    character_id: str | None = None
    status: Status = "complete"
    memorable: bool = True
    """Whether it goes to long-term memory: not where the character remembers nothing, nor what it opens with, nor a
    copy of what stands elsewhere."""
    reminders: tuple[Reminder, ...] = ()
    """What a reply was reminded of."""
    summary_id: str | None = None
    """The summary that stood in a reply's prompt for the beginning of the conversation."""
    audience: tuple[str, ...] = ()
    """Which characters of a group were there to hear it; empty outside groups."""
    kept_by: tuple[str, ...] = ()
    """Which of the audience remember it."""

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Message":
        """Read what `record` wrote, now or in an earlier version."""
        known = {name: record[name] for name in cls.__slots__ if name in record}
        known |= {name: tuple(known[name]) for name in ("audience", "kept_by") if name in known}
        return cls(**{**known, "reminders": tuple(map(Reminder.of_record, known.get("reminders", ())))})


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is known of a conversation apart from its messages."""

    id: str
    character_id: str
    created_at: float
    title: str | None = None
    head_id: str | None = None
    live_reply_id: str | None = None
    persona: Persona | None = None
    """Who the person is in it; None: they did not say."""
    branched: bool = False
    """Whether something was said elsewhere than at the head, so that there may be messages beside the active branch."""
    revision: int = 0
    """How often it changed; what was worked out from one revision is written only while that still stands."""
    members: tuple[str, ...] = ()
    """The characters of a group that are there now; empty where it is with `character_id` alone."""
    order: Order = "mention"
    """Who of a group answers: whom a message names, each in turn, whom the language model chooses, or the client."""
    replies: int = 1
    """At most so many of a group answer one after the other."""

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        persona = self.persona.model_dump() if self.persona else None
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "persona": persona}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Conversation":
        """Read what `record` wrote, now or in an earlier version."""
        known = {name: record[name] for name in cls.__slots__ if name in record}
        persona = known.get("persona")
        members = tuple(known.get("members", ()))
        return cls(**{**known, "persona": Persona(**persona) if persona else None, "members": members})

    def hearers(self, message: Message) -> tuple[str, ...]:
        """Return the characters who know a message of this conversation."""
        return message.audience or (message.character_id or self.character_id,)


CONVERSATION_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def branch(messages: Iterable[Message], leaf_id: str | None) -> list[Message]:
    """Return the path from the root to a leaf, oldest first. An unknown leaf or a cycle ends the path."""
    by_id = {message.id: message for message in messages}
    path: list[Message] = []
    seen: set[str] = set()
    current = by_id.get(leaf_id) if leaf_id else None
    while current is not None and current.id not in seen:
        seen.add(current.id)
        path.append(current)
        current = by_id.get(current.parent_id) if current.parent_id else None
    return path[::-1]
