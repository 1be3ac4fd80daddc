"""What films: the protocol that every video backend keeps, and what it is handed and hands back."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from chatacter.contracts.directions import Emotion, Gaze
from chatacter.contracts.speech import Phoneme
from chatacter.contracts.video import Metadata, Quality, RenditionVariant, VideoFormat
from chatacter.serving.licences import Licence

# Whether a backend does nothing with a part of a request, takes it where it is there, or cannot do without it.
Use = Literal["unused", "optional", "required"]


# The parts of a request that only some models know what to do with.
Control = Literal[
    "negative_prompt",
    "num_frames",
    "num_inference_steps",
    "guidance_scale",
    "motion_strength",
    "strength",
    "emotion",
    "emotion_strength",
    "gaze",
]


@dataclass(frozen=True, slots=True)
class Preset:
    """What a film is made with where its request does not say. None: the model has no use for it."""

    width: int = 512
    height: int = 512
    fps: int = 25
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model cannot go beyond. Sides are in pixels; 0 leaves a limit to the settings or to the contract."""

    multiple_of: int = 2
    side: int = 0
    frames: int = 0
    steps: int = 0


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
    video: Use = "unused"
    watches: bool = True
    """Whether it wants a film's frames; one that passes the file on does not."""
    controls: frozenset[Control] = frozenset()
    """The fields of a request that mean something here; any other one of `Control` is refused."""
    limits: Limits = Limits()
    presets: Mapping[Quality, Preset] = field(default_factory=lambda: {"standard": Preset()})
    """By quality. `standard` stands for one that is missing."""
    advice: Mapping[str, str] = field(default_factory=dict)
    """By part of a request: what is said to who sends it where it has no use, or leaves it out where it is needed."""


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
class Clip:
    """Moving pictures that a film is made from: uint8 [frames, height, width, 3], red first; and the file itself.

    The frames are as far apart as those of the film to be made, or none where nobody has to look at them. `fps` is the
    rate of the file.
    """

    frames: NDArray[np.uint8]
    fps: float
    file: Picture


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
    clip: Clip | None = None
    negative_prompt: str = ""
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    motion: float | None = None
    """`motion_strength`, from 0 to 1; 0.5 is what the model does by itself."""
    strength: float | None = None
    quality: Quality = "standard"
    emotion: Emotion | None = None
    emotion_strength: float | None = None
    """From 0 to 1; 0.5 is usual."""
    gaze: Gaze | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the film is done, from 0 to 1; for a model that takes steps, which one of how many is done.

    `preview` is a small picture of what the film is becoming.
    """

    done: float
    step: int | None = None
    steps: int | None = None
    preview: Picture | None = None


@dataclass(frozen=True, slots=True)
class Rendition:
    """A small form of a film: an encoded picture or animation."""

    variant: RenditionVariant
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Film:
    """A finished film: an encoded file, and small forms of it. `metadata` says what it was really made with."""

    data: bytes
    media_type: str
    seconds: float
    width: int
    height: int
    fps: int
    metadata: Metadata = field(default_factory=dict)
    renditions: tuple[Rendition, ...] = ()


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

        Once `cancelled` is set, or the iterator is closed, it ends within one frame or step and without a film.
        Raises `InvalidInput` before the first piece when the image or the sound cannot be filmed.
        """
        ...

    def close(self) -> None:
        """Let go of what `load` took."""
        ...
