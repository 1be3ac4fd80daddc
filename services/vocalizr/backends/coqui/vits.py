"""VITS, saying several lines in one go: each sounds as alone, whatever it is said beside.

The text encoder sees the lines side by side, padded and masked. What makes frames and samples of them, nearly all of
the work, sees them one after the other on one time axis, with gaps as wide as its widest filter reaches: there is no
padding to pay for. In the gaps everything is zero before each filter, as it is beyond the ends of a line that is alone.
A processor makes samples of a few lines after the other, as many as fit its cache, and says line by line where not even
a short one fits; a GPU gets all of them in one call.
Random numbers are drawn for each line by itself.

Imports PyTorch. The names are those of coqui-tts' own `Vits.inference`.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from vocalizr.backend import Samples
from vocalizr.backends.coqui.hifigan import Beyond, filters_of, reach_of, without_weight_norm
from vocalizr.backends.pytorch.chance import chance_of

# Bytes that the decoder's widest layer may hold of what a processor decodes in one call: see benchmarks/RESULTS.md.
CACHED: Final = 512 * 1024
# Frames of a short sentence, 0.7 s: where no more than that fits, nothing is gained by what else is done together.
SHORT: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What is said: token ids, how fast, which random numbers (None: any), in which voice and language.

    `voice` is the model's conditioning, [channels, 1], or None where it has one voice.
    """

    tokens: Sequence[int]
    pace: float
    seed: int | None
    voice: Tensor | None
    language: int | None


@dataclass(frozen=True, slots=True)
class Text:
    """Lines after the text encoder, padded: [lines, channels, tokens], and what belongs to them."""

    encoded: Tensor
    mean: Tensor
    deviation: Tensor
    mask: Tensor
    voices: Tensor | None
    language: Tensor | None


class VitsTogether:
    """A loaded VITS. One call at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._beyond = Beyond()
        without_weight_norm(model)
        for part in filters_of(model.waveform_decoder):
            part.register_forward_pre_hook(self._beyond)
        self._gap = gap_of(model)
        self._hop = math.prod(up.stride[0] for up in model.waveform_decoder.ups)
        self._most = most_frames(model.waveform_decoder, self._device)

    @property
    def gains(self) -> bool:
        """Whether lines said together take less than one by one: on a processor not, where the decoder is wide."""
        return self._most is None or self._most >= SHORT

    def said(self, lines: Sequence[Line]) -> list[Samples]:
        """Return the samples of each line."""
        chances = [chance_of(self._device, line.seed) for line in lines]
        text = self._read(lines)
        counts = self._counts(lines, text, chances)
        frames = [self._frames(text, row, counts[row, : len(line.tokens)]) for row, line in enumerate(lines)]
        pieces = [
            mean + self._noise(mean, chance) * torch.exp(deviation) * self._model.inference_noise_scale
            for (mean, deviation), chance in zip(frames, chances, strict=True)
        ]
        return self._sounds(pieces, text.voices)

    def _read(self, lines: Sequence[Line]) -> Text:
        model, device = self._model, self._device
        lengths = torch.tensor([len(line.tokens) for line in lines], device=device)
        tokens = torch.zeros(len(lines), int(lengths.max()), dtype=torch.long, device=device)
        for row, line in enumerate(lines):
            tokens[row, : len(line.tokens)] = torch.tensor(line.tokens, device=device)
        language = None
        if model.args.use_language_embedding:
            ids = torch.tensor([line.language or 0 for line in lines], device=device)
            language = model.emb_l(ids).unsqueeze(-1)
        voices = [line.voice for line in lines if line.voice is not None]
        encoded, mean, deviation, mask = model.text_encoder(tokens, lengths, lang_emb=language)
        return Text(encoded, mean, deviation, mask, torch.stack(voices) if voices else None, language)

    def _counts(self, lines: Sequence[Line], text: Text, chances: Sequence[torch.Generator]) -> Tensor:
        """How many frames each token lasts: [lines, tokens]."""
        model = self._model
        voices = text.voices if model.args.condition_dp_on_speaker else None
        if model.args.use_sdp:
            logarithms = self._drawn(lines, text, voices, chances)
        else:
            logarithms = model.duration_predictor(text.encoded, text.mask, g=voices, lang_emb=text.language)
        paces = torch.tensor([line.pace for line in lines], device=self._device).view(-1, 1, 1)
        lasting = torch.exp(logarithms.float()) * text.mask * model.length_scale / paces
        return torch.ceil(lasting).long().squeeze(1)

    def _drawn(
        self, lines: Sequence[Line], text: Text, voices: Tensor | None, chances: Sequence[torch.Generator]
    ) -> Tensor:
        """The reverse direction of the stochastic duration predictor, with noise of each line's own."""
        predictor = self._model.duration_predictor
        x = predictor.pre(text.encoded)
        if voices is not None:
            x = x + predictor.cond(voices)
        if text.language is not None:
            x = x + predictor.cond_lang(text.language)
        x = predictor.proj(predictor.convs(x, text.mask)) * text.mask
        z = torch.zeros(len(lines), 2, x.shape[-1], device=x.device, dtype=x.dtype)
        for row, (line, chance) in enumerate(zip(lines, chances, strict=True)):
            part = z[row, :, : len(line.tokens)]
            part.copy_(self._noise(part, chance))
        z = z * self._model.inference_noise_scale_dp
        flows = list(reversed(predictor.flows))
        for flow in [*flows[:-2], flows[-1]]:
            z = flow(torch.flip(z, [1]), text.mask, g=x, reverse=True)
        logarithms: Tensor = z[:, :1]
        return logarithms

    def _frames(self, text: Text, row: int, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of a line's frames, [channels, frames] each; at least one frame."""
        if not int(counts.sum()):
            counts = torch.ones_like(counts)
        tokens = counts.shape[0]
        return (
            text.mean[row, :, :tokens].repeat_interleave(counts, dim=1),
            text.deviation[row, :, :tokens].repeat_interleave(counts, dim=1),
        )

    def _sounds(self, pieces: Sequence[Tensor], voices: Tensor | None) -> list[Samples]:
        model = self._model
        lengths = [min(piece.shape[-1], model.max_inference_len or piece.shape[-1]) for piece in pieces]
        spans = list(pairwise(accumulate(lengths, lambda at, length: at + length + self._gap, initial=0)))
        ends = [start + length for (start, _), length in zip(spans, lengths, strict=True)]
        line = torch.zeros(1, pieces[0].shape[0], ends[-1], device=self._device, dtype=pieces[0].dtype)
        mask = torch.zeros(1, 1, ends[-1], device=self._device, dtype=line.dtype)
        for piece, (start, _), end in zip(pieces, spans, ends, strict=True):
            line[0, :, start:end] = piece[:, : end - start]
            mask[..., start:end] = 1
        of_frames = None
        if voices is not None:
            each = torch.tensor([after - start for start, after in spans], device=self._device)
            of_frames = voices[..., 0].t().unsqueeze(0).repeat_interleave(each, dim=2)[..., : ends[-1]]
        z = model.flow(line, mask, g=of_frames, reverse=True) * mask
        sounds: list[Samples] = []
        for stretch in stretches_of(lengths, self._most):
            begin, end = spans[stretch[0]][0], ends[stretch[-1]]
            speakers = None if of_frames is None else of_frames[..., begin:end]
            samples = self._decoded(z[..., begin:end], speakers, mask[..., begin:end] if len(stretch) > 1 else None)
            sounds += [self._cut(samples, spans[number][0] - begin, lengths[number]) for number in stretch]
        return sounds

    def _decoded(self, z: Tensor, speakers: Tensor | None, mask: Tensor | None) -> Samples:
        """The samples of frames on one time axis; one line by itself has no gaps to mask."""
        with self._beyond.ends(mask) if mask is not None else nullcontext():
            samples: Samples = self._model.waveform_decoder(z, g=speakers)[0, 0].float().cpu().numpy()
        return samples

    def _cut(self, samples: Samples, start: int, length: int) -> Samples:
        return np.array(samples[start * self._hop : (start + length) * self._hop])

    def _noise(self, like: Tensor, chance: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=chance, device=self._device).to(like.dtype)


def gap_of(model: Any) -> int:
    """Return how many frames any one filter reaches, and one more."""
    decoder = model.waveform_decoder
    reach: list[float] = [decoder.conv_pre.padding[0]]
    reach += [reach_of(part) for part in model.flow.modules() if isinstance(part, nn.Conv1d)]
    blocks = len(decoder.resblocks) // len(decoder.ups)
    scale = 1
    for number, up in enumerate(decoder.ups):
        reach.append(up.kernel_size[0] / up.stride[0] / scale)
        scale *= up.stride[0]
        for block in decoder.resblocks[number * blocks : (number + 1) * blocks]:
            reach += [reach_of(part) / scale for part in block.modules() if isinstance(part, nn.Conv1d)]
    reach.append(decoder.conv_post.padding[0] / scale)
    return math.ceil(max(reach)) + 1


def most_frames(decoder: Any, device: torch.device) -> int | None:
    """Return how many frames are worth decoding in one call; None: all there are.

    An accelerator wants as much at once as there is. A processor gains only what a call costs by itself, and loses more
    than that once what passes from filter to filter no longer stays in its cache.
    """
    if device.type != "cpu":
        return None
    widest, scale = int(decoder.conv_pre.out_channels), 1
    for up in decoder.ups:
        scale *= up.stride[0]
        widest = max(widest, up.out_channels * scale)
    size: int = decoder.conv_pre.weight.element_size()
    return CACHED // (widest * size)


def stretches_of(lengths: Sequence[int], most: int | None) -> list[range]:
    """Divide lines, by number and in order, into what is decoded in one call: one, or several of `most` frames."""
    stretches: list[range] = []
    held = 0
    for number, length in enumerate(lengths):
        held += length
        if stretches and (most is None or held <= most):
            stretches[-1] = range(stretches[-1].start, number + 1)
        else:
            stretches.append(range(number, number + 1))
            held = length
    return stretches
