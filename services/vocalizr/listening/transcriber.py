"""What is said: the port, and a transcript."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vocalizr.backend import Recording

# What transcribers listen at; a recording at another rate is brought to it.
RATE: Final = 16_000


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One word, and when it is heard, in seconds."""

    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A few words that belong together. The numbers beside them are Whisper's own, as OpenAI tells them."""

    text: str
    start: float
    end: float
    seek: int
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: tuple[HeardWord, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that was said. `language` is the one that was told or else heard, `seconds` how long the sound is."""

    language: str
    seconds: float
    passages: Sequence[Passage]

    @property
    def text(self) -> str:
        """What was said, in one line."""
        return " ".join(passage.text.strip() for passage in self.passages).strip()


@dataclass(frozen=True, slots=True)
class Hint:
    """What is known of a recording beforehand, and what is asked of its transcript beside the text."""

    language: str | None = None
    prompt: str | None = None
    temperature: float = 0.0
    words: bool = False


class Transcriber(Protocol):
    """Writes down what is said. The constructor does no work; every method blocks and is called off the event loop."""

    @property
    def name(self) -> str:
        """The model's id, as requests name it."""
        ...

    def load(self) -> None:
        """Make it ready. Raises `Misconfigured` when something has to be installed first; may be called again."""
        ...

    def transcribe(self, recording: Recording, hint: Hint, cancelled: threading.Event) -> Transcript:
        """Write down what is said; ends early once `cancelled` is set. Raises `Unsupported` for another language."""
        ...

    def close(self) -> None:
        """Free what `load` took."""
        ...
