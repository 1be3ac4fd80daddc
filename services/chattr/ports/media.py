"""The predictors: Vocalizr speaks, Visualizr films, and both answer KServe's protocols.

A port stands for all predictors of its modality; the model that a request names picks the one that answers. Every call
takes a deadline. What goes wrong before the first item is told as it is: `Unavailable` when nobody listens, `Busy` or
`NotReady` with a time to come back; a predictor lost in the middle is `UpstreamFailed`. Closing a generator ends the
connection at once, and with it the work at the other end. Every call is a connection of its own, so that a balancer
chooses anew.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError
from chatacter.contracts.speech import SpeechDelta, SpeechDone, SpeechRequest, Voice
from chatacter.contracts.video import VideoEvent, VideoGenerationRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """What the predictors that answer have, and who does not answer, with why: none hides what another has.

    `away` is by model; `unknown` stands for a predictor of which nobody knows what it serves until it answers.
    """

    found: Sequence[T] = ()
    away: Mapping[str, ChatacterError] = field(default_factory=dict)
    unknown: ChatacterError | None = None


class Models(Protocol):
    """The models behind a port."""

    def named(self, model: str) -> bool:
        """Whether it is known without asking that a model is served here."""
        ...

    async def models(self, deadline: Deadline) -> Listing[str]:
        """Return the models that are served."""
        ...


class Speaker(Models, Protocol):
    """Turns text into sound. The deadline is that of its beginning: how long all of it lasts is its listener's."""

    def speak(self, request: SpeechRequest, deadline: Deadline, tenant: str) -> AsyncGenerator[bytes]:
        """Yield encoded sound as it is made; with `stream_format=sse` the events as they travel.

        The tenant is the one whose own voices may be asked for.
        """
        ...

    def speech_events(
        self, request: SpeechRequest, deadline: Deadline, tenant: str
    ) -> AsyncGenerator[SpeechDelta | SpeechDone]:
        """Yield sound, with the timings of its phonemes where `timings` asks for them, and `SpeechDone` last."""
        ...

    async def voices(self, deadline: Deadline, tenant: str) -> Listing[Voice]:
        """Return the voices that a tenant can ask for."""
        ...


class Filmer(Models, Protocol):
    """Makes films."""

    def film(self, request: VideoGenerationRequest, deadline: Deadline) -> AsyncGenerator[VideoEvent]:
        """Yield progress at least each second, then the finished film or why there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """A request to a predictor, passed on as it is."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a predictor answered, passed on as it is. Close `chunks` when it is not read to the end."""

    media_type: str
    headers: Mapping[str, str]
    chunks: AsyncGenerator[bytes]


class Inference(Models, Protocol):
    """Predictors by KServe's protocols."""

    async def ask(self, model: str, question: Question, deadline: Deadline) -> Answer:
        """Pass a question to a model on and return the answer once it begins."""
        ...
