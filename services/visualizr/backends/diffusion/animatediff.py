"""AnimateDiff: a text-to-image model of the Stable Diffusion 1.5 family that learnt to move."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chatacter.chassis.errors import InvalidInput, Misconfigured
from chatacter.contracts.video import VIDEO_MEDIA_TYPES, Metadata, Quality
from visualizr.backend import Control, Limits, Preset, Progress, Shot, VideoCapabilities
from visualizr.backends.diffusion import pictures
from visualizr.backends.diffusion.backend import Denoised, DiffusionBackend
from visualizr.backends.diffusion.compiling import compile_blocks
from visualizr.backends.diffusion.likeness import IP_ADAPTER, Likeness
from visualizr.backends.diffusion.plan import Plan, dtype_of, settle
from visualizr.backends.diffusion.preview import previewed
from visualizr.backends.diffusion.svd import seeded
from visualizr.backends.diffusion.take import Take, on_step
from visualizr.backends.diffusion.weights import loaded, weights_of
from visualizr.references import IMAGE
from visualizr.settings import Scheduler, VisualizrSettings

WEIGHTS: Final = "VISUALIZR_WEIGHTS"
ADAPTER: Final = "VISUALIZR_MOTION_ADAPTER"
SPARSE: Final = "VISUALIZR_SPARSE_CONTROL"
LORAS: Final = "VISUALIZR_LORAS"

CONTROLS: Final[frozenset[Control]] = frozenset(
    {"negative_prompt", "num_frames", "num_inference_steps", "guidance_scale", "strength"}
)
# A motion adapter knows 32 places in time.
LIMITS: Final = Limits(multiple_of=8, frames=32, steps=200)
NO_IMAGE: Final = (
    "image_reference: this model films a text or another film; leave it out. It films an image too where "
    f"{SPARSE} (the film begins with it) or {IP_ADAPTER} (what is seen resembles it) is set."
)
ONE_OF_THEM: Final = (
    "image_reference: a film is made from an image or from video_reference; leave one of them out. It is made from "
    f"both where {IP_ADAPTER} is set."
)
DEPARTURE: Final = 0.8
"""`strength` of a film made from another one, where the request says nothing."""


def presets(scheduler: Scheduler) -> Mapping[Quality, Preset]:
    """Return the presets; adapters for few steps are made for theirs."""
    steps, guidance = {"lcm": ((4, 6, 8), 2.0), "lightning": ((4, 4, 8), 1.0)}.get(scheduler, ((12, 25, 40), 7.5))
    return {
        "draft": Preset(384, 384, 8, 16, steps[0], guidance),
        "standard": Preset(512, 512, 8, 16, steps[1], guidance),
        "high": Preset(512, 512, 8, 16, steps[2], guidance),
    }


def create(settings: VisualizrSettings) -> DiffusionBackend:
    """Build the backend that the settings describe; nothing is loaded."""
    return DiffusionBackend(AnimateDiff(settings), settings)


class AnimateDiff:
    """Text to film; with a SparseCtrl model or an IP-Adapter image to film; film to film."""

    def __init__(self, settings: VisualizrSettings) -> None:
        self._settings = settings
        self._text: Any = None
        self._image: Any = None
        self._clip: Any = None
        self._likeness: Likeness | None = None

    @property
    def capabilities(self) -> VideoCapabilities:
        """What it can do."""
        settings = self._settings
        return VideoCapabilities(
            prompt="required",
            image="optional" if settings.visualizr_sparse_control or settings.visualizr_ip_adapter else "unused",
            sound="optional",
            image_types=frozenset({"image/png", "image/jpeg", "image/webp"}),
            formats=frozenset(VIDEO_MEDIA_TYPES),
            video="optional",
            controls=CONTROLS,
            limits=LIMITS,
            presets=presets(settings.visualizr_scheduler),
            advice={IMAGE: NO_IMAGE},
        )

    @property
    def unet(self) -> Any:
        """The loaded UNet, which all three ways share."""
        return self._text.unet

    @property
    def vae(self) -> Any:
        """The loaded autoencoder."""
        return self._text.vae

    def load(self, plan: Plan) -> None:
        """Read the weights. Raises `Misconfigured`."""
        from diffusers import (  # noqa: PLC0415
            AnimateDiffPipeline,
            AnimateDiffSparseControlNetPipeline,
            AnimateDiffVideoToVideoPipeline,
            SparseControlNetModel,
        )

        settings, dtype = self._settings, dtype_of(plan)
        source = weights_of(settings, "a Stable Diffusion 1.5 or AnimateDiff pipeline")
        adapter = motion_adapter(settings.visualizr_motion_adapter, dtype)
        given = {} if adapter is None else {"motion_adapter": adapter}
        self._text = loaded("the pipeline", WEIGHTS, AnimateDiffPipeline.from_pretrained, source, dtype=dtype, **given)
        adapted(self._text, settings)
        if settings.visualizr_ip_adapter:
            self._likeness = Likeness(settings.visualizr_ip_adapter)
            self._likeness.load(self._text)
        self._clip = AnimateDiffVideoToVideoPipeline(**self._text.components)
        if settings.visualizr_sparse_control:
            control = loaded(
                "a SparseCtrl model",
                SPARSE,
                SparseControlNetModel.from_pretrained,
                settings.visualizr_sparse_control,
                dtype=dtype,
            )
            self._image = AnimateDiffSparseControlNetPipeline(controlnet=control, **self._text.components)
        for pipeline in self._pipelines():
            pipeline.set_progress_bar_config(disable=True)
        if plan.compiled:
            compile_blocks(self._text.unet)

    def settle(self, plan: Plan) -> None:
        """Run by this plan from now on."""
        for pipeline in self._pipelines():
            settle(pipeline, plan)

    def steps_of(self, shot: Shot) -> int:
        """Return how many steps a film takes: one from another film leaves the first ones out."""
        steps = shot.steps or 1
        return int(steps * departure(shot)) if shot.clip else steps

    def denoise(self, shot: Shot, take: Take, until: float) -> Denoised:
        """Make the latents of a film: from its text, from an image, or from another film."""
        frames = shot.frames or len(shot.clip.frames if shot.clip else ()) or 1
        steps = shot.steps or 1
        pipeline, given, used = self._way(shot, frames)
        take.tell(Progress(0.0))
        coming = self.steps_of(shot)

        def look(latents: Any) -> Any:
            return previewed(latents[0, :, latents.shape[2] // 2])

        latents = pipeline(
            prompt=shot.prompt,
            negative_prompt=shot.negative_prompt or None,
            height=shot.height,
            width=shot.width,
            num_inference_steps=steps,
            guidance_scale=shot.guidance,
            generator=seeded(shot.seed),
            output_type="latent",
            callback_on_step_end=on_step(take, coming, (0.0, until), look),
            **given,
        ).frames
        used |= {
            "model": "animatediff",
            "scheduler": type(pipeline.scheduler).__name__,
            "num_inference_steps": coming,
            "guidance_scale": shot.guidance,
            "loras": [Path(written).name for written in self._settings.visualizr_loras],
        }
        return Denoised(latents[0].permute(1, 0, 2, 3), used)

    def _way(self, shot: Shot, frames: int) -> tuple[Any, dict[str, Any], Metadata]:
        """Return which pipeline makes the film, and what it is given beside the text. Raises `InvalidInput`."""
        if shot.clip is not None and shot.image is not None and self._likeness is None:
            raise InvalidInput(ONE_OF_THEM, param=IMAGE)
        image = pictures.still(shot.image, shot.width, shot.height) if shot.image is not None else None
        used: Metadata = {"from": "video" if shot.clip else "image" if shot.image else "text"}
        given = self._likeness.of(self._text, image) if self._likeness else {}
        begins = image is not None and shot.clip is None and self._image is not None
        if image is not None:
            ways = {"sparse_control": begins, "ip_adapter": self._likeness is not None}
            used["image_by"] = [way for way, taken in ways.items() if taken]
        if shot.clip is not None:
            strength = departure(shot)
            given |= {"video": pictures.stills(shot.clip, shot.width, shot.height), "strength": strength}
            return self._clip, given, used | {"strength": strength, "video_reference_fps": shot.clip.fps}
        given["num_frames"] = frames
        if begins:
            return self._image, given | {"conditioning_frames": [image], "controlnet_frame_indices": [0]}, used
        return self._text, given, used

    def _pipelines(self) -> list[Any]:
        return [pipeline for pipeline in (self._text, self._clip, self._image) if pipeline is not None]

    def release(self) -> None:
        """Take parts that visit the GPU back from it."""
        for pipeline in self._pipelines():
            pipeline.maybe_free_model_hooks()

    def close(self) -> None:
        """Let go of the weights."""
        self._text = self._image = self._clip = self._likeness = None


def departure(shot: Shot) -> float:
    """Return how far a film may depart from the one it is made from: by one step at least, as diffusers counts them."""
    steps, strength = shot.steps or 1, shot.strength or DEPARTURE
    return strength if int(steps * strength) >= 1 else min(1.0, 1.5 / steps)


def motion_adapter(source: str | None, dtype: Any) -> Any:
    """Read a motion adapter: a folder, a repository, or a single file of weights, as few-step adapters come.

    None where the pipeline brings its own. Raises `Misconfigured`.
    """
    from diffusers import MotionAdapter  # noqa: PLC0415

    if source is None:
        return None
    if not source.endswith(".safetensors"):
        return loaded("a motion adapter", ADAPTER, MotionAdapter.from_pretrained, source, dtype=dtype)
    from safetensors.torch import load_file  # noqa: PLC0415

    if not Path(source).is_file():
        raise Misconfigured(f"{ADAPTER}: there is no file at this path.")
    adapter = MotionAdapter().to(dtype=dtype)
    try:
        adapter.load_state_dict(load_file(source))
    except RuntimeError as error:
        raise Misconfigured(f"{ADAPTER}: this file holds no motion adapter for Stable Diffusion 1.5.") from error
    return adapter


def adapted(pipeline: Any, settings: VisualizrSettings) -> None:
    """Give a pipeline its LoRAs and its scheduler. Raises `Misconfigured`."""
    names, weights = [], []
    for number, written in enumerate(settings.visualizr_loras):
        source, _, weight = written.partition("=")
        try:
            pipeline.load_lora_weights(source, adapter_name=f"lora{number}")
            weights.append(float(weight or 1.0))
        except (OSError, ValueError) as error:
            raise Misconfigured(f"{LORAS}: entry {number + 1} is no LoRA for this model, or has no weight.") from error
        names.append(f"lora{number}")
    if names:
        pipeline.set_adapters(names, weights)
    pipeline.scheduler = scheduled(settings.visualizr_scheduler, pipeline.scheduler)


def scheduled(name: Scheduler, present: Any) -> Any:
    """Return the scheduler of a name, set up like the present one where both know a field."""
    import diffusers  # noqa: PLC0415

    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "ddim": ("DDIMScheduler", {}),
        "euler": ("EulerDiscreteScheduler", {}),
        "dpm": ("DPMSolverMultistepScheduler", {}),
        "lcm": ("LCMScheduler", {"beta_schedule": "linear"}),
        # Source: the model card of AnimateDiff-Lightning.
        "lightning": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing", "beta_schedule": "linear"}),
    }
    if name not in kinds:
        return present
    kind, changed = kinds[name]
    return getattr(diffusers, kind).from_config(present.config, **changed)
