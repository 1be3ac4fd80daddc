"""What a person takes along: conversations with a character, and what is known beside them. Shapes on the wire.

Memories are not in it: they follow from what is (`memories_of`), wherever it is put. Nothing in it names whose it is,
so that nothing can be put into anybody else's memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from chatacter.contracts.base import Strict
from chattr.domain.character import CharacterId
from chattr.domain.conversation import (
    CONVERSATION_ID,
    MOST_MEMBERS,
    MOST_REPLIES,
    Conversation,
    Message,
    Order,
    Role,
    Status,
)
from chattr.domain.knowledge import About, Amendment, Correction, Fact, Source
from chattr.domain.memory import MAX_CHARACTERS
from chattr.domain.mistake import mistake
from chattr.domain.person import Persona
from chattr.domain.summary import LONGEST_TEXT, Summary, summary_id

MOST_CONVERSATIONS: Final = 10_000
MOST_MESSAGES: Final = 100_000
MOST_FACTS: Final = 10_000
MOST_SUMMARIES: Final = 10_000
LONGEST_MESSAGE: Final = 1_000_000

ORDER: Final = "messages come after the one that they answer, each id once"
HEAD: Final = "`head_id` names one of the messages"
ONCE: Final = "each message has an id of its own, also in different conversations"
ONE_OF: Final = "a correction is of a message or of a fact"

Id = Annotated[str, Field(pattern=rf"^{CONVERSATION_ID.pattern}$")]
Members = Annotated[tuple[CharacterId, ...], Field(max_length=MOST_MEMBERS)]
Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Remembered = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]


class ArchivedMessage(Strict):
    """Something that was said."""

    id: Id
    parent_id: Id | None
    role: Role
    content: Annotated[str, Field(max_length=LONGEST_MESSAGE)]
    created_at: Moment
    character: CharacterId | None = None
    status: Status = "complete"
    memorable: bool = True
    """Whether it is remembered; not what was forgotten."""
    audience: Members = ()
    """Which characters of a group heard it."""
    kept_by: Members = ()
    """Which of them remember it."""

    @classmethod
    def of(cls, message: Message, *, memorable: bool, kept_by: tuple[str, ...]) -> Self:
        """Take a message along; `kept_by` are those of a group who remember it wherever it is put down."""
        return cls(
            id=message.id,
            parent_id=message.parent_id,
            role=message.role,
            content=message.content,
            created_at=message.created_at,
            character=message.character_id,
            status=message.status,
            memorable=memorable,
            audience=message.audience,
            kept_by=kept_by,
        )

    def message(self, renamed: dict[str, str]) -> Message:
        """Return it as it is stored; `renamed` are characters that have other ids here."""
        return Message(
            id=self.id,
            parent_id=self.parent_id,
            role=self.role,
            content=self.content,
            created_at=self.created_at,
            character_id=renamed.get(self.character, self.character) if self.character else None,
            status=self.status,
            memorable=self.memorable,
            audience=tuple(renamed.get(each, each) for each in self.audience),
            kept_by=tuple(renamed.get(each, each) for each in self.kept_by),
        )


class ArchivedSource(Strict):
    """A message that something was drawn from, or sums up."""

    conversation_id: Id
    message_id: Id
    said_at: Moment

    @classmethod
    def of(cls, source: Source) -> Self:
        """Take it along."""
        return cls(conversation_id=source.conversation_id, message_id=source.message_id, said_at=source.said_at)


class ArchivedSummary(Strict):
    """What was summed up of a conversation, up to a message."""

    character: CharacterId
    through_id: Id
    through_at: Moment
    text: Annotated[str, Field(max_length=LONGEST_TEXT)]
    sources: Annotated[tuple[ArchivedSource, ...], Field(max_length=MOST_MESSAGES)]
    """The messages that it adds to the summary before."""
    created_at: Moment
    previous_through_id: Id | None = None
    """Up to which message the summary goes that it was made of."""
    corrected: bool = False

    @classmethod
    def of(cls, summary: Summary, through: Mapping[str, str]) -> Self:
        """Take a summary along; `through` says where each summary ends, by id."""
        return cls(
            character=summary.character_id,
            through_id=summary.through_id,
            through_at=summary.through_at,
            text=summary.text,
            sources=tuple(ArchivedSource.of(one) for one in summary.sources),
            created_at=summary.created_at,
            previous_through_id=through[summary.previous_id] if summary.previous_id else None,
            corrected=summary.corrected,
        )

    def summary(self, conversation_id: str) -> Summary:
        """Return it as it was stored where it comes from."""
        before = self.previous_through_id
        return Summary(
            id=summary_id(self.character, self.through_id),
            conversation_id=conversation_id,
            character_id=self.character,
            through_id=self.through_id,
            through_at=self.through_at,
            text=self.text,
            sources=tuple(Source(one.conversation_id, one.message_id, one.said_at) for one in self.sources),
            created_at=self.created_at,
            previous_id=summary_id(self.character, before) if before is not None else None,
            corrected=self.corrected,
        )


class ArchivedConversation(Strict):
    """A conversation with all its branches."""

    id: Id
    character: CharacterId
    created_at: Moment
    title: Annotated[str, Field(max_length=200)] | None = None
    persona: Persona | None = None
    head_id: Id | None = None
    members: Members = ()
    """The characters of a group."""
    order: Order = "mention"
    replies: Annotated[int, Field(ge=1, le=MOST_REPLIES)] = 1
    messages: Annotated[tuple[ArchivedMessage, ...], Field(max_length=MOST_MESSAGES)]
    summaries: Annotated[tuple[ArchivedSummary, ...], Field(max_length=MOST_SUMMARIES)] = ()
    """What was summed up of it and holds."""

    @model_validator(mode="after")
    def is_a_tree(self) -> Self:
        """Refuse messages without the one that they answer."""
        seen: set[str] = set()
        for message in self.messages:
            if message.id in seen or (message.parent_id is not None and message.parent_id not in seen):
                raise mistake(ORDER)
            seen.add(message.id)
        if self.head_id is not None and self.head_id not in seen:
            raise mistake(HEAD)
        return self

    @classmethod
    def of(
        cls, conversation: Conversation, messages: Iterable[ArchivedMessage], summaries: Iterable[Summary] = ()
    ) -> Self:
        """Take a conversation along, with summaries of it that hold, each after the one that it was made of."""
        held = list(summaries)[:MOST_SUMMARIES]
        through = {one.id: one.through_id for one in held}
        return cls(
            id=conversation.id,
            character=conversation.character_id,
            created_at=conversation.created_at,
            title=conversation.title,
            persona=conversation.persona,
            head_id=conversation.head_id,
            members=conversation.members,
            order=conversation.order,
            replies=conversation.replies,
            messages=tuple(messages),
            summaries=tuple(ArchivedSummary.of(one, through) for one in held),
        )

    def conversation(self, renamed: dict[str, str]) -> Conversation:
        """Return what is known of it as it is stored."""
        tips = [None, *(message.id for message in self.messages)]
        straight = all(message.parent_id == tip for message, tip in zip(self.messages, tips, strict=False))
        return Conversation(
            id=self.id,
            character_id=renamed.get(self.character, self.character),
            created_at=self.created_at,
            title=self.title,
            head_id=self.head_id,
            persona=self.persona,
            members=tuple(renamed.get(each, each) for each in self.members),
            order=self.order,
            replies=self.replies,
            branched=not (straight and self.head_id == tips[-1]),
        )


class ArchivedFact(Strict):
    """Something that is known."""

    id: Id
    character: CharacterId
    about: About
    text: Remembered
    sources: Annotated[tuple[ArchivedSource, ...], Field(min_length=1, max_length=1_000)]
    valid_from: Moment
    supersedes: Id | None = None

    @classmethod
    def of(cls, fact: Fact) -> Self:
        """Take a fact along."""
        return cls(
            id=fact.id,
            character=fact.character_id,
            about=fact.about,
            text=fact.text,
            sources=tuple(ArchivedSource.of(one) for one in fact.sources),
            valid_from=fact.valid_from,
            supersedes=fact.supersedes,
        )

    def fact(self, sources: Sequence[ArchivedSource], ids: dict[str, str], renamed: dict[str, str]) -> Fact:
        """Return it as it is stored, with those of its sources that are there; `ids` are the facts' ids here."""
        return Fact(
            id=ids[self.id],
            character_id=renamed.get(self.character, self.character),
            about=self.about,
            text=self.text,
            sources=tuple(Source(one.conversation_id, one.message_id, one.said_at) for one in sources),
            valid_from=self.valid_from,
            supersedes=ids.get(self.supersedes or ""),
        )


class ArchivedCorrection(Strict):
    """What a memory said until then."""

    text: Remembered
    until: Moment


class ArchivedAmendment(Strict):
    """What somebody did to the memory of a message, or to a fact."""

    message_id: Id | None = None
    character: CharacterId | None = None
    """Whose memory of the message it is, of those in a group."""
    fact_id: Id | None = None
    text: Remembered | None = None
    pinned: bool = False
    history: Annotated[tuple[ArchivedCorrection, ...], Field(max_length=1_000)] = ()

    @model_validator(mode="after")
    def is_of_something(self) -> Self:
        """Refuse one that is of nothing, or of two things."""
        if (self.message_id is None) == (self.fact_id is None):
            raise mistake(ONE_OF)
        return self

    @classmethod
    def of(cls, amendment: Amendment) -> Self:
        """Take it along."""
        memory = amendment.memory
        history = tuple(ArchivedCorrection(text=one.text, until=one.until) for one in amendment.history)
        of_message = {"message_id": memory.message_id, "character": memory.character_id}
        named = {"fact_id": memory.id} if memory.kind == "fact" else of_message
        return cls(**named, text=amendment.text, pinned=amendment.pinned, history=history)

    def applied(self, amendment: Amendment) -> Amendment:
        """Return an untouched memory's amendment as this one is."""
        history = tuple(Correction(one.text, one.until) for one in self.history)
        return replace(amendment, text=self.text, pinned=self.pinned, history=history)


class MemoryArchive(Strict):
    """Everything that a person takes along."""

    object: Literal["memory.archive"] = "memory.archive"
    version: Literal[1] = 1
    exported_at: Moment
    character: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Whose memories were asked for, whoever that is; null: those of all characters."""
    conversations: Annotated[tuple[ArchivedConversation, ...], Field(max_length=MOST_CONVERSATIONS)]
    facts: Annotated[tuple[ArchivedFact, ...], Field(max_length=MOST_FACTS)] = ()
    amendments: Annotated[tuple[ArchivedAmendment, ...], Field(max_length=MOST_FACTS)] = ()

    @model_validator(mode="after")
    def names_each_message_once(self) -> Self:
        """Refuse an id for two messages: a memory is named by its message."""
        ids = [message.id for conversation in self.conversations for message in conversation.messages]
        if len(ids) != len(set(ids)):
            raise mistake(ONCE)
        return self
