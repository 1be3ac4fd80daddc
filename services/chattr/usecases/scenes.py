"""Sets scenes: finds out who answers what, stores what was said, and later what came of it."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound, Unavailable
from chattr.domain.character import Character
from chattr.domain.conversation import CONVERSATION_ID, Conversation, Message, Status, branch
from chattr.domain.identity import Owner, new_id
from chattr.domain.memory import Beside
from chattr.domain.prompt import OPENING
from chattr.domain.tree import Tree
from chattr.ports.records import Conversations
from chattr.ports.sessions import Recent, ShortTerm
from chattr.usecases.characters import Cast
from chattr.usecases.scene import (
    BAD_ID,
    DELETED_MEANWHILE,
    GO_ON,
    NOT_OFFERED,
    NOT_STORED,
    ONLY_REPLIES,
    Again,
    Ask,
    AtHead,
    Next,
    Onward,
    Scene,
    Under,
    no_conversation,
    no_message,
)
from chattr.usecases.turns import Turns


class Scenes:
    """Sets scenes and keeps what came of them. The question is stored before the reply begins."""

    def __init__(
        self,
        cast: Cast,
        conversations: Conversations,
        short_term: ShortTerm,
        *,
        turns: Turns,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cast = cast
        self._turns = turns
        self._conversations = conversations
        self._short_term = short_term
        self._clock = clock

    async def set(self, owner: Owner, ask: Ask) -> Scene:
        """Find out who answers what, and store what was said. Raises `NotFound`, `InvalidInput`, `Conflict`."""
        known = await self._known(owner, ask)
        group = known is not None and bool(known.members)
        scene = await (self._among(owner, ask, known) if known and group else self._alone(owner, ask, known))
        if scene.conversation is not None:  # last, since whatever is raised before leaves nobody writing
            await self._conversations.set_live(owner, scene.conversation.id, scene.reply_id)
        return scene

    async def _alone(self, owner: Owner, ask: Ask, known: Conversation | None) -> Scene:
        """Set a scene with one character."""
        scene = await self._with(owner, ask, ask.character_id or (known.character_id if known else None))
        if ask.conversation_id is None:
            return scene
        character = scene.character
        conversation = known or await self._begun(owner, ask.conversation_id, character)
        if conversation.character_id != character.id:
            raise Conflict(
                f"This conversation is with {conversation.character_id!r}. Begin another one with {character.id!r}.",
                param="conversation_id",
            )
        await self._place(scene, conversation)
        return scene

    async def _with(self, owner: Owner, ask: Ask, character_id: str | None) -> Scene:
        """Begin a scene with a character, the default one where none is named."""
        cast = await self._cast.known(owner, character_id or self._cast.default_id)
        scene = Scene(owner, ask, cast.character, new_id("reply"), new_id("msg"), text=ask.text, told=list(ask.told))
        if cast.told is not None:
            scene.told.append(cast.told)
        if cast.character.model is not None and self._cast.model_of(cast.character) is None:
            scene.told.append(NOT_OFFERED)
        return scene

    async def _among(self, owner: Owner, ask: Ask, conversation: Conversation) -> Scene:
        """Set a scene in a group. Who answers is named, or said before what is said once more, or chosen."""
        company = await self._turns.company(owner, conversation)
        named = company.require(ask.character_id) if ask.character_id is not None else None
        if named is None and not isinstance(ask.place, Again | Onward | Next):
            self._turns.require_said(company)
        scene = await self._with(owner, ask, (named or company.members[0]).id)
        scene.company = company
        chosen = await self._place(scene, conversation)
        if named is None and isinstance(ask.place, Again | Onward) and chosen and chosen.role == "assistant":
            named = company.require(chosen.character_id or "")
        scene.company = company = await self._turns.company(owner, conversation, scene.path)
        speaker = named or await self._turns.first(company, scene.path)
        if speaker.id != scene.character.id:
            other = await self._with(owner, ask, speaker.id)
            scene.character, scene.told = other.character, other.told
        seen = company.seen_by(scene.character, scene.path)
        scene.text = seen[-1].text if seen and seen[-1].role == "user" else (GO_ON if seen else OPENING)
        return scene

    async def _place(self, scene: Scene, conversation: Conversation) -> Message | None:
        """Find the reply's place, and store what was said. Returns the message that the place names, of a reply."""
        place, chosen = scene.ask.place, None
        scene.conversation, scene.head_id = conversation, conversation.head_id
        if isinstance(place, Again | Onward | Next):
            chosen = await self._resume(scene, conversation, place)
        else:
            await self._say(scene, conversation, place)
        return chosen

    async def imagined(self, owner: Owner, ask: Ask) -> Scene:
        """Find out who would answer what, at the head of a conversation that is there. Nothing is stored."""
        known = await self._known(owner, ask)
        if ask.conversation_id is not None and known is None:
            raise no_conversation(ask.conversation_id)
        character = await self._cast.get(owner, ask.character_id or self._cast.default_id)
        scene = Scene(owner, ask, character, new_id("reply"), new_id("msg"), text=ask.text, conversation=known)
        if known is not None:
            scene.history = await self._path(scene, known, known.head_id)
        if known is not None and known.members:
            scene.company = company = await self._turns.company(owner, known, scene.path)
            company.require(character.id)
            scene.question = Message("", known.head_id, "user", ask.text, self._clock(), **asked_of(scene))
            scene.text = company.seen_by(character, [scene.question])[0].text
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
            **asked_of(scene),
        )
        await self._conversations.append(scene.owner, conversation.id, [said])
        scene.question, scene.parent_id, scene.head_id, scene.said = said, said.id, said.id, True

    async def _resume(self, scene: Scene, conversation: Conversation, place: Again | Onward | Next) -> Message:
        """Go back to what a reply answers, or to a message of the person's."""
        path = await self._path(scene, conversation, place.message_id)
        if not path:
            raise no_message(place.message_id)
        chosen = path[-1]
        if isinstance(place, Onward):
            if chosen.role == "user":
                raise InvalidInput(ONLY_REPLIES, param="message_id")
            scene.begun = chosen.content
        under = isinstance(place, Next) or chosen.role == "user"
        scene.parent_id = chosen.id if under else chosen.parent_id
        scene.history = path if under else path[:-1]
        scene.elsewhere = scene.elsewhere if under else (*scene.elsewhere, Beside.of(chosen))
        if scene.history and scene.history[-1].role == "user":
            scene.question = scene.history.pop()
            scene.text = scene.question.content
        else:
            scene.text = GO_ON if scene.history else OPENING
        return chosen

    async def _path(self, scene: Scene, conversation: Conversation, leaf_id: str | None) -> list[Message]:
        """Return what was said up to a message: from short-term memory where that holds it, else from the records."""
        if leaf_id is None and conversation.head_id is None and not conversation.branched:
            return []
        with suppress(Unavailable):
            recent = await self._short_term.recent(scene.owner, conversation, leaf_id)
            if recent is not None:
                scene.elsewhere = recent.elsewhere
                return list(recent.messages)
        messages = await self._conversations.messages(scene.owner, conversation.id)
        path = branch(messages, leaf_id)
        scene.elsewhere = [Beside.of(each) for each in Tree(messages).beside(path)]
        return path

    async def keep(self, scene: Scene, text: str, status: Status) -> None:
        """Store what was said in answer. What cannot be done now is told, not hidden."""
        conversation = scene.conversation
        if conversation is None or not text:
            return
        try:
            heard = await self._heard(scene, conversation)
        except (NotFound, Unavailable) as error:
            scene.told.append(DELETED_MEANWHILE if isinstance(error, NotFound) else NOT_STORED)
            return
        answer = Message(
            id=scene.message_id,
            parent_id=scene.parent_id,
            role="assistant",
            content=scene.begun + text,
            created_at=self._clock(),
            status=status,
            reminders=scene.reminders,
            summary_id=scene.summary_id,
            **heard,
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
                # One revision further for each of the scene's own writes: another's in between makes it hold no more.
                written = conversation.revision + (2 if scene.said else 1)
                held = Recent([*scene.path, answer], written, scene.elsewhere)
                await self._short_term.keep(scene.owner, conversation.id, held)

    async def _heard(self, scene: Scene, conversation: Conversation) -> dict[str, Any]:
        """Say who heard a reply: in a group those who are there when it ends, and who said it."""
        character = scene.character
        if scene.company is None:
            return {"character_id": character.id, "memorable": character.memory.long_term}
        now = await self._conversations.get(scene.owner, conversation.id)
        if now is None:
            raise no_conversation(conversation.id)
        company = await self._turns.company(scene.owner, now)
        kept_by = dict.fromkeys((*company.mindful, *([character.id] if character.memory.long_term else [])), 1)
        return {
            "character_id": character.id,
            "audience": tuple(dict.fromkeys((*company.audience, character.id))),
            "kept_by": tuple(kept_by),
            "memorable": bool(kept_by),
        }

    async def end(self, scene: Scene) -> None:
        """Take back that the reply is being written."""
        if scene.conversation is not None:
            with suppress(Unavailable):  # a follower hears from the log that it has ended
                await self._conversations.end_live(scene.owner, scene.conversation.id, scene.reply_id)


def asked_of(scene: Scene) -> dict[str, Any]:
    """Say whom the person's message was said to: one character, or all of a group."""
    if scene.company is None:
        return {"character_id": scene.character.id, "memorable": scene.character.memory.long_term}
    mindful = scene.company.mindful
    return {"audience": scene.company.audience, "kept_by": mindful, "memorable": bool(mindful)}
