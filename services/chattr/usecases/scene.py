"""Where a reply has its place: what was said before it, what it answers, and how it joins the conversation's tree."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound, Unavailable
from chattr.domain.character import Character
from chattr.domain.conversation import CONVERSATION_ID, Conversation, Message, Reminder, Status, branch
from chattr.domain.identity import Owner, new_id
from chattr.domain.person import Persona
from chattr.domain.prompt import OPENING, Turn
from chattr.domain.tree import Tree
from chattr.ports.records import Conversations
from chattr.ports.sessions import ShortTerm
from chattr.usecases.caching import CacheUse
from chattr.usecases.characters import Cast

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


Place: TypeAlias = AtHead | Under | Again | Onward


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
    elsewhere: list[str] = field(default_factory=list)
    """Messages of other branches, which this one does not know of."""
    reminders: tuple[Reminder, ...] = ()
    """What was recalled for it."""
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
        return [Turn(message.role, message.content) for message in self.history]

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


class Scenes:
    """Sets scenes and keeps what came of them. The question is stored before the reply begins."""

    def __init__(
        self,
        cast: Cast,
        conversations: Conversations,
        short_term: ShortTerm,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cast = cast
        self._conversations = conversations
        self._short_term = short_term
        self._clock = clock

    async def set(self, owner: Owner, ask: Ask) -> Scene:
        """Find out who answers what, and store what was said. Raises `NotFound`, `InvalidInput`, `Conflict`."""
        known = await self._known(owner, ask)
        named = ask.character_id or (known.character_id if known else self._cast.default_id)
        cast = await self._cast.known(owner, named)
        character = cast.character
        scene = Scene(owner, ask, character, new_id("reply"), new_id("msg"), text=ask.text, told=list(ask.told))
        if cast.told is not None:
            scene.told.append(cast.told)
        if character.model is not None and self._cast.model_of(character) is None:
            scene.told.append(NOT_OFFERED)
        if ask.conversation_id is None:
            return scene
        conversation = known or await self._begun(owner, ask.conversation_id, character)
        if conversation.character_id != character.id:
            raise Conflict(
                f"This conversation is with {conversation.character_id!r}. Begin another one with {character.id!r}.",
                param="conversation_id",
            )
        scene.conversation, scene.head_id = conversation, conversation.head_id
        if isinstance(ask.place, Again | Onward):
            await self._resume(scene, conversation, ask.place)
        else:
            await self._say(scene, conversation, ask.place)
        await self._conversations.set_live(owner, conversation.id, scene.reply_id)
        return scene

    async def imagined(self, owner: Owner, ask: Ask) -> Scene:
        """Find out who would answer what, at the head of a conversation that is there. Nothing is stored."""
        known = await self._known(owner, ask)
        if ask.conversation_id is not None and known is None:
            raise no_conversation(ask.conversation_id)
        character = await self._cast.get(owner, ask.character_id or self._cast.default_id)
        scene = Scene(owner, ask, character, new_id("reply"), new_id("msg"), text=ask.text, conversation=known)
        if known is not None:
            scene.history = await self._path(scene, known, known.head_id)
        return scene

    async def _known(self, owner: Owner, ask: Ask) -> Conversation | None:
        if ask.conversation_id is None:
            return None
        if not CONVERSATION_ID.fullmatch(ask.conversation_id):
            raise InvalidInput(BAD_ID, param="conversation_id")
        known = await self._conversations.get(owner, ask.conversation_id)
        if known is None and ask.place is not None:
            raise no_conversation(ask.conversation_id)
        return known

    async def _begun(self, owner: Owner, conversation_id: str, character: Character) -> Conversation:
        made = Conversation(conversation_id, character.id, self._clock())
        if await self._conversations.create(owner, made):
            return made
        return await self._conversations.get(owner, conversation_id) or made  # somebody else began it meanwhile

    async def _say(self, scene: Scene, conversation: Conversation, place: AtHead | Under | None) -> None:
        """Store what the person says, where they say it."""
        parent_id = place.message_id if isinstance(place, Under) else conversation.head_id
        scene.history = await self._path(scene, conversation, parent_id)
        if isinstance(place, Under) and parent_id is not None and not scene.history:
            raise no_message(parent_id)
        parent_id = scene.history[-1].id if scene.history else None
        said = Message(
            id=new_id("msg"),
            parent_id=parent_id,
            role="user",
            content=scene.text,
            created_at=self._clock(),
            character_id=scene.character.id,
            memorable=scene.character.memory.long_term,
        )
        await self._conversations.append(scene.owner, conversation.id, [said])
        scene.question, scene.parent_id, scene.head_id = said, said.id, said.id

    async def _resume(self, scene: Scene, conversation: Conversation, place: Again | Onward) -> None:
        """Go back to what a reply answers, or to a message of the person's."""
        tree = Tree(await self._conversations.messages(scene.owner, conversation.id))
        chosen = tree.get(place.message_id)
        if chosen is None:
            raise no_message(place.message_id)
        if isinstance(place, Onward):
            if chosen.role == "user":
                raise InvalidInput(ONLY_REPLIES, param="message_id")
            scene.begun = chosen.content
        scene.parent_id = chosen.id if chosen.role == "user" else chosen.parent_id
        scene.history = tree.path(scene.parent_id)
        scene.elsewhere = tree.beside(scene.history)
        if scene.history and scene.history[-1].role == "user":
            scene.question = scene.history.pop()
            scene.text = scene.question.content
        else:
            scene.text = GO_ON if scene.history else OPENING

    async def _path(self, scene: Scene, conversation: Conversation, leaf_id: str | None) -> list[Message]:
        """Return what was said up to a message: from short-term memory where that holds it, else from the records."""
        if leaf_id is None and not conversation.branched:
            return []
        recent: Sequence[Message] | None = None
        if not conversation.branched:
            with suppress(Unavailable):
                recent = await self._short_term.recent(scene.owner, conversation.id, leaf_id)
        if recent is not None:
            return list(recent)
        messages = await self._conversations.messages(scene.owner, conversation.id)
        path = branch(messages, leaf_id)
        scene.elsewhere = Tree(messages).beside(path) if conversation.branched else []
        return path

    async def keep(self, scene: Scene, text: str, status: Status) -> None:
        """Store what was said in answer. What cannot be done now is told, not hidden."""
        conversation = scene.conversation
        if conversation is None or not text:
            return
        answer = Message(
            id=scene.message_id,
            parent_id=scene.parent_id,
            role="assistant",
            content=scene.begun + text,
            created_at=self._clock(),
            character_id=scene.character.id,
            status=status,
            memorable=scene.character.memory.long_term,
            reminders=scene.reminders,
        )
        try:
            at_head = await self._conversations.answer(scene.owner, conversation.id, answer, begun_at=scene.head_id)
        except NotFound:
            scene.told.append(DELETED_MEANWHILE)
            return
        except Unavailable:
            scene.told.append(NOT_STORED)
            return
        scene.stored = True
        if at_head:
            with suppress(Unavailable):  # the records hold it
                await self._short_term.keep(scene.owner, conversation.id, [*scene.path, answer])

    async def end(self, scene: Scene) -> None:
        """Take back that the reply is being written."""
        if scene.conversation is not None:
            with suppress(Unavailable):  # a follower hears from the log that it has ended
                await self._conversations.end_live(scene.owner, scene.conversation.id, scene.reply_id)


def no_conversation(conversation_id: str) -> NotFound:
    """Say that a conversation does not exist."""
    return NotFound(f"There is no conversation {conversation_id!r}.", param="conversation_id")


def no_message(message_id: str) -> NotFound:
    """Say that a message does not exist."""
    return NotFound(f"There is no message {message_id!r} in this conversation.", param="message_id")
