"""A character's reply, from the question to the stored answer, as one stream of events.

A reply is written by a task of this process and logged from its first token, so that a listener may leave and go on
elsewhere. Inside it a delta is a parsed chunk of the provider, never a model object.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, Conflict, DeadlineExceeded, InvalidInput, NotFound, Unavailable
from chatacter.chassis.problems import INTERNAL
from chattr.domain.character import Character
from chattr.domain.conversation import CONVERSATION_ID, Conversation, Message, branch
from chattr.domain.identity import Owner, new_id
from chattr.domain.prompt import Budget, Prompt, Turn, assemble
from chattr.ports.language import ChatRequest, Chunk, LanguageModel, finish_reason_of, text_of
from chattr.ports.records import Conversations
from chattr.ports.sessions import CANCELLED, COMPLETED, CREATED, DELTA, FAILED, TERMINAL, Event, SessionLog, ShortTerm
from chattr.usecases.characters import Cast
from chattr.usecases.live import Live, LogWriter
from chattr.usecases.remember import Recollection, Remember

RECALL_SECONDS: Final = 2.0
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


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as the listener on this process gets it; `chunk` is the provider's own, for a delta."""

    event: Event
    chunk: Chunk | None = None


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


class Running:
    """A reply that is being written. Closing `heard` stops it, unless it was started `detached`."""

    def __init__(self, reply_id: str, *, detached: bool) -> None:
        self.reply_id = reply_id
        self.scope = anyio.CancelScope()
        self._detached = detached
        self._queue: asyncio.Queue[Heard | ChatacterError] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def begin(self, task: asyncio.Task[None]) -> None:
        """Say which task writes."""
        self._task = task

    def put(self, item: Heard | ChatacterError) -> None:
        """Hand an event, or the error that ends it all, to the listener."""
        self._queue.put_nowait(item)

    async def heard(self) -> AsyncGenerator[Heard]:
        """Yield the events to the terminal one. Raises the error of a reply that failed before its first text."""
        try:
            while True:
                item = await self._queue.get()
                if isinstance(item, ChatacterError):
                    raise item
                yield item
                if item.event.type in TERMINAL:
                    return
        finally:
            if not self._detached and self._task is not None and not self._task.done():
                self.scope.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([self._task])


class Reply:
    """Makes characters answer."""

    def __init__(
        self,
        *,
        cast: Cast,
        language: LanguageModel,
        remember: Remember | None,
        conversations: Conversations,
        short_term: ShortTerm,
        log: SessionLog,
        live: Live,
        budget: Budget,
        timeout: float,
        tracer: Tracer,
        meter: Meter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cast = cast
        self._language = language
        self._remember = remember
        self._conversations = conversations
        self._short_term = short_term
        self._log = log
        self._live = live
        self._budget = budget
        self._timeout = timeout
        self._tracer = tracer
        self._clock = clock
        self._first_text = meter.create_histogram(
            "gen_ai.server.time_to_first_token", unit="s", description="From the question to the first text"
        )

    async def start(self, owner: Owner, ask: Ask, *, detached: bool) -> Running:
        """Begin a reply. What was asked is stored before the model is. Raises `NotFound`, `InvalidInput`, `Unavailable`.

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
        text: list[str] = []
        opening = writer.event(CREATED, created(scene, self._clock()))
        await writer.flush()
        async with writer.running():
            started = False

            def hear(item: Heard) -> None:
                nonlocal started
                if not started:
                    running.put(Heard(opening))
                    started = True
                running.put(item)

            try:
                ending = await self._generated(scene, running, writer, text, hear)
            except ChatacterError as error:
                ending = writer.event(FAILED, failure(error))
                if not started:
                    running.put(error)
            except Exception:
                writer.event(FAILED, failure(ChatacterError(INTERNAL)))
                running.put(ChatacterError(INTERNAL))
                raise
            finally:
                with anyio.CancelScope(shield=True):
                    await self._settle(scene)
            hear(Heard(ending))

    async def _generated(
        self, scene: Scene, running: Running, writer: LogWriter, text: list[str], hear: Callable[[Heard], None]
    ) -> Event:
        began = time.perf_counter()
        outcome = Outcome()
        with running.scope:
            try:
                async with asyncio.timeout(self._timeout):
                    prompt = await self._prompt(scene)
                    await self._stream(scene, prompt, outcome, writer, text, hear, began)
            except TimeoutError as error:
                if not text:
                    raise DeadlineExceeded(f"The model did not answer within {self._timeout:g} s.") from error
                outcome.finish_reason = "length"
        stopped = running.scope.cancel_called
        with anyio.CancelScope(shield=True):
            await self._store(scene, "".join(text), cancelled=stopped)
        if writer.away:
            scene.told.append(LOG_AWAY)
        if stopped:
            return writer.event(CANCELLED, {"message_id": scene.message_id, "told": scene.told})
        return writer.event(COMPLETED, completed(scene, outcome))

    async def _prompt(self, scene: Scene) -> Prompt:
        recalled = await self._recalled(scene)
        if recalled.told:
            scene.told.append(recalled.told)
        return assemble(
            scene.character,
            scene.turns(),
            scene.ask.text,
            recalled=recalled.items,
            instructions=scene.ask.instructions,
            budget=self._budget,
        )

    async def _recalled(self, scene: Scene) -> Recollection:
        if self._remember is None:
            return Recollection((), None)
        exclude = [message.id for message in scene.history]
        deadline = Deadline.after(RECALL_SECONDS)
        return await self._remember.recall(scene.owner, scene.character.id, scene.ask.text, exclude, deadline)

    async def _stream(
        self,
        scene: Scene,
        prompt: Prompt,
        outcome: "Outcome",
        writer: LogWriter,
        text: list[str],
        hear: Callable[[Heard], None],
        began: float,
    ) -> None:
        request = ChatRequest(
            messages=prompt.messages,
            sampling={**prompt.sampling, **scene.ask.sampling},
            conversation=scene.ask.conversation_id or scene.character.id,
        )
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": self._language.name}
        with self._tracer.start_as_current_span(
            f"chat {self._language.name}", kind=SpanKind.CLIENT, attributes=attributes
        ) as span:
            try:
                async with aclosing(self._language.stream(request, Deadline.after(self._timeout))) as chunks:
                    async for chunk in chunks:
                        piece = outcome.take(chunk)
                        if piece and not text:
                            self._first_text.record(time.perf_counter() - began, attributes)
                        text.append(piece)
                        hear(Heard(writer.event(DELTA, {"text": piece}), chunk))
            except ChatacterError as error:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", type(error).__name__)
                raise
            span.set_attributes(outcome.attributes())

    async def _store(self, scene: Scene, text: str, *, cancelled: bool) -> None:
        """Add the answer to the conversation and to memory. What cannot be stored now is told, not hidden."""
        conversation_id = scene.ask.conversation_id
        if conversation_id is None or scene.question is None or not text:
            return
        status = "cancelled" if cancelled else "complete"
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


@dataclass(slots=True)
class Outcome:
    """What the provider said besides the text."""

    finish_reason: str = "stop"
    usage: dict[str, Any] | None = None
    model: str | None = None

    def take(self, chunk: Chunk) -> str:
        """Note what a chunk tells and return its text, which may be empty."""
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        self.finish_reason = finish_reason_of(chunk) or self.finish_reason
        return text_of(chunk)

    def attributes(self) -> dict[str, Any]:
        """Describe it in OpenTelemetry's GenAI conventions."""
        usage = self.usage or {}
        return {
            "gen_ai.response.finish_reasons": [self.finish_reason],
            "gen_ai.usage.input_tokens": usage.get("prompt_tokens", 0),
            "gen_ai.usage.output_tokens": usage.get("completion_tokens", 0),
        }


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


def failure(error: ChatacterError) -> dict[str, Any]:
    """Describe why a reply failed."""
    return {"code": error.code, "message": error.message, "retryable": error.retryable}
