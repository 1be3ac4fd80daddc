"""A character's reply, from the question to the stored answer, as one stream of events.

A reply is written by a task of this process and logged from its first token, so that a listener may leave and go on
elsewhere. Inside it a delta is a parsed chunk of the provider, never a model object.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, Conflict, DeadlineExceeded, InvalidInput, NotFound, Unavailable
from chatacter.chassis.problems import INTERNAL
from chattr.domain.character import Character
from chattr.domain.conversation import CONVERSATION_ID, Conversation, Message, Status, branch
from chattr.domain.identity import Owner, new_id
from chattr.domain.prompt import Budget, Prompt, Turn, assemble, text_of
from chattr.domain.recall import MAX_RECALLED
from chattr.ports.language import ChatRequest, LanguageModel
from chattr.ports.records import Conversations
from chattr.ports.sessions import CANCELLED, COMPLETED, CREATED, SessionLog, ShortTerm
from chattr.usecases.characters import Cast
from chattr.usecases.draft import Draft, Outcome, Running
from chattr.usecases.live import Live, LogWriter
from chattr.usecases.remember import Recollection, Remember

RECALL_SECONDS: Final = 2.0
# OpenTelemetry's semantic conventions for generative AI, without the boundaries that no provider comes near.
FIRST_TEXT_BOUNDARIES: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
WITH_USAGE: Final = {"include_usage": True}
BAD_ID: Final = "A conversation id has 1 to 128 letters, digits, `_`, `.` or `-`."
NOT_STORED: Final = "This exchange could not be stored; the character will not know of it."
NOT_REMEMBERED: Final = "This exchange is stored; it could not be added to long-term memory."
CLOSING: Final = "The process that wrote this reply is shutting down. Ask again; what was said so far stands."
NOT_OFFERED: Final = "This character asks for a model that is not offered here; the installation's own answers."
LOG_AWAY: Final = "The reply's log is away; it cannot be resumed elsewhere for now."


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody says to a character. With a conversation the history is ours, else it is in `history`.

    Without a character it is the conversation's own, in a new conversation the default one.
    """

    character_id: str | None
    text: str
    conversation_id: str | None = None
    history: Sequence[Turn] = ()
    instructions: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Scene:
    """Everything that one reply is made from."""

    owner: Owner
    ask: Ask
    character: Character
    reply_id: str
    message_id: str
    history: list[Message]
    question: Message | None
    told: list[str] = field(default_factory=list)

    def turns(self) -> list[Turn]:
        """The history as the prompt takes it."""
        if self.ask.conversation_id is None:
            return list(self.ask.history)
        return [Turn(message.role, message.content) for message in self.history]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a reply needs of the world. Without `remember` there is no long-term memory."""

    cast: Cast
    language: LanguageModel
    remember: Remember | None
    conversations: Conversations
    short_term: ShortTerm
    log: SessionLog


class Reply:
    """Makes characters answer."""

    def __init__(
        self,
        around: Surroundings,
        *,
        live: Live,
        budget: Budget,
        timeout: float,
        tracer: Tracer,
        meter: Meter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cast = around.cast
        self._language = around.language
        self._remember = around.remember
        self._conversations = around.conversations
        self._short_term = around.short_term
        self._log = around.log
        self._live = live
        self._budget = budget
        self._timeout = timeout
        self._tracer = tracer
        self._clock = clock
        self._first_text = meter.create_histogram(
            "gen_ai.server.time_to_first_token",
            unit="s",
            description="From the question to the first text",
            explicit_bucket_boundaries_advisory=FIRST_TEXT_BOUNDARIES,
        )

    async def start(self, owner: Owner, ask: Ask, *, detached: bool) -> Running:
        """Begin a reply. What was said is stored first. Raises `NotFound`, `InvalidInput`, `Conflict`, `Unavailable`.

        `detached`: the reply goes on when its listener leaves.
        """
        scene = await self._prepared(owner, ask)
        running = Running(scene.reply_id, detached=detached)
        running.begin(self._live.start(self._write(scene, running)))
        return running

    async def _prepared(self, owner: Owner, ask: Ask) -> Scene:
        known = await self._known(owner, ask.conversation_id)
        named = ask.character_id or (known.character_id if known else self._cast.default_id)
        character = await self._cast.get(owner, named)
        scene = Scene(owner, ask, character, new_id("reply"), new_id("msg"), [], None)
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
        scene.history = await self._history(owner, conversation)
        parent = scene.history[-1].id if scene.history else None
        scene.question = Message(new_id("msg"), parent, "user", ask.text, self._clock(), character.id)
        await self._conversations.append(owner, conversation.id, [scene.question])
        await self._conversations.set_live(owner, conversation.id, scene.reply_id)
        return scene

    async def _known(self, owner: Owner, conversation_id: str | None) -> Conversation | None:
        if conversation_id is None:
            return None
        if not CONVERSATION_ID.fullmatch(conversation_id):
            raise InvalidInput(BAD_ID, param="conversation_id")
        return await self._conversations.get(owner, conversation_id)

    async def _begun(self, owner: Owner, conversation_id: str, character: Character) -> Conversation:
        made = Conversation(conversation_id, character.id, self._clock())
        if await self._conversations.create(owner, made):
            return made
        return await self._conversations.get(owner, conversation_id) or made  # somebody else began it meanwhile

    async def _history(self, owner: Owner, conversation: Conversation) -> list[Message]:
        if conversation.head_id is None:
            return []
        try:
            recent = await self._short_term.recent(owner, conversation.id, conversation.head_id)
        except Unavailable:
            recent = None
        if recent is not None:
            return list(recent)
        return branch(await self._conversations.messages(owner, conversation.id), conversation.head_id)

    async def _write(self, scene: Scene, running: Running) -> None:
        """Write the reply. Whatever ends it, what was said is stored, and the listener and the log are told."""
        writer = LogWriter(self._log, scene.owner, scene.reply_id, running.scope)
        draft = Draft(running, writer, writer.event(CREATED, created(scene, self._clock())))
        await writer.flush()
        async with writer.running():
            try:
                await self._generate(scene, draft)
            except BaseException as error:
                await self._settle(scene, draft, "interrupted")
                draft.fail(explained(error))
                if not isinstance(error, ChatacterError):
                    raise
                return
            cancelled = running.scope.cancel_called
            await self._settle(scene, draft, "cancelled" if cancelled else "complete")
            if cancelled:
                draft.hear(writer.event(CANCELLED, {"message_id": scene.message_id, "told": scene.told}))
            else:
                draft.hear(writer.event(COMPLETED, completed(scene, draft.outcome)))

    async def _generate(self, scene: Scene, draft: Draft) -> None:
        with draft.running.scope:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._stream(scene, await self._prompt(scene), draft)
            except TimeoutError as error:
                if not draft.text:
                    raise DeadlineExceeded(f"The model did not answer within {self._timeout:g} s.") from error
                draft.outcome.finish_reason = "length"

    async def _prompt(self, scene: Scene) -> Prompt:
        bare = self._assembled(scene, ())
        recalled = await self._recalled(scene, bare)
        if recalled.told:
            scene.told.append(recalled.told)
        return self._assembled(scene, recalled.items) if recalled.items else bare

    def _assembled(self, scene: Scene, recalled: Sequence[str]) -> Prompt:
        return assemble(
            scene.character,
            scene.turns(),
            scene.ask.text,
            recalled=recalled,
            instructions=scene.ask.instructions,
            budget=self._budget,
        )

    async def _recalled(self, scene: Scene, bare: Prompt) -> Recollection:
        """Recall what the prompt does not hold anyway; what fell out of its window may come back."""
        policy = scene.character.memory
        if self._remember is None or not policy.long_term or policy.recall == 0:
            return Recollection((), None)
        held = "\n".join(text_of(message) for message in bare.messages)
        exclude = [message.id for message in scene.history if message.content.strip() in held]
        deadline = Deadline.after(RECALL_SECONDS)
        return await self._remember.recall(
            scene.owner, scene.character.id, scene.ask.text, exclude, deadline, limit=policy.recall or MAX_RECALLED
        )

    async def _stream(self, scene: Scene, prompt: Prompt, draft: Draft) -> None:
        request = ChatRequest(
            messages=prompt.messages,
            sampling={"stream_options": WITH_USAGE, **prompt.sampling, **scene.ask.sampling},
            conversation=scene.ask.conversation_id or scene.character.id,
            prefix=prompt.prefix,
            model=self._cast.model_of(scene.character),
        )
        name = request.model or self._language.name
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": name}
        with self._tracer.start_as_current_span(f"chat {name}", kind=SpanKind.CLIENT, attributes=attributes) as span:
            try:
                async with aclosing(self._language.stream(request, Deadline.after(self._timeout))) as chunks:
                    async for chunk in chunks:
                        if draft.take(chunk):
                            self._first_text.record(time.perf_counter() - draft.began, attributes)
            except ChatacterError as error:
                span.set_status(StatusCode.ERROR)
                span.set_attribute("error.type", error.code)
                raise
            span.set_attributes(draft.outcome.attributes())

    async def _settle(self, scene: Scene, draft: Draft, status: Status) -> None:
        """Store what was said, and take back that it is being said. What cannot be done now is told, not hidden."""
        if draft.writer.away:
            scene.told.append(LOG_AWAY)
        conversation_id = scene.ask.conversation_id
        if conversation_id is None:
            return
        with anyio.CancelScope(shield=True):
            await self._store(scene, conversation_id, "".join(draft.text), status)
            with suppress(Unavailable):  # a follower hears from the log that it has ended
                await self._conversations.end_live(scene.owner, conversation_id, scene.reply_id)

    async def _store(self, scene: Scene, conversation_id: str, text: str, status: Status) -> None:
        if scene.question is None or not text:
            return
        owner, character_id = scene.owner, scene.character.id
        answer = Message(scene.message_id, scene.question.id, "assistant", text, self._clock(), character_id, status)
        try:
            await self._conversations.append(owner, conversation_id, [answer])
        except (Unavailable, NotFound):
            scene.told.append(NOT_STORED)
            return
        with suppress(Unavailable):  # the records hold it
            await self._short_term.keep(owner, conversation_id, [*scene.history, scene.question, answer])
        try:
            if self._remember is not None and scene.character.memory.long_term:
                await self._remember.index(owner, character_id, conversation_id, [scene.question, answer])
        except Unavailable:
            scene.told.append(NOT_REMEMBERED)


def explained(error: BaseException) -> ChatacterError:
    """Say why a reply ended, in words for its listener."""
    if isinstance(error, ChatacterError):
        return error
    return Unavailable(CLOSING) if isinstance(error, asyncio.CancelledError) else ChatacterError(INTERNAL)


def created(scene: Scene, now: float) -> dict[str, Any]:
    """Describe a reply that begins."""
    return {
        "reply_id": scene.reply_id,
        "message_id": scene.message_id,
        "conversation_id": scene.ask.conversation_id,
        "user_message_id": scene.question.id if scene.question else None,
        "character_id": scene.character.id,
        "created_at": now,
    }


def completed(scene: Scene, outcome: Outcome) -> dict[str, Any]:
    """Describe a reply that ended by itself."""
    return {
        "message_id": scene.message_id,
        "finish_reason": outcome.finish_reason,
        "usage": outcome.usage,
        "told": scene.told,
    }
