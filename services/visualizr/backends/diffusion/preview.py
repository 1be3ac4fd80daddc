"""A rough look at latents, without the decoder: each pixel of a latent is about one colour."""

from typing import Any, Final

import cv2
import numpy as np

from visualizr.backend import Picture
from visualizr.renditions import webp_marked

# How much each of the four channels of Stable Diffusion's autoencoder adds to red, green and blue: a least-squares fit
# of decoded colours on latents. Source: the coefficients published by K. Turner for SD 1.x, rounded to two digits.
COLOURS: Final = np.array([[0.30, 0.21, 0.21], [0.19, 0.29, 0.17], [-0.16, 0.19, 0.26], [-0.18, -0.27, -0.47]])
LONGEST_SIDE: Final = 256
QUALITY: Final = 60


def previewed(latent: Any) -> Picture | None:
    """Draw the latent of one frame, a tensor [4, height, width], as a small WebP that is marked as synthetic.

    None for latents of another form.
    """
    if latent.dim() != COLOURS.ndim + 1 or len(latent) != len(COLOURS):
        return None
    values = latent.detach().float().cpu().numpy()
    colours = np.clip(np.einsum("chw,ck->hwk", values, COLOURS) * 0.5 + 0.5, 0.0, 1.0)
    pixels = np.ascontiguousarray((colours[..., ::-1] * 255).astype(np.uint8))
    height, width = pixels.shape[:2]
    scale = max(1, LONGEST_SIDE // max(height, width))
    enlarged = cv2.resize(pixels, (width * scale, height * scale), interpolation=cv2.INTER_LINEAR)
    _, encoded = cv2.imencode(".webp", enlarged, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return Picture("image/webp", webp_marked(encoded.tobytes()))
