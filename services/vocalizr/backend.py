"""What a speech backend is: `load`, one streaming verb, `close`, and capabilities that callers test."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.errors import InvalidInput
from chatacter.contracts.speech import Phoneme, Voice
from chatacter.serving.batching import Joining, Left, Made, nobody
from chatacter.serving.licences import Licence

Samples = NDArray[np.float32]

NOTHING_TO_SAY: Final = "input: there is nothing in this text that this model can pronounce."
NO_SOUND: Final = "What the model said in this voice is no sound: its numbers have left their range."
NO_CLONING: Final = "This model has its own voices and cannot speak in another's."


class NothingToSay(InvalidInput):
    """There is nothing in a text that a model can pronounce."""


@dataclass(frozen=True, slots=True)
class Together:
    """How much a backend speaks in one go: at most `pieces`, of at most `symbols` together.

    `padded`: each piece costs as much as the longest beside it, so that pieces of like length belong together.
    `joining`: it speaks in steps, and takes others in between two of them: it is a `SpeaksInSteps`.
    """

    pieces: int
    symbols: int
    padded: bool = True
    joining: bool = False


@dataclass(frozen=True, slots=True)
class SpeechCapabilities:
    """What a backend can do; nothing is asked of it that is not in here.

    `languages` are BCP 47 tags, `sample_rate` samples a second, `speed` the slowest and the fastest factor;
    `licence` is that of the weights, None where nobody knows it. One with `together` is a `SpeaksTogether`: it speaks
    several texts in one go. `places` are the texts that it speaks side by side, where the service has no say in it.
    With `seeds`, the same text with the same seed sounds the same. `drawn` are the voices that are somebody else for
    each utterance. Two are told once it is loaded: `device`, where it computes and in which numbers, and `learns`, by
    which the weights are named that learn voices: what others have learnt is of no use to them.
    """

    languages: frozenset[str]
    sample_rate: int
    cloning: bool
    instructions: bool
    timings: bool
    speed: tuple[float, float]
    max_characters: int
    licence: Licence | None = None
    together: Together | None = None
    places: int | None = None
    blending: bool = False
    seeds: bool = False
    drawn: frozenset[str] = frozenset()
    device: str | None = None
    learns: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """Somebody speaking: mono samples in [-1, 1], `rate` of them a second."""

    samples: Samples
    rate: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text to speak, checked against the capabilities. `language` is None for the voice's own.

    `likeness` is what `conditioned` returned for a cloned voice, or `blended` for a designed one; `voice` is then only
    its name, and `language` is told.
    """

    text: str
    voice: str
    speed: float
    language: str | None
    instructions: str | None
    likeness: bytes | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of sound that can be heard at once.

    `samples` are mono in [-1, 1] at the backend's rate. Phonemes, where the backend has timings, cover the piece
    without a gap; their times are seconds from the start of the whole sound.
    """

    samples: Samples
    phonemes: tuple[Phoneme, ...] = ()

    def later(self, seconds: float) -> "SpeechChunk":
        """Return it with its times moved."""
        moved = tuple(
            each.model_copy(update={"start": each.start + seconds, "end": each.end + seconds}) for each in self.phonemes
        )
        return replace(self, phonemes=moved)


class SpeechBackend(Protocol):
    """A model that speaks. The constructor does no work; every method blocks and is called off the event loop."""

    @property
    def capabilities(self) -> SpeechCapabilities:
        """What it can do. Loading adds `device` and `learns`, and what only weights that were not here before tell."""
        ...

    def load(self) -> None:
        """Make it ready to speak. Raises `Misconfigured` when something has to be installed or set first."""
        ...

    def voices(self) -> Sequence[Voice]:
        """List the voices that can be asked for, in a stable order."""
        ...

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Speak clause by clause, the first one short. Ends early once `cancelled` is set.

        Raises `NothingToSay` before the first chunk for a text in which there is nothing to pronounce.
        """
        ...

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Return what makes this model speak as in these recordings, for `Utterance.likeness`.

        Any replica of the same model can use it; it is plain numbers (safetensors or npz), never code (pickle). Raises
        `Unsupported` where the capabilities have no cloning, `InvalidInput` for recordings that cannot be used.
        """
        ...

    def close(self) -> None:
        """Free what `load` took. May be called without it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A part of an utterance that is spoken in one go: its number, its length, and what only its backend knows."""

    number: int
    symbols: int
    content: Any


class SpeaksTogether(SpeechBackend, Protocol):
    """A backend that speaks pieces of several texts, in several voices, in one go.

    What a piece sounds like must not depend on the pieces beside it, but for rounding, which in half precision may
    decide what is drawn.
    """

    def pieces(self, utterance: Utterance) -> Iterable[Piece]:
        """Cut an utterance into pieces, the first one short; best as they are wanted, since a text may be a chapter.

        Raises `NothingToSay`, at the latest where the first piece is asked for, when there is nothing to pronounce.
        """
        ...

    def speak_together(
        self, pieces: Sequence[Piece], cancelled: Sequence[threading.Event]
    ) -> Iterator[Made[SpeechChunk] | Left]:
        """Speak pieces; the times of a chunk's phonemes begin with its piece. What is cancelled may be left out."""
        ...


class SpeaksInSteps(SpeaksTogether, Protocol):
    """A backend whose capabilities have `together.joining`: who comes later joins those who are spoken already."""

    def speak_together(
        self, pieces: Sequence[Piece], cancelled: Sequence[threading.Event], joining: Joining[Piece] = nobody
    ) -> Iterator[Made[SpeechChunk] | Left]:
        """Speak pieces, and those that `joining` returns: it is asked after each step, whatever is spoken then.

        What is cancelled is left out from the next step on and told as `Left`; so is, with its error, what fails alone.
        """
        ...


class Blending(SpeechBackend, Protocol):
    """A backend whose capabilities have `blending`."""

    def blended(self, shares: Mapping[str, float]) -> bytes:
        """Return what makes this model speak in a mean of its voices, for `Utterance.likeness`.

        Shares are above zero and need not add up to one. The bytes are plain numbers, as those of `conditioned`.
        """
        ...
