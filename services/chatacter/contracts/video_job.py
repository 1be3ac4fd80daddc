"""The public doors of video: what a client orders at `POST /v1/videos`, and the lists and receipts it gets.

Source: OpenAI API reference, "Videos". `character` and the fields that vLLM-Omni added are taken beside OpenAI's.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chatacter.contracts.base import Open, Strict
from chatacter.contracts.video import DataUrl, FilmControls, Prompt, Video, VideoFormat

TALKING_MODEL = "portrait"
JobPriority = Literal["high", "normal", "low"]
JobStatus = Literal["queued", "running", "completed", "failed", "cancelled"]


class ImageReference(Open):
    """An image named by an object, as OpenAI clients send it in JSON."""

    image_url: str | None = None
    file_id: str | None = None


class VideoOrder(FilmControls, Open):
    """What a client wants filmed. With a character, or with `portrait`, `prompt` is what the character says."""

    prompt: Prompt = ""
    model: str = TALKING_MODEL
    character: str | None = Field(default=None, description="Who speaks; the default character when absent")
    input_reference: ImageReference | None = None
    image_reference: DataUrl | None = None
    audio_reference: DataUrl | None = Field(default=None, description="What is heard, instead of the spoken prompt")
    video_reference: DataUrl | None = Field(default=None, description="WebM or MP4: a film to make another one from")
    size: Annotated[str, StringConstraints(pattern=r"^\d{2,4}x\d{2,4}$")] | None = None
    seconds: str | int | None = None
    output_format: VideoFormat = "webm"
    priority: JobPriority = Field(default="normal", description="Among the tenant's own jobs")
    expires_after: Annotated[int, Field(ge=1, le=2_592_000)] | None = Field(
        default=None, description="Seconds within which it must have begun, else it fails"
    )


class VideoRemix(Open):
    """How a finished video is made anew."""

    prompt: Prompt


class VideoList(Strict):
    """A page of videos."""

    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class VideoDeleted(Strict):
    """The receipt of a deletion."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: bool = True


class JobProblem(Strict):
    """Why an attempt, or a whole job, failed."""

    code: str
    message: str


class JobAttempt(Strict):
    """A lease of a job that is over: completed, failed, handed_back, cancelled or worker_lost."""

    fence: int
    worker: str
    started_at: float
    ended_at: float
    outcome: str
    error: JobProblem | None = None


class JobEstimate(Strict):
    """What the last jobs of its model let expect, in seconds from now; `samples` is how many these were."""

    begins_in: float
    ends_in: float
    samples: int


class JobView(Strict):
    """A job of any kind, as `/api/v1/jobs` shows it. Times are seconds since 1970.

    `position`, `estimate` and `history` are told of a job that is asked for by its id. `position` is 1 for the one that
    begins next; `run_after` is there while it waits for a time.
    """

    id: str
    object: Literal["job"] = "job"
    modality: Literal["speech", "video"]
    model: str
    status: JobStatus
    phase: str
    progress: Annotated[float, Field(ge=0, le=1)]
    priority: JobPriority = "normal"
    attempts: int
    max_attempts: int
    created_at: float
    run_after: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = Field(default=None, description="When it must have begun")
    error: JobProblem | None = None
    position: int | None = None
    estimate: JobEstimate | None = None
    history: list[JobAttempt] | None = None


class JobDeleted(Strict):
    """The receipt of a deletion."""

    id: str
    object: Literal["job.deleted"] = "job.deleted"
    deleted: bool = True


class JobList(Strict):
    """A page of jobs."""

    object: Literal["list"] = "list"
    data: list[JobView]
    has_more: bool = False


class ModelDemand(Strict):
    """Work for one model: queued and running together."""

    modality: Literal["speech", "video"]
    model: str
    outstanding: int


class DemandReport(Strict):
    """What an autoscaler reads: `outstanding` is the sum of what was asked about."""

    outstanding: int
    models: list[ModelDemand]
