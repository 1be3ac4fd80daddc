"""A character's reply, from the question to the stored answer, as one stream of events.

A reply is written by a task of this process and logged from its first token, so that a listener may leave and go on
elsewhere. Inside it a delta is a parsed chunk of the provider, never a model object.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
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
from chattr.domain.prompt import Budget, Prompt, Turn, assemble
from chattr.ports.language import ChatRequest, LanguageModel
from chattr.ports.records import Conversations
from chattr.ports.sessions import CANCELLED, COMPLETED, CREATED, Event, SessionLog, ShortTerm
from chattr.usecases.characters import Cast
from chattr.usecases.draft import Draft, Outcome, Running
from chattr.usecases.live import Live, LogWriter
from chattr.usecases.remember import Recollection, Remember

RECALL_SECONDS: Final = 2.0
WITH_USAGE: Final = {"include_usage": True}
BAD_ID: Final = "A conversation id has 1 to 128 letters, digits, `_`, `.` or `-`."
NOT_STORED: Final = "This exchange could not be stored; the character will not know of it."
LOG_AWAY: Final = "The reply's log is away; it cannot be resumed elsewhere for now."


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody says to a character. With a conversation the history is ours, else it is in `history`."""

    character_id: str
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
            "gen_ai.server.time_to_first_token", unit="s", description="From the question to the first text"
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
        character = await self._cast.get(owner, ask.character_id)
        scene = Scene(owner, ask, character, new_id("reply"), new_id("msg"), [], None)
        if ask.conversation_id is None:
            return scene
        conversation = await self._conversation(owner, ask.conversation_id, character)
        scene.history = await self._history(owner, conversation)
        parent = scene.history[-1].id if scene.history else None
        scene.question = Message(new_id("msg"), parent, "user", ask.text, self._clock(), character.id)
        await self._conversations.append(owner, conversation.id, [scene.question])
        await self._conversations.set_live(owner, conversation.id, scene.reply_id)
        return scene

    async def _conversation(self, owner: Owner, conversation_id: str, character: Character) -> Conversation:
        if not CONVERSATION_ID.match(conversation_id):
            raise InvalidInput(BAD_ID, param="conversation_id")
        found = await self._conversations.get(owner, conversation_id)
        if found is None:
            found = Conversation(conversation_id, character.id, self._clock())
            await self._conversations.create(owner, found)
        if found.character_id != character.id:
            raise Conflict(
                f"This conversation is with {found.character_id!r}. Begin another one with {character.id!r}.",
                param="conversation_id",
            )
        return found

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
        writer = LogWriter(self._log, scene.owner, scene.reply_id, running.scope)
        draft = Draft(running, writer, writer.event(CREATED, created(scene, self._clock())))
        await writer.flush()
        async with writer.running():
            try:
                ending = await self._generated(scene, draft)
            except ChatacterError as error:
                draft.fail(error)
            except Exception:
                draft.fail(ChatacterError(INTERNAL))
                raise
            else:
                draft.hear(ending)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._settle(scene)

    async def _generated(self, scene: Scene, draft: Draft) -> Event:
        scope = draft.running.scope
        with scope:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._stream(scene, await self._prompt(scene), draft)
            except TimeoutError as error:
                if not draft.text:
                    raise DeadlineExceeded(f"The model did not answer within {self._timeout:g} s.") from error
                draft.outcome.finish_reason = "length"
        with anyio.CancelScope(shield=True):
            await self._store(scene, "".join(draft.text), cancelled=scope.cancel_called)
        if draft.writer.away:
            scene.told.append(LOG_AWAY)
        if scope.cancel_called:
            return draft.writer.event(CANCELLED, {"message_id": scene.message_id, "told": scene.told})
        return draft.writer.event(COMPLETED, completed(scene, draft.outcome))

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
        if self._remember is None:
            return Recollection((), None)
        held = "\n".join(message["content"] for message in bare.messages)
        exclude = [message.id for message in scene.history if message.content.strip() in held]
        deadline = Deadline.after(RECALL_SECONDS)
        return await self._remember.recall(scene.owner, scene.character.id, scene.ask.text, exclude, deadline)

    async def _stream(self, scene: Scene, prompt: Prompt, draft: Draft) -> None:
        request = ChatRequest(
            messages=prompt.messages,
            sampling={"stream_options": WITH_USAGE, **prompt.sampling, **scene.ask.sampling},
            conversation=scene.ask.conversation_id or scene.character.id,
            prefix=prompt.prefix,
        )
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": self._language.name}
        with self._tracer.start_as_current_span(
            f"chat {self._language.name}", kind=SpanKind.CLIENT, attributes=attributes
        ) as span:
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

    async def _store(self, scene: Scene, text: str, *, cancelled: bool) -> None:
        """Add the answer to the conversation and to memory. What cannot be stored now is told, not hidden."""
        conversation_id = scene.ask.conversation_id
        if conversation_id is None or scene.question is None or not text:
            return
        status: Status = "cancelled" if cancelled else "complete"
        answer = Message(
            scene.message_id, scene.question.id, "assistant", text, self._clock(), scene.character.id, status
        )
        try:
            await self._conversations.append(scene.owner, conversation_id, [answer])
            await self._short_term.keep(scene.owner, conversation_id, [*scene.history, scene.question, answer])
            if self._remember is not None:
                await self._remember.index(scene.owner, scene.character.id, conversation_id, [scene.question, answer])
        except (Unavailable, NotFound):
            scene.told.append(NOT_STORED)

    async def _settle(self, scene: Scene) -> None:
        if scene.ask.conversation_id is not None:
            try:
                await self._conversations.set_live(scene.owner, scene.ask.conversation_id, None)
            except Unavailable:
                scene.told.append(NOT_STORED)


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
