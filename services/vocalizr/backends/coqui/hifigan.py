"""HiFi-GAN, which makes samples of frames for VITS and XTTS: what it needs for sounds of several lengths in one go.

Imports PyTorch. The names are those of coqui-tts' own `HifiganGenerator`.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations


class Beyond:
    """Before a filter, sets what lies beyond the ends of the lines to zero: a hook on each filter of the decoder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._masks: dict[int, Tensor] = {}

    @contextmanager
    def ends(self, mask: Tensor | None) -> Iterator[None]:
        """Do so for the length of the block; `mask` is one within a line, [rows, 1, frames]; None: no line ends."""
        with self._lock:
            self._masks = {} if mask is None else {1: mask}
            try:
                yield
            finally:
                self._masks = {}

    def __call__(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Mask a filter's input, whatever number of samples it has for a frame."""
        if not self._masks:
            return None
        given = arguments[0]
        scale = given.shape[-1] // self._masks[1].shape[-1]
        if scale not in self._masks:
            self._masks[scale] = self._masks[1].repeat_interleave(scale, dim=-1)
        return (given * self._masks[scale], *arguments[1:])


def filters_of(decoder: Any) -> Iterator[nn.Module]:
    """Yield what in the decoder looks at neighbours in time."""
    yield decoder.conv_pre
    yield from decoder.ups
    for block in decoder.resblocks:
        yield from (part for part in block.modules() if isinstance(part, nn.Conv1d))
    yield decoder.conv_post


def reach_of(part: nn.Conv1d) -> int:
    """Return how many samples a filter reaches to each side: what it is padded by."""
    return int(part.padding[0])


def reach_of_all(decoder: Any) -> int:
    """Return how many frames to each side a sample hears, through all filters one after the other, rounded up."""
    blocks = len(decoder.resblocks) // len(decoder.ups)
    reach: float = reach_of(decoder.conv_pre)
    scale = 1
    for number, up in enumerate(decoder.ups):
        reach += up.kernel_size[0] / up.stride[0] / scale
        scale *= up.stride[0]
        widest = max(
            sum(reach_of(part) for part in block.modules() if isinstance(part, nn.Conv1d))
            for block in decoder.resblocks[number * blocks : (number + 1) * blocks]
        )
        reach += widest / scale
    # A step between two rates may be half a sample off.
    return math.ceil(reach + reach_of(decoder.conv_post) / scale) + len(decoder.ups)


def without_weight_norm(model: Any) -> None:
    """Keep the weights instead of working them out anew at each call."""
    for part in model.modules():
        if is_parametrized(part, "weight"):
            remove_parametrizations(part, "weight", leave_parametrized=True)
