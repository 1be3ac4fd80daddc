"""What films: the protocol that every video backend keeps, and what it is handed and hands back."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from chatacter.contracts.speech import Phoneme
from chatacter.contracts.video import VideoFormat
from chatacter.serving.licences import Licence

# Whether a backend does nothing with a part of a request, takes it where it is there, or cannot do without it.
Use = Literal["unused", "optional", "required"]


@dataclass(frozen=True, slots=True)
class VideoCapabilities:
    """What a backend can do; constant from its construction on. Callers look here, never at its class."""

    prompt: Use
    image: Use
    sound: Use
    image_types: frozenset[str]
    """Media types of an image that it takes."""
    formats: frozenset[VideoFormat]
    licence: Licence | None = None
    """That of the weights; None where nobody knows it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as it was sent. Its kind, and the pixels that it claims to have, are checked; its content is not."""

    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Sound:
    """What is heard: mono float32 samples in [-1, 1]."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True)
class Shot:
    """What is to be filmed: a request whose parts are decoded, whose defaults are filled in and whose limits hold."""

    prompt: str
    image: Picture | None
    sound: Sound | None
    phonemes: tuple[Phoneme, ...]
    width: int
    height: int
    fps: int
    seed: int
    output_format: VideoFormat


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the film is done, from 0 to 1."""

    done: float


@dataclass(frozen=True, slots=True)
class Film:
    """A finished film: an encoded file."""

    data: bytes
    media_type: str
    seconds: float
    width: int
    height: int
    fps: int


class VideoBackend(Protocol):
    """A way to make films. Its constructor does no work; all methods block and are called in threads."""

    @property
    def capabilities(self) -> VideoCapabilities:
        """What it can do."""
        ...

    def load(self) -> None:
        """Get ready to film. Raises `Misconfigured` when something must be installed or set first."""
        ...

    def film(self, shot: Shot, cancelled: threading.Event) -> Iterator[Progress | Film]:
        """Make one film; yield progress as it grows and the film last.

        Once `cancelled` is set, or the iterator is closed, it ends within one frame and without a film.
        Raises `InvalidInput` before the first piece when the image or the sound cannot be filmed.
        """
        ...

    def close(self) -> None:
        """Let go of what `load` took."""
        ...
