"""Predictors that speak and film at once, and do as a test tells them."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, DeadlineExceeded, NotFound
from chatacter.contracts.speech import Phoneme, SpeechDelta, SpeechDone, SpeechRequest, SpeechUsage, Voice
from chatacter.contracts.video import (
    Rendition,
    VideoCompleted,
    VideoEvent,
    VideoFailed,
    VideoGenerationRequest,
    VideoProgress,
)
from chattr.ports.media import Answer, Listing, Question

FILM = b"\x1aE\xdf\xa3 a film"
SOUND = (b"RIFF", b"\xff\xff\xff\xffWAVE", b"sound")


class Scripted:
    """What both fakes share. `refusals` are raised one a call, before the first item; then it works.

    `away` is what it says instead of listing anything, `known` the models of which it is known without asking.
    `hold_at` names the item before which a call waits for `released`; `lost_at` the one before which it fails.
    """

    def __init__(self, served: Sequence[str]) -> None:
        self.served = list(served)
        self.known: frozenset[str] = frozenset()
        self.away: ChatacterError | None = None
        self.refusals: list[ChatacterError] = []
        self.hold_at: int | None = None
        self.released = asyncio.Event()
        self.lost_at: tuple[int, ChatacterError] | None = None
        self.requests: list[Any] = []
        self.started = 0
        self.stopped = 0
        self.finished = 0

    def named(self, model: str) -> bool:
        """Whether a test says that a model is known without asking."""
        return model in self.known

    async def models(self, deadline: Deadline) -> Listing[str]:
        """Return what is served."""
        return Listing(unknown=self.away) if self.away else Listing(self.served)

    def begin(self, request: Any, model: str, deadline: Deadline) -> None:
        """Take a request, or refuse it as told."""
        self.requests.append(request)
        if self.refusals:
            raise self.refusals.pop(0)
        if not deadline.remaining:
            raise DeadlineExceeded("It took longer than it was given.")
        if model not in self.served:
            raise NotFound(f"No such model here. This service serves: {', '.join(self.served)}.", param="model")
        self.started += 1

    async def step(self, number: int) -> None:
        """Do what the script says before an item: nothing, wait, or fail."""
        if self.lost_at is not None and self.lost_at[0] == number:
            raise self.lost_at[1]
        if self.hold_at == number:
            await self.released.wait()


class FakeSpeaker(Scripted):
    """Says the same sound for every text, in three pieces."""

    def __init__(self, served: Sequence[str] = ("kokoro",), voices: Sequence[str] = ("af_heart", "bm_george")) -> None:
        super().__init__(served)
        self._voices = voices
        self.tenants: list[str] = []

    async def speak(self, request: SpeechRequest, deadline: Deadline, tenant: str) -> AsyncGenerator[bytes]:
        """Yield the sound."""
        self.tenants.append(tenant)
        self.begin(request, request.model, deadline)
        try:
            for number, piece in enumerate(SOUND):
                await self.step(number)
                yield piece
            self.finished += 1
        finally:
            self.stopped += 1

    async def speech_events(
        self, request: SpeechRequest, deadline: Deadline, tenant: str
    ) -> AsyncGenerator[SpeechDelta | SpeechDone]:
        """Yield the sound with timings."""
        self.tenants.append(tenant)
        self.begin(request, request.model, deadline)
        try:
            for number, piece in enumerate(SOUND):
                await self.step(number)
                phoneme = Phoneme(symbol="a", start=number / 10, end=(number + 1) / 10)
                yield SpeechDelta(audio=base64.b64encode(piece).decode(), phonemes=[phoneme])
            yield SpeechDone(usage=SpeechUsage(input_characters=len(request.input), audio_milliseconds=300))
            self.finished += 1
        finally:
            self.stopped += 1

    async def voices(self, deadline: Deadline, tenant: str) -> Listing[Voice]:
        """Return the voices."""
        if self.away:
            return Listing(unknown=self.away)
        return Listing([Voice(id=name, name=name, model=self.served[0], language="en-US") for name in self._voices])


class FakeFilmer(Scripted):
    """Films at once. `failure` is what it answers instead of a film; `renditions` come with one."""

    def __init__(self, served: Sequence[str] = ("portrait",)) -> None:
        super().__init__(served)
        self.failure: VideoFailed | None = None
        self.renditions: list[Rendition] = []

    async def film(self, request: VideoGenerationRequest, deadline: Deadline) -> AsyncGenerator[VideoEvent]:
        """Yield progress, then the film."""
        self.begin(request, request.model, deadline)
        try:
            for number in range(3):
                await self.step(number)
                yield VideoProgress(progress=number / 3)
            await self.step(3)
            if self.failure is not None:
                yield self.failure
                return
            yield VideoCompleted(
                video=base64.b64encode(FILM).decode(),
                media_type="video/webm",
                seconds=0.3,
                width=512,
                height=512,
                fps=25,
                renditions=self.renditions,
                metadata={"model": request.model, "seed": request.seed},
            )
            self.finished += 1
        finally:
            self.stopped += 1


class FakeInference(Scripted):
    """Echoes what it is asked."""

    async def ask(self, model: str, question: Question, deadline: Deadline) -> Answer:
        """Answer with the method, the path and the body."""
        method, path, body = question.method, question.path, question.body
        self.begin((method, path, body, dict(question.headers)), model, deadline)

        async def chunks() -> AsyncGenerator[bytes]:
            try:
                for number, piece in enumerate((f"{method} {path} ".encode(), body)):
                    await self.step(number)
                    yield piece
                self.finished += 1
            finally:
                self.stopped += 1

        return Answer("application/json", {}, chunks())
