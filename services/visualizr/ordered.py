"""What a request asks of a film, held against what the model can do; presets fill in what it leaves out."""

from typing import Final, get_args

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from chatacter.contracts.video import VideoGenerationRequest
from visualizr.backend import Control, Preset, Use, VideoCapabilities
from visualizr.references import AUDIO, IMAGE, VIDEO
from visualizr.settings import VisualizrSettings

CONTROLS: Final[tuple[Control, ...]] = get_args(Control)


def check(request: VideoGenerationRequest, capable: VideoCapabilities) -> None:
    """Check each part of a request. Raises `InvalidInput` for what is missing, `Unsupported` for what has no use."""
    parts: tuple[tuple[str, Use, bool], ...] = (
        ("prompt", capable.prompt, bool(request.prompt.strip())),
        (IMAGE, capable.image, request.image_reference is not None),
        (AUDIO, capable.sound, request.audio_reference is not None),
        (VIDEO, capable.video, request.video_reference is not None),
    )
    for param, use, given in parts:
        used(param, use, given=given, advice=capable.advice.get(param))
    for control in CONTROLS:
        if getattr(request, control) is not None and control not in capable.controls:
            takes = ", ".join(sorted(capable.controls)) or "none of its kind"
            raise Unsupported(f"{control}: this model has no use for it. It takes {takes}.", param=control)
    if request.strength is not None and request.video_reference is None:
        raise InvalidInput("strength: it says how far to depart from video_reference; send one.", param="strength")
    if request.output_format not in capable.formats:
        raise Unsupported(
            f"output_format: this model makes {', '.join(sorted(capable.formats))}.", param="output_format"
        )


def filled(request: VideoGenerationRequest, capable: VideoCapabilities, settings: VisualizrSettings) -> Preset:
    """Return what the film is made with: what the request says, else the settings, else the preset of its quality.

    The settings' size and rate stand for those of `standard` only. Raises `InvalidInput`, `TooLarge`.
    """
    preset = capable.presets.get(request.quality, capable.presets["standard"])
    plain = request.quality == "standard"
    size = settings.visualizr_size if plain else None
    wanted = Preset(
        width=request.width or size or preset.width,
        height=request.height or size or preset.height,
        fps=request.fps or (settings.visualizr_fps if plain else None) or preset.fps,
        frames=request.num_frames or preset.frames,
        steps=request.num_inference_steps or preset.steps,
        guidance=preset.guidance if request.guidance_scale is None else request.guidance_scale,
    )
    within(wanted, capable, settings)
    return wanted


def within(wanted: Preset, capable: VideoCapabilities, settings: VisualizrSettings) -> None:
    """Hold a film against its limits. Raises `InvalidInput`, `TooLarge`."""
    limits = capable.limits
    side = min(settings.visualizr_max_side, limits.side or settings.visualizr_max_side)
    if max(wanted.width, wanted.height) > side:
        raise TooLarge(f"width, height: at most {side} pixels.", param="width")
    for name, value in (("width", wanted.width), ("height", wanted.height)):
        if value % limits.multiple_of:
            raise InvalidInput(f"{name}: a multiple of {limits.multiple_of} for this model.", param=name)
    for name, given, most in (
        ("num_frames", wanted.frames, limits.frames),
        ("num_inference_steps", wanted.steps, limits.steps),
    ):
        if most and given is not None and given > most:
            raise TooLarge(f"{name}: at most {most} for this model.", param=name)


def used(param: str, use: Use, *, given: bool, advice: str | None = None) -> None:
    """Check one part of a request. Raises `InvalidInput` where it is missing, `Unsupported` where it has no use."""
    if use == "required" and not given:
        raise InvalidInput(advice or f"{param}: this model needs one.", param=param)
    if use == "unused" and given:
        raise Unsupported(advice or f"{param}: this model has no use for one; leave it out.", param=param)
