"""Few steps for Stable Video Diffusion: each step guesses the finished latents and lets in less noise than before.

For UNets that were distilled for it, as AnimateLCM's are. Source: Wang et al., "AnimateLCM" (arXiv:2402.00769); the
sigmas, and their places among forty, are those of its published code for SVD. Latents are scaled as SVD's Euler
scheduler does (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", with data of 1).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chatacter.chassis.errors import Misconfigured
from visualizr.backends.diffusion.weights import loaded

FEW_STEPS: Final = "VISUALIZR_FEW_STEPS"
STEPS: Final = 4
MOST_STEPS: Final = 40
LEAST_SIGMA: Final = 0.002
MOST_SIGMA: Final = 700.0
RHO: Final = 7.0


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a step leaves."""

    prev_sample: Any


class ConsistencySteps:
    """A scheduler, as the pipelines of diffusers use one. `generator` draws the noise that the steps let in."""

    order = 1
    init_noise_sigma = math.sqrt(MOST_SIGMA**2 + 1)

    def __init__(self) -> None:
        self.generator: Any = None
        self.timesteps: Any = None
        self._sigmas: list[float] = []
        self._at = 0

    def set_timesteps(self, steps: int, device: Any = None) -> None:
        """Begin a film of so many steps, 40 at most."""
        import torch  # noqa: PLC0415 - only behind a loaded model

        least, most = LEAST_SIGMA ** (1 / RHO), MOST_SIGMA ** (1 / RHO)
        places = [number * MOST_STEPS // steps / (MOST_STEPS - 1) for number in range(steps)]
        self._sigmas = [(most + place * (least - most)) ** RHO for place in places] + [0.0]
        told = [0.25 * math.log(sigma) for sigma in self._sigmas[:-1]]
        self.timesteps = torch.tensor(told, dtype=torch.float32, device=device)
        self._at = 0

    def scale_model_input(self, sample: Any, _: Any) -> Any:
        """Scale latents as the UNet wants to see them."""
        return sample / math.sqrt(self._sigmas[self._at] ** 2 + 1)

    def step(self, output: Any, _: Any, sample: Any) -> Stepped:
        """Take one step; the last one leaves no noise."""
        import torch  # noqa: PLC0415

        sigma, coming = self._sigmas[self._at], self._sigmas[self._at + 1]
        guess = sample.float() / (sigma**2 + 1) - output.float() * sigma / math.sqrt(sigma**2 + 1)
        noise = torch.randn(sample.shape, generator=self.generator, dtype=torch.float32).to(sample.device)
        self._at += 1
        return Stepped((guess + noise * coming).to(output.dtype))


def distilled(source: str, pipeline: Any, dtype: Any) -> Any:
    """Read a UNet for few steps: a folder, a repository, or one file of weights for the pipeline's own architecture.

    Raises `Misconfigured`.
    """
    kind = type(pipeline.unet)
    if not source.endswith(".safetensors"):
        return loaded("a UNet for few steps", FEW_STEPS, kind.from_pretrained, source, dtype=dtype)
    from accelerate import init_empty_weights  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    if not Path(source).is_file():
        raise Misconfigured(f"{FEW_STEPS}: there is no file at this path.")
    with init_empty_weights():
        unet = kind.from_config(pipeline.unet.config)
    try:
        unet.load_state_dict(load_file(source), assign=True)
    except RuntimeError as error:
        raise Misconfigured(f"{FEW_STEPS}: this file holds no UNet like that of VISUALIZR_WEIGHTS.") from error
    return unet.to(dtype=dtype).eval()
