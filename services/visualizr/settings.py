"""What Visualizr can be told."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from chatacter.chassis.settings import CommaSeparated
from chatacter.serving.settings import Engine, PredictorSettings

Attention = Literal["auto", "math", "flash", "efficient", "cudnn"]
Mp4Encoder = Literal["auto", "libx264"]
Scheduler = Literal["model", "ddim", "euler", "dpm", "lcm", "lightning"]


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
    """Films made side by side. `svd` and `animatediff` make one at a time and refuse another number."""
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
    """Width and height in pixels of a film of quality `standard` whose request names neither; other qualities keep the
    model's own, as all do when unset: 512 for the
    portrait, 1024 x 576 for Stable Video Diffusion, 512 for AnimateDiff."""
    visualizr_max_side: Annotated[int, Field(ge=64, le=2048)] = 1280
    """Longest side in pixels that a film may have."""
    visualizr_fps: Annotated[int | None, Field(ge=1, le=60)] = None
    """Frames a second of a film of quality `standard` whose request names none; other qualities keep the model's own,
    as all do when unset: 25 for the portrait, 7 for
    Stable Video Diffusion, 8 for AnimateDiff."""
    visualizr_max_image_pixels: Annotated[int, Field(ge=4096)] = 24_000_000
    """Most pixels that a photo may have; a larger one is refused before it is decoded."""
    visualizr_mp4_encoder: Mp4Encoder = "auto"
    """What encodes the pictures of MP4. `auto`: H.264 by an encoder that is not under the GPL, OpenH264 or NVIDIA's or
    Apple's hardware, where FFmpeg has one and it works; else VP9. `libx264`: H.264 everywhere, by x264, which is under
    the GPL and comes with PyAV's wheel."""
    visualizr_c2pa_certificate: Path | None = None
    """PEM file of a certificate, then of those that vouch for it: MP4 films and small forms are signed with it, and
    say in a C2PA manifest that a model made them. WebM has no place for one. Unset: they carry IPTC's mark alone."""
    visualizr_c2pa_key: Path | None = None
    """PEM file of that certificate's private key (PKCS#8, without a password): a mounted secret."""
    visualizr_portrait_cache: Annotated[int, Field(ge=0, le=256)] = 8
    """Prepared portraits kept in memory, about 12 MB each at 512 x 512: a character's next film starts faster."""
    visualizr_weights: str | None = None
    """With `svd` and `animatediff`: the folder of the weights, as diffusers saves a pipeline (a mounted `storageUri`),
    or a repository's name on the Hugging Face hub. For `animatediff` a pipeline of the Stable Diffusion 1.5 family.
    Unset: a folder of the model's name in `CHATACTER_HOME/models`, else that folder itself."""
    visualizr_text_to_image: str | None = None
    """With `svd`: folder or repository of a text-to-image pipeline. It draws the image where a request has only a
    prompt; unset, such a request is refused."""
    visualizr_few_steps: str | None = None
    """With `svd`: a UNet distilled for few steps, as AnimateLCM's: folder, repository, or one `.safetensors` file of
    its weights. `quality=draft` then takes 4 steps with it. It is held beside the other one: 3 GB in half precision."""
    visualizr_motion_adapter: str | None = None
    """With `animatediff`: folder or repository of a motion adapter, or one `.safetensors` file. Unset: the pipeline of
    `VISUALIZR_WEIGHTS` brings its own."""
    visualizr_sparse_control: str | None = None
    """With `animatediff`: folder or repository of a SparseCtrl model (RGB); then it takes `image_reference`: the film
    begins with that image."""
    visualizr_ip_adapter: str | None = None
    """With `animatediff`: file of an IP-Adapter for Stable Diffusion 1.5, e.g. `/srv/ip/ip-adapter_sd15.safetensors` or
    `h94/IP-Adapter/models/ip-adapter_sd15.safetensors` on the hub, with its folder `image_encoder` beside it, and
    `=0.8` behind it for a weight other than 1; then it takes `image_reference`: what is seen resembles that image."""
    visualizr_loras: CommaSeparated = ()
    """With `animatediff`: LoRAs, separated by commas, each a folder, a file or a repository, with `=0.8` behind it
    for a weight other than 1."""
    visualizr_scheduler: Scheduler = "model"
    """With `animatediff`: how steps are taken; `model` as the weights come. `lcm` and `lightning` belong to motion
    adapters (and LoRAs) of these kinds, which need 4 to 8 steps. `svd` takes `model` and `euler`."""
    visualizr_device: str = "auto"
    """With `svd` and `animatediff`: the device that computes, as PyTorch names it. `auto`: a GPU, else the CPU."""
    visualizr_acceleration: Literal["none", "safe", "max"] = "safe"
    """With `svd` and `animatediff`. `none`: diffusers as it comes. `safe`: half precision on a GPU, frames decoded in
    parts, and when GPU memory is short the model's parts take turns on it. `max`: also leaves deep blocks out of most
    steps, which changes frames a little, and compiles on a GPU."""
    visualizr_precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """With `svd` and `animatediff`: what they compute in. `auto`: float16 on a GPU unless the acceleration is `none`,
    else float32. `float16` needs a GPU."""
    visualizr_attention: Attention = "auto"
    """With `svd` and `animatediff`: the kernel of PyTorch's that computes attention; `auto`: PyTorch's choice, the
    fastest one that it has for the device. Where one named here cannot (a head too wide, another device), plain
    mathematics does."""
    visualizr_cache_interval: Annotated[int, Field(ge=1, le=16)] = 3
    """With `VISUALIZR_ACCELERATION=max`: every how many steps the whole network runs; 1 leaves nothing out."""
    visualizr_remote_url: str | None = None
    """With `VISUALIZR_MODEL=remote`: base URL, `/v1` included, of the Visualizr that films instead of this one. With
    `remote-videos`: that of any server with OpenAI's videos API."""
    visualizr_remote_model: str = "portrait"
    """With `remote` and `remote-videos`: the model to ask for there."""
    visualizr_remote_api_key: SecretStr | None = None
    """With `remote` and `remote-videos`: the key for it. Unset, another Visualizr is shown `SERVICE_TOKEN`, a server of
    the videos API none."""
    visualizr_remote_timeout: Annotated[float, Field(gt=0)] = 30.0
    """With `remote` and `remote-videos`: seconds without any sign of life after which the other one counts as gone."""
    visualizr_remote_longest: Annotated[float, Field(gt=0)] = 540.0
    """With `remote-videos`: seconds after which a film that is not finished there is given up, and removed there. Below
    Chattr's `VISUALIZR__TIMEOUT`, which ends the wait for a film: raise both together."""
    visualizr_remote_fields: CommaSeparated = ()
    """With `remote-videos`: what its server takes beside OpenAI's `prompt`, `size` and `input_reference`, separated by
    commas: `emotion`, `emotion_strength`, `fps`, `gaze`, `guidance_scale`, `motion_strength`, `negative_prompt`,
    `num_frames`, `num_inference_steps`, `quality`, `seed`. vLLM-Omni and Chattr take most, others refuse them."""
    visualizr_remote_seconds: CommaSeparated = ()
    """With `remote-videos`: the lengths in seconds that its server makes, e.g. `4,8,12`; the shortest one that is as
    long as the sound is asked for. Unset, it makes films as long as it does by itself."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.visualizr_size and self.visualizr_size > self.visualizr_max_side:
            raise ValueError("VISUALIZR_SIZE is larger than VISUALIZR_MAX_SIDE")
        if (self.visualizr_c2pa_certificate is None) != (self.visualizr_c2pa_key is None):
            raise ValueError("VISUALIZR_C2PA_CERTIFICATE and VISUALIZR_C2PA_KEY belong together: set both or none")
        if self.visualizr_model in {"remote", "remote-videos"} and not self.visualizr_remote_url:
            raise ValueError(
                f"VISUALIZR_MODEL={self.visualizr_model} needs VISUALIZR_REMOTE_URL, e.g. http://visualizr.example:8002/v1"
            )
        return self

    @property
    def served_name(self) -> str:
        """The model id that clients send."""
        return self.visualizr_served_name or self.visualizr_model
