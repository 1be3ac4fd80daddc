"""Stable Video Diffusion: an image comes to life. With a text-to-image model before it, a text does."""

from collections.abc import Mapping
from typing import Any, Final

from chatacter.chassis.errors import InvalidInput, Misconfigured, TooLarge
from chatacter.contracts.video import VIDEO_MEDIA_TYPES, Metadata, Quality
from chatacter.serving.licences import Licence
from visualizr.backend import Limits, Preset, Progress, Shot, VideoCapabilities
from visualizr.backends.diffusion import pictures
from visualizr.backends.diffusion.backend import Denoised, DiffusionBackend
from visualizr.backends.diffusion.compiling import compile_blocks
from visualizr.backends.diffusion.consistency import MOST_STEPS, STEPS, ConsistencySteps, distilled
from visualizr.backends.diffusion.plan import Plan, dtype_of, settle
from visualizr.backends.diffusion.preview import previewed
from visualizr.backends.diffusion.take import Take, on_step
from visualizr.backends.diffusion.weights import loaded, weights_of
from visualizr.references import IMAGE
from visualizr.settings import VisualizrSettings

LICENCE: Final = Licence(
    "stable-video-diffusion-community",
    "forbids commercial use to whoever earns more than a million US dollars a year, and to others who do not register",
    "https://stability.ai/community-license-agreement",
)
PRESETS: Final[Mapping[Quality, Preset]] = {
    "draft": Preset(768, 448, 7, steps=12, guidance=3.0),
    "standard": Preset(1024, 576, 7, steps=25, guidance=3.0),
    "high": Preset(1024, 576, 7, steps=40, guidance=3.0),
}
# Guidance of 1 takes one pass of the UNet a step where others take two; distilled ones want little of it.
QUICK: Final = Preset(768, 448, 7, steps=STEPS, guidance=1.0)
LIMITS: Final = Limits(multiple_of=8, frames=64, steps=200)
# The model was trained with a number from 0 to 255 that says how much moves; 127 is what it does by itself.
MOTION_BUCKETS: Final = 254
LEAST_GUIDANCE: Final = 1.0
NOISE: Final = 0.02
SCHEDULERS: Final = frozenset({"model", "euler"})
NOTHING_TO_FILM: Final = (
    "image_reference: this model films an image; send one. (A text alone becomes an image first where "
    "VISUALIZR_TEXT_TO_IMAGE names a model for it.)"
)
TOO_MANY_STEPS: Final = (
    f"num_inference_steps: at most {MOST_STEPS} with quality=draft, which VISUALIZR_FEW_STEPS makes. Others take more."
)


def create(settings: VisualizrSettings) -> DiffusionBackend:
    """Build the backend that the settings describe; nothing is loaded."""
    return DiffusionBackend(StableVideo(settings), settings)


class StableVideo:
    """SVD and SVD-XT; which of both the weights are decides how many frames a film has by itself, 14 or 25."""

    def __init__(self, settings: VisualizrSettings) -> None:
        self._settings = settings
        self._film: Any = None
        self._quick: Any = None
        self._draw: Any = None

    @property
    def capabilities(self) -> VideoCapabilities:
        """What it can do."""
        draws = self._settings.visualizr_text_to_image is not None
        controls = {"num_frames", "num_inference_steps", "guidance_scale", "motion_strength"}
        return VideoCapabilities(
            prompt="optional",
            image="optional" if draws else "required",
            sound="optional",
            image_types=frozenset({"image/png", "image/jpeg", "image/webp"}),
            formats=frozenset(VIDEO_MEDIA_TYPES),
            licence=LICENCE,
            controls=frozenset(controls | {"negative_prompt"} if draws else controls),  # type: ignore[arg-type]
            limits=LIMITS,
            presets={**PRESETS, "draft": QUICK} if self._settings.visualizr_few_steps else PRESETS,
            advice={IMAGE: NOTHING_TO_FILM},
        )

    @property
    def unet(self) -> Any:
        """The loaded UNet."""
        return self._film.unet

    @property
    def vae(self) -> Any:
        """The loaded autoencoder."""
        return self._film.vae

    def load(self, plan: Plan) -> None:
        """Read the weights. Raises `Misconfigured`."""
        from diffusers import AutoPipelineForText2Image, EulerDiscreteScheduler, StableVideoDiffusionPipeline  # noqa: PLC0415

        settings = self._settings
        if settings.visualizr_scheduler not in SCHEDULERS:
            raise Misconfigured("VISUALIZR_SCHEDULER: Stable Video Diffusion takes `model` or `euler`.")
        source = weights_of(settings, "Stable Video Diffusion")
        self._film = loaded(
            "Stable Video Diffusion",
            "VISUALIZR_WEIGHTS",
            StableVideoDiffusionPipeline.from_pretrained,
            source,
            dtype=dtype_of(plan),
        )
        if settings.visualizr_scheduler == "euler":
            self._film.scheduler = EulerDiscreteScheduler.from_config(self._film.scheduler.config)
        if settings.visualizr_few_steps is not None:
            unet = distilled(settings.visualizr_few_steps, self._film, dtype_of(plan))
            self._quick = StableVideoDiffusionPipeline(
                **{**self._film.components, "unet": unet, "scheduler": ConsistencySteps()}
            )
        if settings.visualizr_text_to_image is not None:
            self._draw = loaded(
                "a text-to-image model",
                "VISUALIZR_TEXT_TO_IMAGE",
                AutoPipelineForText2Image.from_pretrained,
                settings.visualizr_text_to_image,
                dtype=dtype_of(plan),
            )
        for pipeline in self._pipelines():
            pipeline.set_progress_bar_config(disable=True)
        for pipeline in filter(None, (self._film, self._quick)):
            if plan.compiled:
                compile_blocks(pipeline.unet)

    def settle(self, plan: Plan) -> None:
        """Run by this plan from now on."""
        for pipeline in self._pipelines():
            settle(pipeline, plan)

    def steps_of(self, shot: Shot) -> int:
        """Return how many steps a film takes."""
        return shot.steps or PRESETS["standard"].steps or 1

    def denoise(self, shot: Shot, take: Take, until: float) -> Denoised:
        """Make the latents of a film, after its image where there is none."""
        drawn = shot.image is None
        if drawn and (self._draw is None or not shot.prompt.strip()):
            raise InvalidInput(NOTHING_TO_FILM, param=IMAGE)
        steps, generator = self.steps_of(shot), seeded(shot.seed)
        pipeline = self._pipeline(shot, steps, generator)
        few = pipeline is self._quick
        used: Metadata = {"model": "svd", "scheduler": type(pipeline.scheduler).__name__, "few_steps": few}
        begun = until / 4 if drawn else 0.0
        if shot.image is None:
            image = self._drawn(shot, take, begun, used)
        else:
            image = pictures.still(shot.image, shot.width, shot.height)
            used["prompt_used"] = False
        if shot.image is not None:
            take.tell(Progress(0.0))
        guidance = LEAST_GUIDANCE if shot.guidance is None else shot.guidance
        bucket = round(MOTION_BUCKETS * (0.5 if shot.motion is None else shot.motion))
        frames = shot.frames or pipeline.unet.config.num_frames
        # Guidance grows from the first frame to the last, and of a single frame the pipeline sees where it begins.
        least = guidance if frames == 1 else min(LEAST_GUIDANCE, guidance)

        def look(latents: Any) -> Any:
            return previewed(latents[0, frames // 2])

        latents = pipeline(
            image,
            height=shot.height,
            width=shot.width,
            num_frames=frames,
            num_inference_steps=steps,
            min_guidance_scale=least,
            max_guidance_scale=guidance,
            fps=shot.fps,
            motion_bucket_id=bucket,
            noise_aug_strength=NOISE,
            generator=generator,
            output_type="latent",
            callback_on_step_end=on_step(take, steps, (begun, until), look),
        ).frames
        used |= {"num_inference_steps": steps, "guidance_scale": guidance, "motion_bucket_id": bucket}
        return Denoised(latents[0], used)

    def _drawn(self, shot: Shot, take: Take, until: float, used: Metadata) -> Any:
        """Draw the image that is to be filmed."""
        take.tell(Progress(0.0))
        steps = PRESETS["draft"].steps or 1 if self._quickly(shot) else self.steps_of(shot)
        used |= {"prompt_used": True, "text_to_image": type(self._draw).__name__, "text_to_image_steps": steps}
        return self._draw(
            prompt=shot.prompt,
            negative_prompt=shot.negative_prompt or None,
            height=shot.height,
            width=shot.width,
            num_inference_steps=steps,
            generator=seeded(shot.seed),
            callback_on_step_end=on_step(take, steps, (0.0, until), lambda latents: previewed(latents[0])),
        ).images[0]

    def release(self) -> None:
        """Take parts that visit the GPU back from it."""
        for pipeline in self._pipelines():
            pipeline.maybe_free_model_hooks()

    def close(self) -> None:
        """Let go of the weights."""
        self._film = self._quick = self._draw = None

    def _pipelines(self) -> list[Any]:
        return [pipeline for pipeline in (self._film, self._quick, self._draw) if pipeline is not None]

    def _pipeline(self, shot: Shot, steps: int, generator: Any) -> Any:
        """Return what makes the film. Raises `TooLarge`."""
        if not self._quickly(shot):
            return self._film
        if steps > MOST_STEPS:
            raise TooLarge(TOO_MANY_STEPS, param="num_inference_steps")
        self._quick.scheduler.generator = generator
        return self._quick

    def _quickly(self, shot: Shot) -> bool:
        """Whether a film is made in few steps."""
        return self._quick is not None and shot.quality == "draft"


def seeded(seed: int) -> Any:
    """Return a generator on the CPU, so that a seed means the same noise on every device."""
    import torch  # noqa: PLC0415 - only behind a loaded model

    return torch.Generator("cpu").manual_seed(seed & 0x7FFF_FFFF_FFFF_FFFF)
