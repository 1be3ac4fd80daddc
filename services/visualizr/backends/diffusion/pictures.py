"""Pictures on their way in and frames on their way out."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visualizr import photos
from visualizr.backend import Clip, Picture
from visualizr.backends.diffusion.take import Take

Pixels = NDArray[np.uint8]


def still(picture: Picture, width: int, height: int) -> Any:
    """Decode a photo and cut it to the film's frame, as Pillow has it. Raises `InvalidInput`."""
    return as_pillow(covering(photos.decoded(picture.data)[..., ::-1], width, height))


def stills(clip: Clip, width: int, height: int) -> list[Any]:
    """Cut every frame of a clip to the film's frame, as Pillow has them."""
    return [as_pillow(covering(frame, width, height)) for frame in clip.frames]


def covering(pixels: NDArray[Any], width: int, height: int) -> Pixels:
    """Scale a picture until it covers the frame and cut off what hangs over, the same on both sides."""
    tall, wide = pixels.shape[:2]
    scale = max(width / wide, height / tall)
    size = (max(width, round(wide * scale)), max(height, round(tall * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width]).astype(np.uint8, copy=False)


def as_pillow(pixels: Pixels) -> Any:
    """Hand pixels, red first, to Pillow, which diffusers wants."""
    from PIL import Image  # noqa: PLC0415 - comes with diffusers

    return Image.fromarray(pixels)


def decoded(vae: Any, latents: Any, chunk: int, take: Take) -> Iterator[Pixels]:
    """Decode latents [frames, 4, height, width] a chunk at a time, 0 for all at once.

    Yields frames as uint8 [height, width, 4], blue first. Frames of a chunk know of each other where the autoencoder
    has temporal layers.
    """
    import torch  # noqa: PLC0415 - only behind a loaded model

    temporal = type(vae).__name__ == "AutoencoderKLTemporalDecoder"
    scaled = latents / vae.config.scaling_factor
    with torch.inference_mode():
        for begin in range(0, len(scaled), chunk or len(scaled)):
            take.check()
            part = scaled[begin : begin + (chunk or len(scaled))].to(vae.dtype)
            named = {"num_frames": len(part)} if temporal else {}
            pixels = vae.decode(part, **named).sample.float()
            pixels = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            for frame in pixels:
                yield cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2BGRA).astype(np.uint8, copy=False)
