"""A reply's surroundings, all in memory, with a model that talks as the test lets it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from chatacter.chassis.deadline import Deadline
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.sessions import FakeSessionLog, FakeShortTerm
from chattr.domain.character import Character
from chattr.domain.identity import Owner
from chattr.domain.prompt import Budget
from chattr.ports.language import ChatRequest, Chunk
from chattr.ports.replies import ReplyCache
from chattr.ports.sessions import Event
from chattr.usecases.characters import Cast
from chattr.usecases.draft import Heard
from chattr.usecases.live import Live
from chattr.usecases.reply import Reply, Surroundings

ANN = Owner("acme", "ann")
ADA = Character(id="ada", name="Ada", personality="Curious.")
MIRA = Character(id="mira", name="Mira", personality="Cheerful.")
LEO = Character(id="leo", name="Leonardo da Vinci", nickname="Leo", personality="Observant.")


@dataclass
class Talker:
    """A model that says words, one at a time, as the test lets it."""

    words: tuple[str, ...] = ("Good ", "day", "!")
    error: Exception | None = None
    fails_after: int = 0
    step: asyncio.Semaphore | None = None
    reason: str | None = "stop"
    name: str = "talker"
    asked: list[ChatRequest] = field(default_factory=list)
    closed: int = 0
    script: list[str] = field(default_factory=list)
    """Whole answers, one a request; `words` where there is none."""

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        self.asked.append(request)
        words = (self.script.pop(0),) if self.script else self.words
        try:
            for number, word in enumerate(words):
                if self.error is not None and number == self.fails_after:
                    raise self.error
                if self.step is not None:
                    await self.step.acquire()
                yield {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
            ended = {"index": 0, "delta": {}, "finish_reason": self.reason}
            yield {"choices": [ended], "usage": {"completion_tokens": 3}}
        finally:
            self.closed += 1

    async def check(self) -> str | None:
        return None


@dataclass
class Stage:
    """A reply's surroundings, all in memory."""

    talker: Talker
    conversations: FakeConversations = field(default_factory=FakeConversations)
    short_term: FakeShortTerm = field(default_factory=FakeShortTerm)
    log: FakeSessionLog = field(default_factory=FakeSessionLog)
    live: Live = field(default_factory=Live)
    timeout: float = 5.0
    people: dict[str, Character] = field(default_factory=lambda: {"ada": ADA, "mira": MIRA, "leo": LEO})

    def cast(self) -> Cast:
        return Cast(self.people, {}, FakeCharacters(), default="ada")

    def reply(self, replies: ReplyCache | None = None) -> Reply:
        around = Surroundings(
            cast=self.cast(),
            language=self.talker,
            remember=None,
            conversations=self.conversations,
            short_term=self.short_term,
            log=self.log,
            replies=replies,
        )
        return Reply(
            around,
            live=self.live,
            budget=Budget(context_tokens=1024, max_tokens=64),
            timeout=self.timeout,
            tracer=NoOpTracerProvider().get_tracer("test"),
            meter=NoOpMeterProvider().get_meter("test"),
        )


async def all_of(heard: AsyncGenerator[Heard]) -> list[Event]:
    return [item.event async for item in heard if item.event is not None]
