"""Video between processes: the streaming verb of a predictor, and the public `/v1/videos` object.

Field names are OpenAI's where it has them and vLLM-Omni's where it has not (`image_reference`, `audio_reference`).
Pictures and sounds travel as `data:` URLs: a predictor never fetches an address that somebody else wrote.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from chatacter.contracts.base import Open, Strict
from chatacter.contracts.directions import Emotion, Gaze
from chatacter.contracts.speech import Phoneme

VideoFormat = Literal["webm", "mp4"]

VIDEO_MEDIA_TYPES: dict[VideoFormat, str] = {"webm": "video/webm", "mp4": "video/mp4"}

DataUrl = Annotated[str, StringConstraints(pattern=r"^data:[a-z]+/[A-Za-z0-9.+-]+;base64,")]

MAX_PROMPT_CHARACTERS = 4096

# How much work a film is worth. A preset fills in what a request leaves out: size, frames, steps.
Quality = Literal["draft", "standard", "high"]

# What a film was really made with, as plain values: `seed`, `num_inference_steps`, `cache_interval`, …
Metadata = dict[str, str | int | float | bool | list[str] | None]

Prompt = Annotated[str, StringConstraints(max_length=MAX_PROMPT_CHARACTERS)]


class FilmControls(BaseModel):
    """What can be said of a film beside its prompt. A model refuses what means nothing to it, and says what does."""

    negative_prompt: Prompt | None = Field(default=None, description="What must not be seen")
    num_frames: Annotated[int, Field(ge=1, le=1024)] | None = None
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=50)] | None = None
    motion_strength: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="How much moves; 0.5 is what the model does by itself"
    )
    strength: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="How far a film may depart from video_reference"
    )
    emotion: Emotion | None = Field(
        default=None, description="What the face shows from the start; directions in what is said change it"
    )
    emotion_strength: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="How much of emotions is shown, those of directions too; 0.5 is usual"
    )
    gaze: Gaze | None = Field(default=None, description="Where the eyes rest; directions in what is said change it")
    quality: Quality = Field(default="standard", description="Fills in size, frames and steps where they are not named")
    fps: Annotated[int, Field(ge=1, le=60)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None


class VideoGenerationRequest(FilmControls, Strict):
    """What a predictor is asked to film; body of `POST /v1/video/generations`."""

    model: str = Field(description="A video model that Visualizr serves, e.g. portrait")
    prompt: Prompt = ""
    image_reference: DataUrl | None = Field(default=None, description="PNG, JPEG, WebP, or a layered SVG portrait")
    audio_reference: DataUrl | None = Field(default=None, description="WAV, FLAC, Ogg or MP3: what is heard")
    video_reference: DataUrl | None = Field(default=None, description="WebM or MP4: a film to make another one from")
    phonemes: list[Phoneme] | None = Field(default=None, description="Timings of audio_reference, for exact lip-sync")
    width: Annotated[int, Field(ge=64, le=2048, multiple_of=2)] | None = None
    height: Annotated[int, Field(ge=64, le=2048, multiple_of=2)] | None = None
    output_format: VideoFormat = "webm"


class VideoProgress(Strict):
    """Sent as work goes on, and as a heartbeat while it does not."""

    type: Literal["video.progress"] = "video.progress"
    progress: Annotated[float, Field(ge=0, le=1)]
    step: int | None = Field(default=None, description="Steps of denoising that are done, where the model takes steps")
    steps: int | None = None
    preview: DataUrl | None = Field(default=None, description="A rough picture of what the film is becoming")


RenditionVariant = Literal["thumbnail", "spritesheet", "preview"]


class Rendition(Strict):
    """A small form of a finished film: a still, still pictures in a grid, or a short animation."""

    variant: RenditionVariant
    media_type: Annotated[str, StringConstraints(pattern=r"^(image|video)/[a-z0-9.+-]+$")]
    data: str = Field(description="base64 of the encoded file")


class VideoCompleted(Strict):
    """The finished film. `renditions` holds at most one of each variant; a model that makes none leaves it empty."""

    type: Literal["video.completed"] = "video.completed"
    video: str = Field(description="base64 of the encoded file")
    media_type: str
    seconds: float
    width: int
    height: int
    fps: int
    renditions: list[Rendition] = Field(default=[])
    metadata: Metadata = Field(default={}, description="What it was really made with")


class VideoFailed(Strict):
    """The film cannot be made; the stream ends here."""

    type: Literal["video.failed"] = "video.failed"
    code: str
    message: str
    retryable: bool


VideoEvent = Annotated[VideoProgress | VideoCompleted | VideoFailed, Field(discriminator="type")]


class VideoError(Open):
    """Why a job failed."""

    code: str
    message: str


class Video(Open):
    """OpenAI's video job object. Source: API reference, "The video job"; the last three fields are ours."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: Annotated[int, Field(ge=0, le=100)] = 0
    created_at: int
    completed_at: int | None = None
    expires_at: int | None = None
    prompt: str | None = None
    seconds: str | None = None
    size: str | None = None
    remixed_from_video_id: str | None = None
    error: VideoError | None = None
    character: str | None = None
    metadata: Metadata | None = Field(default=None, description="What it was really made with, once it is finished")
    phase: str | None = Field(default=None, description="queued, waiting_for_gpu, speaking, filming, publishing")
