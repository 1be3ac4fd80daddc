"""What Visualizr can be told."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from chatacter.serving.settings import Engine, PredictorSettings


class VisualizrSettings(PredictorSettings):
    """Settings of the video predictor; every other one is as in any service."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8002
    """Port to listen on."""
    shutdown_grace: Annotated[float, Field(ge=0)] = 120.0
    """Seconds that running films get to finish after SIGTERM; at least as long as the longest film takes."""
    visualizr_model: str = "portrait"
    """The backend that films: the name of a `chatacter.video` plugin."""
    visualizr_served_name: str | None = None
    """The model id that clients send; the name of the backend when unset."""
    visualizr_threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads with which one film is encoded. The speech model wants the other cores."""
    visualizr_concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    """Films made side by side."""
    visualizr_engine: Engine = "inprocess"
    """Where the model runs: `inprocess`, or `ray`: in replicas by Ray Serve, as the settings `RAY_…` say; each has
    `VISUALIZR_CONCURRENCY` places."""
    visualizr_queue: Annotated[int, Field(ge=0, le=1024)] = 4
    """Films that may wait for a place; one more is refused with 429 and `Retry-After`."""
    preload_models: bool = True
    """Load the model at start, so that the first request finds it ready. `false`: the first request waits for it."""
    visualizr_max_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """Longest sound that is filmed; a longer one is refused with 413."""
    visualizr_size: Annotated[int | None, Field(ge=64, le=2048, multiple_of=2)] = None
    """Width and height in pixels of a film whose request names neither; the model's own when unset: 512 for the
    portrait, 1024 x 576 for Stable Video Diffusion, 512 for AnimateDiff."""
    visualizr_max_side: Annotated[int, Field(ge=64, le=2048)] = 1280
    """Longest side in pixels that a film may have."""
    visualizr_fps: Annotated[int | None, Field(ge=1, le=60)] = None
    """Frames a second of a film whose request names none; the model's own when unset: 25 for the portrait, 7 for
    Stable Video Diffusion, 8 for AnimateDiff."""
    visualizr_max_image_pixels: Annotated[int, Field(ge=4096)] = 24_000_000
    """Most pixels that a photo may have; a larger one is refused before it is decoded."""
    visualizr_portrait_cache: Annotated[int, Field(ge=0, le=256)] = 8
    """Prepared portraits kept in memory, about 12 MB each at 512 x 512: a character's next film starts faster."""
    visualizr_remote_url: str | None = None
    """With `VISUALIZR_MODEL=remote`: base URL, `/v1` included, of the Visualizr that films instead of this one."""
    visualizr_remote_model: str = "portrait"
    """With `VISUALIZR_MODEL=remote`: the model to ask for there."""
    visualizr_remote_api_key: SecretStr | None = None
    """With `VISUALIZR_MODEL=remote`: the key for it; `SERVICE_TOKEN` when unset."""
    visualizr_remote_timeout: Annotated[float, Field(gt=0)] = 30.0
    """With `VISUALIZR_MODEL=remote`: seconds without any sign of life after which the other one counts as gone."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.visualizr_size and self.visualizr_size > self.visualizr_max_side:
            raise ValueError("VISUALIZR_SIZE is larger than VISUALIZR_MAX_SIDE")
        if self.visualizr_model == "remote" and not self.visualizr_remote_url:
            raise ValueError("VISUALIZR_MODEL=remote needs VISUALIZR_REMOTE_URL, e.g. http://visualizr.example:8002/v1")
        return self

    @property
    def served_name(self) -> str:
        """The model id that clients send."""
        return self.visualizr_served_name or self.visualizr_model
