"""Where a reply has its place: what was said before it, what it answers, and how it joins the conversation's tree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from chatacter.chassis.errors import NotFound
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message, Reminder
from chattr.domain.identity import Owner
from chattr.domain.memory import Beside
from chattr.domain.person import Persona
from chattr.domain.prompt import Turn
from chattr.domain.turns import Company
from chattr.usecases.caching import CacheUse

BAD_ID: Final = "A conversation id has 1 to 128 letters, digits, `_`, `.` or `-`."
NOT_STORED: Final = "This exchange could not be stored; the character will not know of it."
DELETED_MEANWHILE: Final = "What this answers was deleted meanwhile; the reply is not kept."
NOT_OFFERED: Final = "This character asks for a model that is not offered here; the installation's own answers."
ONLY_REPLIES: Final = "Only a reply can go on. This message is the person's; regenerate it to get it answered."
# Stands for the person where the character goes on after words of its own.
GO_ON: Final = "Go on."


@dataclass(frozen=True, slots=True)
class AtHead:
    """Said where the person is, in a conversation that there is already."""


@dataclass(frozen=True, slots=True)
class Under:
    """Said in answer to this message; None: as another beginning of the conversation."""

    message_id: str | None


@dataclass(frozen=True, slots=True)
class Again:
    """Another reply: beside this one, or to this message of the person's."""

    message_id: str


@dataclass(frozen=True, slots=True)
class Onward:
    """The reply that goes on where this one stopped. It stands beside it, the longer of the two."""

    message_id: str


@dataclass(frozen=True, slots=True)
class Next:
    """A reply under this message, whoever said it: in a group one character answers another."""

    message_id: str


Place: TypeAlias = AtHead | Under | Again | Onward | Next


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody says to a character. With a conversation the history is ours, else it is in `history`.

    Without a character it is the conversation's own, in a new conversation the default one. Without a place it is said
    at the head, and the conversation begins where there is none. A place that asks for a reply alone takes no `text`.
    """

    character_id: str | None
    text: str
    conversation_id: str | None = None
    history: Sequence[Turn] = ()
    instructions: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    place: Place | None = None
    raw: Mapping[str, Any] | None = None
    """The message as it stands, where it is more than text."""
    since: Sequence[Turn] = ()
    """What the answer has done already; see `assemble`. Only without a conversation."""
    cache: CacheUse = "use"
    """What may be done with the response cache. Another reply is never the kept one."""
    told: Sequence[str] = ()
    """What the asker should know of how this is answered."""
    persona: Persona | None = None
    """Who asks, where that is said with the question."""


@dataclass(slots=True)
class Scene:
    """Everything that one reply is made from."""

    owner: Owner
    ask: Ask
    character: Character
    reply_id: str
    message_id: str
    conversation: Conversation | None = None
    text: str = ""
    """What is answered."""
    history: list[Message] = field(default_factory=list)
    """What was said before that."""
    question: Message | None = None
    """The message that `text` is; None where nobody said it."""
    parent_id: str | None = None
    """What the reply stands under."""
    begun: str = ""
    """The words that the reply goes on from."""
    head_id: str | None = None
    """Where the person was when the reply began."""
    elsewhere: Sequence[Beside] = ()
    """Messages of other branches, which this one does not know of."""
    reminders: tuple[Reminder, ...] = ()
    """What was recalled for it."""
    summary_id: str | None = None
    """The summary that stands in its prompt."""
    company: Company | None = None
    """Who else is there; None outside groups."""
    said: bool = False
    """Whether the question was stored with it."""
    stored: bool = False
    told: list[str] = field(default_factory=list)

    @property
    def path(self) -> list[Message]:
        """What the reply stands at the end of."""
        return [*self.history, self.question] if self.question else list(self.history)

    def turns(self) -> list[Turn]:
        """The history as the prompt takes it."""
        if self.conversation is None:
            return list(self.ask.history)
        if self.company is None:
            return [Turn(message.role, message.content) for message in self.history]
        seen = self.company.seen_by(self.character, self.path)
        return seen[:-1] if seen and seen[-1].role == "user" else seen

    def seen(self, first: int) -> int:
        """Return how many of the history's first messages are turns of the prompt."""
        return len(self.company.seen_by(self.character, self.history[:first])) if self.company else first

    @property
    def asked(self) -> str:
        """What is answered, as the prompt takes it."""
        return f"{self.company.note(self.character)}\n{self.text}" if self.company else self.text

    def done(self) -> list[Turn]:
        """What the answer begins with, as the prompt takes it."""
        return [Turn("assistant", self.begun)] if self.begun else list(self.ask.since)

    @property
    def goes_on(self) -> bool:
        """Whether the one answer goes on with words that stand already."""
        last = self.done()[-1:]
        plain = bool(last) and last[0].role == "assistant" and last[0].raw is None
        return plain and (self.ask.sampling.get("n") or 1) == 1

    @property
    def cache(self) -> CacheUse:
        """What may be done with the response cache: who asks for another reply wants another one."""
        another = isinstance(self.ask.place, Again | Onward)
        return "renew" if another and self.ask.cache == "use" else self.ask.cache


def no_conversation(conversation_id: str) -> NotFound:
    """Say that a conversation does not exist."""
    return NotFound(f"There is no conversation {conversation_id!r}.", param="conversation_id")


def no_message(message_id: str) -> NotFound:
    """Say that a message does not exist."""
    return NotFound(f"There is no message {message_id!r} in this conversation.", param="message_id")
