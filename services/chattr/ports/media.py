"""The predictors: Vocalizr speaks, Visualizr films, and both answer KServe's protocols.

Every call takes a deadline. What goes wrong before the first item is told as it is: `Unavailable` when nobody listens,
`Busy` or `NotReady` with a time to come back; a predictor lost in the middle is `UpstreamFailed`. Closing a generator
ends the connection at once, and with it the work at the other end. Every call is a connection of its own, so that a
balancer chooses anew.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chatacter.chassis.deadline import Deadline
from chatacter.contracts.speech import SpeechDelta, SpeechDone, SpeechRequest, Voice
from chatacter.contracts.video import VideoEvent, VideoGenerationRequest


class Speaker(Protocol):
    """Turns text into sound."""

    def speak(self, request: SpeechRequest, deadline: Deadline) -> AsyncGenerator[bytes]:
        """Yield encoded sound as it is made; with `stream_format=sse` the events as they travel."""
        ...

    def speech_events(self, request: SpeechRequest, deadline: Deadline) -> AsyncGenerator[SpeechDelta | SpeechDone]:
        """Yield sound with the timings of its phonemes, `SpeechDone` last."""
        ...

    async def voices(self, deadline: Deadline) -> Sequence[Voice]:
        """Return the voices that can be asked for."""
        ...

    async def models(self, deadline: Deadline) -> Sequence[str]:
        """Return the speech models that are served."""
        ...


class Filmer(Protocol):
    """Makes films."""

    def film(self, request: VideoGenerationRequest, deadline: Deadline) -> AsyncGenerator[VideoEvent]:
        """Yield progress at least each second, then the finished film or why there is none."""
        ...

    async def models(self, deadline: Deadline) -> Sequence[str]:
        """Return the video models that are served."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a predictor answered, passed on as it is. Close `chunks` when it is not read to the end."""

    media_type: str
    headers: Mapping[str, str]
    chunks: AsyncGenerator[bytes]


class Inference(Protocol):
    """A predictor by KServe's protocols."""

    async def models(self, deadline: Deadline) -> Sequence[str]:
        """Return the models that it serves."""
        ...

    async def ask(
        self, method: str, path: str, deadline: Deadline, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Pass a request on and return the answer once it begins."""
        ...
