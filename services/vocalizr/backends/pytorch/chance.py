"""Random numbers of a text's own: what is drawn for it does not depend on who is spoken beside it.

Imports PyTorch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def chance_of(device: str | torch.device, seed: int | None) -> torch.Generator:
    """Begin random numbers: with a seed the same ones each time."""
    begun = torch.Generator(device=device)
    if seed is None:
        begun.seed()
    else:
        begun.manual_seed(seed)
    return begun


def exponential(like: Tensor, chances: Sequence[torch.Generator]) -> Tensor:
    """Return exponential noise, [rows, codes], a row from each generator.

    The highest of probabilities divided by it is drawn by these probabilities, and so is the highest of their
    logarithms less its own. Rounding, which differs with who is beside a row, hardly ever changes which that is.
    """
    noise = torch.empty_like(like)
    for row, own in zip(noise, chances, strict=True):
        row.exponential_(generator=own)
    return noise
