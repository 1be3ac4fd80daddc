"""Video at KServe's doors: one row is one request, and the whole film is the answer."""

from contextlib import aclosing
from typing import Annotated, Any, Final

from pydantic import Field

from chatacter.chassis.errors import UpstreamFailed
from chatacter.contracts.base import Strict
from chatacter.contracts.speech import Phoneme
from chatacter.contracts.video import DataUrl, FilmControls, Prompt, VideoFormat, VideoGenerationRequest
from chatacter.serving.predictor import Job, Tensor
from visualizr.backend import Film
from visualizr.render import Renderer
from visualizr.routes import completed

INPUTS: Final = (
    Tensor("prompt", "BYTES"),
    Tensor("negative_prompt", "BYTES"),
    Tensor("image_reference", "BYTES"),
    Tensor("audio_reference", "BYTES"),
    Tensor("video_reference", "BYTES"),
    Tensor("phonemes", "BYTES", structured=True),
    Tensor("width", "INT64"),
    Tensor("height", "INT64"),
    Tensor("fps", "INT64"),
    Tensor("num_frames", "INT64"),
    Tensor("num_inference_steps", "INT64"),
    Tensor("guidance_scale", "FP32"),
    Tensor("motion_strength", "FP32"),
    Tensor("strength", "FP32"),
    Tensor("emotion", "BYTES"),
    Tensor("emotion_strength", "FP32"),
    Tensor("gaze", "BYTES"),
    Tensor("quality", "BYTES"),
    Tensor("seed", "INT64"),
    Tensor("output_format", "BYTES"),
)
OUTPUTS: Final = (
    Tensor("video", "BYTES"),
    Tensor("media_type", "BYTES"),
    Tensor("seconds", "FP32"),
    Tensor("width", "INT64"),
    Tensor("height", "INT64"),
    Tensor("fps", "INT64"),
    Tensor("metadata", "BYTES", structured=True),
    Tensor("renditions", "BYTES", structured=True),
)


class VideoRow(FilmControls, Strict):
    """One film; the fields are those of `POST /v1/video/generations`."""

    prompt: Prompt = ""
    image_reference: DataUrl | None = None
    audio_reference: DataUrl | None = None
    video_reference: DataUrl | None = None
    phonemes: list[Phoneme] | None = None
    width: Annotated[int, Field(ge=64, le=2048, multiple_of=2)] | None = None
    height: Annotated[int, Field(ge=64, le=2048, multiple_of=2)] | None = None
    output_format: VideoFormat = "webm"


def video_job(renderer: Renderer) -> Job[VideoRow]:
    """Make the job that a predictor does for each row."""

    async def work(row: VideoRow, _: str) -> dict[str, Any]:
        shot = await renderer.checked(VideoGenerationRequest(model=renderer.model, **row.model_dump()))
        film: Film | None = None
        async with aclosing(renderer.film(shot)) as pieces:
            async for piece in pieces:
                film = piece if isinstance(piece, Film) else film
        if film is None:
            raise UpstreamFailed("The model ended without a film.")
        return {
            "video": film.data,
            "media_type": film.media_type,
            "seconds": film.seconds,
            "width": film.width,
            "height": film.height,
            "fps": film.fps,
            "metadata": film.metadata,
            "renditions": [small.model_dump() for small in completed(film).renditions],
        }

    return Job(request=VideoRow, work=work, inputs=INPUTS, outputs=OUTPUTS)
