"""Characters learn about a person while nobody waits: facts are drawn from what was said, each message once.

A conversation in which a reply is being written is left alone, and comes back.
"""

import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import DeadlineExceeded, InvalidInput, NotFound, TooLarge, UpstreamFailed
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message, branch
from chattr.domain.extraction import RESPONSE_FORMAT, Lesson, learned
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Fact, standing
from chattr.domain.memory import Forgotten, memory_of, name_of, overheard
from chattr.domain.terms import Stem, words
from chattr.ports.knowledge import Knowledge
from chattr.ports.language import ChatRequest, LanguageModel, text_of
from chattr.ports.outbox import Entry, Outbox
from chattr.ports.records import Conversations
from chattr.usecases.carrying import FIRST_PAUSE, carried_on, struck_off
from chattr.usecases.characters import Cast
from chattr.usecases.knowing import Knowing

logger = logging.getLogger(__name__)

SECONDS: Final = 120.0
# Lines that a model is asked about at once, and those before them that help it to understand.
NEW: Final = 8
BEFORE: Final = 2
KNOWN: Final = 12
MOST_TOKENS: Final = 512


class Teacher:
    """Asks a language model what talk tells."""

    def __init__(self, language: LanguageModel) -> None:
        self._language = language
        self._schema = True

    async def ask(self, lesson: Lesson) -> str:
        """Return what the model answers. One that refuses the schema is asked without, from then on."""
        sampling: dict[str, Any] = {"temperature": 0, "max_tokens": MOST_TOKENS}
        if self._schema:
            try:
                return await self._answer(lesson, {**sampling, "response_format": RESPONSE_FORMAT})
            except InvalidInput:
                self._schema = False
            except UpstreamFailed:
                logger.warning("a model failed with the schema; it is asked without, this once")
        return await self._answer(lesson, sampling)

    async def _answer(self, lesson: Lesson, sampling: dict[str, Any]) -> str:
        request = ChatRequest(
            lesson.messages(), sampling, yielding=frozenset(sampling) - {"response_format"}, background=True
        )
        async with aclosing(self._language.stream(request, Deadline.after(SECONDS))) as chunks:
            return "".join([text_of(chunk) async for chunk in chunks])


class Learner:
    """Draws facts from conversations that changed, at least once. Any number of replicas may run one."""

    def __init__(
        self,
        *,
        cast: Cast,
        conversations: Conversations,
        knowledge: Knowledge,
        lessons: Outbox,
        outbox: Outbox,
        teacher: Teacher,
        stem: Stem,
        pause: float = FIRST_PAUSE,
    ) -> None:
        self._cast = cast
        self._conversations = conversations
        self._knowledge = knowledge
        self._knowing = Knowing(knowledge)
        self._lessons = lessons
        self._outbox = outbox
        self._teacher = teacher
        self._stem = stem
        self._pause = pause

    async def run(self) -> None:
        """Work until cancelled, one conversation after the other."""
        await carried_on(self._lessons, self.carry, doing="learning", pause=self._pause)

    async def carry(self, entries: Sequence[Entry]) -> None:
        """Learn from the conversations of entries. Raises what the ports and the language model raise."""
        await struck_off(self._lessons, entries, self._in_time)

    async def _in_time(self, owner: Owner, conversation_id: str) -> bool:
        """Learn; what takes the model too long is left until the next reply, so that nobody else waits for it."""
        try:
            return await self._learn(owner, conversation_id)
        except DeadlineExceeded:
            logger.warning("the model took too long to draw facts")
            return True

    async def _learn(self, owner: Owner, conversation_id: str) -> bool:
        """Learn what is new in a conversation; False where it is not the time for it."""
        conversation = await self._conversations.get(owner, conversation_id)
        if conversation is None:
            return True
        if conversation.live_reply_id is not None:
            return False
        messages = await self._conversations.messages(owner, conversation_id)
        for listener, path in heard(branch(messages, conversation.head_id)).items():
            for first, new in await self._new(owner, conversation, path, listener):
                character = await self._character(owner, listener or new[0].character_id or conversation.character_id)
                if character is not None and any(message.role == "user" for message in new):
                    try:
                        await self._draw(owner, conversation, character, path[max(0, first - BEFORE) : first], new)
                    except (InvalidInput, TooLarge, UpstreamFailed) as error:  # it would refuse this every time
                        logger.warning("the model drew no facts", extra={"error.type": type(error).__name__})
                names = [name_of(message, listener) for message in new]
                await self._knowledge.note_learned(owner, conversation_id, names)
        return True

    async def _character(self, owner: Owner, character_id: str) -> Character | None:
        """Return a character that may remember; None where it may not, or is gone."""
        try:
            character = await self._cast.get(owner, character_id)
        except NotFound:
            return None
        return character if character.memory.long_term else None

    async def _new(
        self, owner: Owner, conversation: Conversation, path: Sequence[Message], listener: str
    ) -> list[tuple[int, list[Message]]]:
        """Return what was not learned from, in pieces, each of one character, with where it begins on the path."""
        seen = await self._knowledge.learned(owner, conversation.id)
        forgotten = Forgotten(await self._outbox.forgotten(owner))
        pieces: list[tuple[int, list[Message]]] = []
        for index, message in enumerate(path):
            character_id = listener or message.character_id or conversation.character_id
            memory = memory_of(owner, character_id, conversation.id, message)
            if listener:
                memory = overheard(memory, owner, message)
            if (
                name_of(message, listener) in seen
                or not message.memorable
                or not memory.text
                or forgotten.covers(memory)
            ):
                continue
            last = pieces[-1][1] if pieces else []
            alike = listener or (last and (last[0].character_id or conversation.character_id) == character_id)
            if last and len(last) < NEW and alike:
                last.append(message)
            else:
                pieces.append((index, [message]))
        return pieces

    async def _draw(
        self,
        owner: Owner,
        conversation: Conversation,
        character: Character,
        before: Sequence[Message],
        new: Sequence[Message],
    ) -> None:
        """Ask what some messages tell, and keep it."""
        facts = standing(await self._knowing.facts(owner))
        own = [fact for fact in facts if fact.character_id == character.id and fact.branch == "active"]
        lesson = Lesson(character.name, before, new, self._nearest(own, new))
        drawn = lesson.read(await self._teacher.ask(lesson))
        if drawn:
            await self._knowing.change(
                owner, lambda known: learned(owner, character.id, conversation.id, known, drawn, self._stem)
            )

    def _nearest(self, facts: Sequence[Fact], new: Sequence[Message]) -> list[Fact]:
        """Return the known facts that share most with what is said, newer ones first among equals."""
        said = {word for message in new for word in words(message.content, self._stem)}
        return sorted(facts, key=lambda fact: -len(said & set(words(fact.text, self._stem))))[:KNOWN]


def heard(path: Sequence[Message]) -> dict[str, list[Message]]:
    """Return what each character of a group can learn from: the person's words and its own, of what it remembers.

    Under no name stands what was said outside groups.
    """
    listeners = {each: 1 for message in path for each in message.kept_by}
    outside = [message for message in path if not message.audience]
    return {"": outside} | {
        each: [m for m in path if each in m.kept_by and (m.role == "user" or m.character_id == each)]
        for each in listeners
    }
