"""The sound of XTTS' latents, chunk by chunk, as `Xtts.inference_stream` cuts and joins it.

That one makes a sentence's whole sound anew for each of its chunks. Here only as much is made as the decoder's filters
hear before the chunk: the samples are the same, and a long sentence costs no more a second than a short one.

Imports PyTorch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vocalizr.backend import Samples
from vocalizr.backends.coqui.hifigan import Beyond, filters_of, reach_of_all, without_weight_norm

# Samples by which a chunk fades into the next. Source: `Xtts.inference_stream`.
OVERLAP: Final = 1024
SLOWEST: Final = 0.05


@dataclass(slots=True, eq=False)
class Strand:
    """A sentence's sound so far: its speaker, [channels, 1], and its pace; `made` samples are made.

    The last ones of these are kept back in `fading`, until it is known what they fade into.
    """

    speaker: Tensor
    pace: float
    made: int = 0
    fading: Samples | None = None

    def joined(self, sound: Samples, *, last: bool) -> Samples:
        """Take the sound that begins with what fades; return what can be heard."""
        if self.fading is not None:
            into = np.linspace(0.0, 1.0, OVERLAP, dtype=np.float32)
            sound = np.concatenate([self.fading * into[::-1] + sound[:OVERLAP] * into, sound[OVERLAP:]])
        heard, self.fading = (sound, None) if last else (sound[:-OVERLAP], sound[-OVERLAP:])
        return heard


@dataclass(frozen=True, slots=True)
class Window:
    """Frames to decode, [channels, frames], and how many samples of their sound were heard already."""

    frames: Tensor
    before: int


class Chunks:
    """XTTS' decoder. `numbers` is the context in which it multiplies."""

    def __init__(self, decoder: Any, numbers: Any) -> None:
        self._decoder = decoder
        self._numbers = numbers
        self._beyond = Beyond()
        self._network = decoder.waveform_decoder
        without_weight_norm(self._network)
        for part in filters_of(self._network):
            part.register_forward_pre_hook(self._beyond)
        self._hop = math.prod(up.stride[0] for up in self._network.ups)
        self._reach = reach_of_all(self._network)

    @torch.inference_mode()
    def sounds(self, strands: Sequence[Strand], latents: Sequence[Sequence[Tensor]]) -> list[Samples]:
        """Return, of each strand, the sound from what fades to the end of its latents, [channels] each."""
        windows = [self._window(strand, torch.stack(list(of))) for strand, of in zip(strands, latents, strict=True)]
        lengths = [window.frames.shape[-1] for window in windows]
        frames = torch.zeros(len(windows), windows[0].frames.shape[0], max(lengths), device=windows[0].frames.device)
        for row, window in zip(frames, windows, strict=True):
            row[:, : window.frames.shape[-1]] = window.frames
        mask = None
        if min(lengths) < max(lengths):
            ends = torch.tensor(lengths, device=frames.device)
            mask = (torch.arange(max(lengths), device=frames.device) < ends[:, None])[:, None].to(frames.dtype)
        speakers = torch.stack([strand.speaker for strand in strands])
        with self._numbers(), self._beyond.ends(mask):
            made = self._network(frames, g=speakers)[:, 0].float().cpu().numpy()
        found = []
        for strand, window, length, sound in zip(strands, windows, lengths, made, strict=True):
            strand.made += length * self._hop - window.before - (0 if strand.fading is None else OVERLAP)
            found.append(np.array(sound[window.before : length * self._hop]))
        return found

    def _window(self, strand: Strand, latents: Tensor) -> Window:
        """Cut what the next samples are made of."""
        frames = self._frames(latents, strand.pace)
        begin = strand.made - (0 if strand.fading is None else OVERLAP)
        first = max(0, begin // self._hop - self._reach)
        return Window(frames[:, first:], begin - first * self._hop)

    def _frames(self, latents: Tensor, pace: float) -> Tensor:
        """Return frames, [channels, frames], of latents, [codes, channels]. Source: `HifiDecoder.forward`.

        That one makes nothing of a single code that is said fast; here it is one frame at least.
        """
        decoder = self._decoder
        factors = [1 / max(pace, SLOWEST), decoder.ar_mel_length_compression / decoder.output_hop_length]
        factors.append(decoder.output_sample_rate / decoder.input_sample_rate)
        frames = latents.t()[None].float()
        for factor in factors:
            if frames.shape[-1] * factor < 1.0:
                frames = frames[..., :1]
            elif factor != 1.0:
                frames = interpolate(frames, scale_factor=[factor], mode="linear")
        return frames[0]
