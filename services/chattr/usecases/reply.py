"""A character's reply, from the question to the stored answer, as one stream of events.

A reply is written by a task of this process and logged from its first token, so that a listener may leave and go on
elsewhere. Inside it a delta is a parsed chunk of the provider, never a model object.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from chatacter.chassis.errors import ChatacterError, DeadlineExceeded, Unavailable
from chatacter.chassis.problems import INTERNAL
from chattr.domain.character import Character
from chattr.domain.conversation import Status, branch
from chattr.domain.identity import Owner
from chattr.domain.prompt import Budget, Prompt
from chattr.ports.language import ChatRequest, LanguageModel
from chattr.ports.lorebooks import Lorebooks
from chattr.ports.records import Conversations
from chattr.ports.replies import ReplyCache
from chattr.ports.sessions import CANCELLED, COMPLETED, CREATED, SessionLog, ShortTerm
from chattr.usecases.caching import Caching
from chattr.usecases.characters import Cast
from chattr.usecases.draft import Draft, Outcome, Running
from chattr.usecases.generating import Generating
from chattr.usecases.live import Live, LogWriter
from chattr.usecases.prompting import Prompting
from chattr.usecases.remember import Remember
from chattr.usecases.scene import Ask, Next, Scene
from chattr.usecases.scenes import Scenes
from chattr.usecases.summing import Summing
from chattr.usecases.turns import Turns

WITH_USAGE: Final = {"include_usage": True}
# Two names of one limit; a provider refuses both together.
OLD_LIMIT: Final = "max_tokens"
NEW_LIMIT: Final = "max_completion_tokens"
CLOSING: Final = "The process that wrote this reply is shutting down. Ask again; what was said so far stands."
LOG_AWAY: Final = "The reply's log is away; it cannot be resumed elsewhere for now."


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a reply needs of the world. Without `remember` there is no long-term memory, without `replies` no cache,
    without `lorebooks` none that characters share, without `summing` nothing is summed up.
    """

    cast: Cast
    language: LanguageModel
    remember: Remember | None
    conversations: Conversations
    short_term: ShortTerm
    log: SessionLog
    replies: ReplyCache | None = None
    lorebooks: Lorebooks | None = None
    summing: Summing | None = None


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
        self._prompting = Prompting(
            around.cast, around.conversations, around.remember, around.lorebooks, around.summing, budget
        )
        self._summing = around.summing
        self._turns = Turns(around.cast, around.language)
        self._conversations = around.conversations
        self._scenes = Scenes(around.cast, around.conversations, around.short_term, turns=self._turns, clock=clock)
        self._log = around.log
        self._live = live
        self._timeout = timeout
        self._clock = clock
        self._generating = Generating(
            around.language, Caching(around.replies), timeout=timeout, tracer=tracer, meter=meter
        )

    async def start(self, owner: Owner, ask: Ask, *, detached: bool) -> Running:
        """Begin a reply. What was said is stored first. Raises `NotFound`, `InvalidInput`, `Conflict`, `Unavailable`.

        `detached`: the reply goes on when its listener leaves.
        """
        scene = await self._scenes.set(owner, ask)
        running = Running(scene.reply_id, scene.message_id, detached=detached)
        running.begin(self._live.start(self._write(scene, running)))
        return running

    async def rounds(self, owner: Owner, ask: Ask) -> AsyncGenerator[Running]:
        """Begin a reply and, in a group, those that follow it by themselves: each once the one before has ended.

        They go on when their listener leaves; none begins that nobody waits for.
        """
        running = await self.start(owner, ask, detached=True)
        yield running
        while (speaker := await self._following(owner, ask.conversation_id, running.message_id)) is not None:
            place = Next(running.message_id)
            more = Ask(speaker.id, "", ask.conversation_id, sampling=ask.sampling, place=place, cache=ask.cache)
            running = await self.start(owner, more, detached=True)
            yield running

    async def _following(self, owner: Owner, conversation_id: str | None, message_id: str) -> Character | None:
        """Choose who speaks after a reply, if it is whole and others are there."""
        conversation = await self._conversations.get(owner, conversation_id) if conversation_id else None
        if conversation is None or not conversation.members:
            return None
        path = branch(await self._conversations.messages(owner, conversation.id), message_id)
        if not path or path[-1].status != "complete":
            return None
        return await self._turns.following(await self._turns.company(owner, conversation, path), path)

    async def preview(self, owner: Owner, ask: Ask) -> tuple[Scene, Prompt]:
        """Return what a reply would be asked for. Nothing is stored, no model is asked. Raises as `start` does."""
        scene = await self._scenes.imagined(owner, ask)
        return scene, await self._prompting.write(scene)

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
                ending = {"message_id": scene.message_id, "stored": scene.stored, "told": scene.told}
                draft.hear(writer.event(CANCELLED, ending))
            else:
                draft.hear(writer.event(COMPLETED, completed(scene, draft.outcome)))
        await self._look_back(scene)

    async def _generate(self, scene: Scene, draft: Draft) -> None:
        with draft.running.scope:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._stream(scene, await self._prompting.write(scene), draft)
            except TimeoutError as error:
                if not draft.text:
                    raise DeadlineExceeded(f"The model did not answer within {self._timeout:g} s.") from error
                draft.outcome.finish_reason = "length"

    async def _stream(self, scene: Scene, prompt: Prompt, draft: Draft) -> None:
        request = ChatRequest(
            messages=prompt.messages,
            sampling=sampled(prompt.sampling, scene.ask.sampling),
            conversation=scene.ask.conversation_id or scene.character.id,
            prefix=prompt.prefix,
            goes_on=scene.goes_on,
            yielding=frozenset(prompt.sampling.keys() - scene.ask.sampling.keys()),
            model=self._cast.model_of(scene.character),
        )
        await self._generating.run(scene.owner, request, scene.cache, draft)

    async def _look_back(self, scene: Scene) -> None:
        """See to it that what is about to leave the window is summed up."""
        if self._summing is not None and scene.conversation is not None and scene.stored:
            await self._summing.look(scene.owner, scene.conversation.id, scene.character, scene.path)

    async def _settle(self, scene: Scene, draft: Draft, status: Status) -> None:
        """Store what was said, and take back that it is being said. What cannot be done now is told, not hidden."""
        if draft.writer.away:
            scene.told.append(LOG_AWAY)
        with anyio.CancelScope(shield=True):
            await self._scenes.keep(scene, "".join(draft.text), status)
            await self._scenes.end(scene)


def explained(error: BaseException) -> ChatacterError:
    """Say why a reply ended, in words for its listener."""
    if isinstance(error, ChatacterError):
        return error
    return Unavailable(CLOSING) if isinstance(error, asyncio.CancelledError) else ChatacterError(INTERNAL)


def sampled(own: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request: the character's, and over them those that were asked for."""
    kept = {name: value for name, value in own.items() if not (name == OLD_LIMIT and NEW_LIMIT in asked)}
    options = {**(asked.get("stream_options") or {}), **WITH_USAGE}
    return {**kept, **asked, "stream_options": options}


def created(scene: Scene, now: float) -> dict[str, Any]:
    """Describe a reply that begins."""
    return {
        "reply_id": scene.reply_id,
        "message_id": scene.message_id,
        "conversation_id": scene.ask.conversation_id,
        "user_message_id": scene.question.id if scene.question else None,
        "parent_id": scene.parent_id,
        "begun": scene.begun,
        "character_id": scene.character.id,
        "created_at": now,
    }


def completed(scene: Scene, outcome: Outcome) -> dict[str, Any]:
    """Describe a reply that ended by itself."""
    return {
        "message_id": scene.message_id,
        "stored": scene.stored,
        "finish_reason": outcome.finish_reason,
        "usage": outcome.usage,
        "told": scene.told,
    }
