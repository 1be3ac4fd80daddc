"""HiFi-GAN, which makes samples of frames: for VITS of several lines in one go, for XTTS of a line that still grows.

Imports PyTorch. The names are those of coqui-tts' own `HifiganGenerator`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from TTS.vocoder.models.hifigan_generator import LRELU_SLOPE


class Beyond:
    """Before a filter, sets what lies beyond the ends of the lines to zero: a hook on each filter of the decoder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._masks: dict[int, Tensor] = {}

    @contextmanager
    def ends(self, mask: Tensor) -> Iterator[None]:
        """Do so for the length of the block; `mask` is one within a line, [rows, 1, frames]."""
        with self._lock:
            self._masks = {1: mask}
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


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the decoder: it makes `scale` samples of each, and none hears more than `reach` to each side of that.

    `through` takes samples, [rows, channels, samples], and the rows' speakers.
    """

    reach: int
    scale: int
    through: Callable[[Tensor, Tensor], Tensor]


def stages_of(decoder: Any) -> list[Stage]:
    """Return the parts that one sample passes through, the first one first. Source: `HifiganGenerator.forward`."""
    return [
        Stage(reach_of(decoder.conv_pre), 1, partial(begun, decoder)),
        *(raising(decoder, number) for number in range(len(decoder.ups))),
        Stage(reach_of(decoder.conv_post), 1, partial(ended, decoder)),
    ]


def begun(decoder: Any, x: Tensor, speakers: Tensor) -> Tensor:
    """Pass the first filter."""
    out: Tensor = decoder.conv_pre(x)
    return out + decoder.cond_layer(speakers) if hasattr(decoder, "cond_layer") else out


def raising(decoder: Any, number: int) -> Stage:
    """Return the stage of a step to a higher rate and of the filters behind it."""
    up = decoder.ups[number]
    kernel, stride, padding = up.kernel_size[0], up.stride[0], up.padding[0]
    blocks = decoder.resblocks[number * decoder.num_kernels : (number + 1) * decoder.num_kernels]
    behind = max(sum(reach_of(part) for part in block.modules() if isinstance(part, nn.Conv1d)) for block in blocks)

    def through(x: Tensor, speakers: Tensor) -> Tensor:
        raised = up(leaky_relu(x, LRELU_SLOPE))
        if decoder.cond_in_each_up_layer:
            raised = raised + decoder.conds[number](speakers)
        out: Tensor = sum(block(raised) for block in blocks) / decoder.num_kernels
        return out

    return Stage((behind + kernel - 1 - padding) // stride, stride, through)


def ended(decoder: Any, x: Tensor, _: Tensor) -> Tensor:
    """Pass the last filter."""
    out: Tensor = torch.tanh(decoder.conv_post(leaky_relu(x)))
    return out


def without_weight_norm(model: Any) -> None:
    """Keep the weights instead of working them out anew at each call."""
    for part in model.modules():
        if is_parametrized(part, "weight"):
            remove_parametrizations(part, "weight", leave_parametrized=True)
