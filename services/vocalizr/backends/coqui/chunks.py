"""The sound of XTTS' latents, made as they come: sample by sample that of the whole sentence in one go.

`Xtts.inference_stream` makes a sentence's whole sound anew for each of its chunks, as if it ended there, and fades what
it made of an end into what it makes of the middle. Here a sample is made once no later code can change it, and each
stage of the decoder keeps of what came before only as much as its filters hear: nothing is to be faded, and how a
sentence is cut into chunks changes neither its sound nor, by much, the work.

Imports PyTorch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vocalizr.backend import Samples
from vocalizr.backends.coqui.hifigan import Stage, stages_of, without_weight_norm

SLOWEST: Final = 0.05


@dataclass(frozen=True, slots=True)
class Tail:
    """What a stage keeps of a sentence, [channels, samples]; of the first `passed` of them it has made all there is."""

    kept: Tensor
    passed: int


@dataclass(slots=True, eq=False)
class Strand:
    """A sentence on its way through the decoder: its speaker, [channels, 1], its pace, the frames that it has had."""

    speaker: Tensor
    pace: float
    frames: int = 0
    tails: Sequence[Tail] = ()


class Chunks:
    """XTTS' decoder. `numbers` is the context in which it multiplies."""

    def __init__(self, decoder: Any, numbers: Any) -> None:
        self._decoder = decoder
        self._numbers = numbers
        without_weight_norm(decoder.waveform_decoder)
        self._stages = stages_of(decoder.waveform_decoder)

    @torch.inference_mode()
    def sounds(self, strands: Sequence[Strand], latents: Sequence[Sequence[Tensor]], *, over: bool) -> list[Samples]:
        """Return what is to be heard next of strands that are equally far: all that no later latent will change.

        Latents, [channels] each, are all that a strand has; with `over` no more come of any. Where this finds no
        memory, the strands are what they were.
        """
        frames = [
            self._frames(torch.stack(list(each)), strand.pace, over=over)
            for strand, each in zip(strands, latents, strict=True)
        ]
        count = frames[0].shape[-1]
        sound = torch.stack(frames)[..., strands[0].frames :]
        speakers = torch.stack([strand.speaker for strand in strands])
        tails: list[list[Tail]] = []
        with self._numbers():
            for number, stage in enumerate(self._stages):
                sound, after = passed(
                    stage, [strand.tails[number] for strand in strands if strand.tails], sound, speakers, over=over
                )
                tails.append(after)
        heard = list(sound[:, 0].float().cpu().numpy())
        # Only here, where nothing can fail any more.
        for strand, own in zip(strands, zip(*tails, strict=True), strict=True):
            strand.frames, strand.tails = count, own
        return heard

    def _frames(self, latents: Tensor, pace: float, *, over: bool) -> Tensor:
        """Return the frames, [channels, frames], of latents, [codes, channels], that no later latent changes.

        Source: `HifiDecoder.forward`. That one makes nothing of a single code that is said fast; here it is one frame
        at least.
        """
        decoder = self._decoder
        factors = [1 / max(pace, SLOWEST), decoder.ar_mel_length_compression / decoder.output_hop_length]
        factors.append(decoder.output_sample_rate / decoder.input_sample_rate)
        frames, settled = latents.t()[None].float(), len(latents)
        for factor in factors:
            if frames.shape[-1] * factor < 1.0:
                frames = frames[..., :1]
            elif factor != 1.0:
                frames = interpolate(frames, scale_factor=[factor], mode="linear")
                # What lies before the middle of the last one is between two that are known.
                settled = max(0, min(frames.shape[-1], math.ceil((settled - 0.5) * factor - 0.5)))
        return frames[0] if over else frames[0, :, :settled]


def passed(
    stage: Stage, tails: Sequence[Tail], new: Tensor, speakers: Tensor, *, over: bool
) -> tuple[Tensor, list[Tail]]:
    """Pass what is new, [rows, channels, samples], through a stage; return what is settled behind it, and its tails."""
    window = torch.cat([torch.stack([tail.kept for tail in tails]), new], -1) if tails else new
    before = tails[0].passed if tails else 0
    now = window.shape[-1] if over else max(before, window.shape[-1] - stage.reach)
    begin = max(0, now - stage.reach)
    made = stage.through(window, speakers)[..., before * stage.scale : now * stage.scale]
    return made, [Tail(row[:, begin:].clone(), now - begin) for row in window]
