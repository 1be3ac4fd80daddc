"""XTTS' language model of sounds, a step for many sentences at once: they join and leave between two steps.

Each sentence is a row of one cache of keys and values, which begins at the row's own zero and ends where the row has
come to; what lies behind is masked. What a row says does not depend on the rows beside it, but for rounding: it has a
position, a memory of what it said, and random numbers of its own.

Imports PyTorch and transformers. The names are those of coqui-tts' `GPT` and of GPT-2 in transformers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from vocalizr.backends.pytorch.chance import exponential

# By so many places the cache grows, so that it is seldom copied.
PLACES: Final = 128
# What coqui-tts has in the places of the text, which so counts as said already.
TEXT: Final = 1
BROKEN: Final = -1


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a code is drawn. Source: `Xtts.inference_stream` and the order of transformers' `generate`."""

    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float

    def likely(self, logits: Tensor, said: Tensor) -> Tensor:
        """Return the probabilities of the next codes, [rows, codes]; `said` marks those that a row has had."""
        tired = torch.where(logits < 0, logits * self.repetition_penalty, logits / self.repetition_penalty)
        scores = torch.where(said, tired, logits)
        for warper in self._warpers():
            scores = warper(None, scores)
        likely: Tensor = nn.functional.softmax(scores, dim=-1)
        return likely

    def _warpers(self) -> list[Any]:
        found: list[Any] = []
        if self.temperature != 1.0:
            found.append(TemperatureLogitsWarper(float(self.temperature)))
        if self.top_k:
            found.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1.0:
            found.append(TopPLogitsWarper(self.top_p))
        return found


@dataclass(slots=True, eq=False)
class Row:
    """A sentence: `prefix`, [places, channels], is what it is to say and in which voice; `codes` is what it has said.

    `latents`, one a code and [channels] each, are what the sound is made of. It is `over` after its last code, and
    `broken` when what it has said is no numbers any more.
    """

    prefix: Tensor
    chance: torch.Generator
    codes: list[int] = field(default_factory=list)
    latents: list[Tensor] = field(default_factory=list)
    over: bool = False
    broken: bool = False

    @property
    def places(self) -> int:
        """How many places of the cache it has filled."""
        return len(self.prefix) + max(0, len(self.codes) - 1)


class Gpt:
    """A loaded one; `numbers` are what its layers multiply in."""

    def __init__(self, gpt: Any, sampling: Sampling, numbers: torch.dtype) -> None:
        self.gpt = gpt
        self.sampling = sampling
        self.blocks: Sequence[Any] = list(gpt.gpt.h)
        self.numbers = numbers
        self.device = gpt.mel_embedding.weight.device
        gpt.gpt.to(numbers)

    def prefix(self, latents: Tensor, text: Sequence[int]) -> Tensor:
        """Return what a sentence begins with, [places, channels]: the voice, the text, and the first code."""
        gpt = self.gpt
        tokens = torch.tensor([[gpt.start_text_token, *text, gpt.stop_text_token]], device=self.device)
        words = gpt.text_embedding(tokens) + gpt.text_pos_embedding(tokens)
        start = self.embedded([gpt.start_audio_token], [0])
        return torch.cat([latents.to(self.device, words.dtype), words, start], dim=1)[0]

    def embedded(self, codes: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Return codes as the layers take them, [rows, 1, channels]."""
        said = self.gpt.mel_embedding(torch.tensor(codes, device=self.device))
        where = self.gpt.mel_pos_embedding.emb(torch.tensor(positions, device=self.device))
        return torch.unsqueeze(said + where, 1)


class Steps:
    """Rows that are said together. One call at a time; a step that found no memory can be made again.

    `said` counts the codes that steps made, `worked` what they looked at of the cache, `padded` what of it in vain.
    """

    def __init__(self, model: Gpt) -> None:
        self.rows: list[Row] = []
        self.said = self.worked = self.padded = 0
        self._model = model
        gpt = model.gpt
        self._heads: int = gpt.heads
        self._cache: Tensor | None = None
        self._had = torch.zeros(0, gpt.mel_head.out_features, dtype=torch.bool, device=model.device)

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """Take rows in, and say their first codes."""
        longest = max(len(row.prefix) for row in rows)
        before, count = len(self.rows), len(self.rows) + len(rows)
        self._grow(count, max([longest, *(row.places for row in self.rows)]) + 1)
        given = torch.zeros(len(rows), longest, rows[0].prefix.shape[1], device=self._model.device)
        for number, row in enumerate(rows):
            given[number, : len(row.prefix)] = row.prefix
        cache = self._held()[:, :, before:count, :, :longest]

        def attended(layer: int, asked: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            cache[layer, 0], cache[layer, 1] = keys, values
            # What a row is padded with lies behind it, and nobody looks ahead.
            return scaled_dot_product_attention(asked, keys, values, is_causal=True)

        hidden = self._through(given, attended)
        ends = torch.tensor([len(row.prefix) - 1 for row in rows], device=self._model.device)
        said = torch.zeros(len(rows), self._had.shape[1], dtype=torch.bool, device=self._model.device)
        said[:, [TEXT, self._model.gpt.start_audio_token]] = True
        self._draw(rows, hidden[torch.arange(len(rows), device=ends.device), ends], said)
        self._had = torch.cat([self._had, said])
        self.rows += rows

    @torch.inference_mode()
    def step(self) -> None:
        """Say one more code of each row."""
        rows, model = self.rows, self._model
        places = [row.places for row in rows]
        longest = max(places) + 1
        self._grow(len(rows), longest)
        cache = self._held()[:, :, : len(rows), :, :longest]
        ends = torch.tensor(places, device=model.device)
        numbers = torch.arange(len(rows), device=model.device)
        mask = None
        if min(places) + 1 < longest:
            mask = (torch.arange(longest, device=model.device) <= ends[:, None])[:, None, None]

        def attended(layer: int, asked: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            cache[layer, 0, numbers, :, ends] = keys[:, :, 0]
            cache[layer, 1, numbers, :, ends] = values[:, :, 0]
            return scaled_dot_product_attention(asked, cache[layer, 0], cache[layer, 1], attn_mask=mask)

        last = model.embedded([row.codes[-1] for row in rows], [len(row.codes) for row in rows])
        self._draw(rows, self._through(last, attended)[:, 0], self._had)
        self.said += len(rows)
        self.worked += longest * len(rows)
        self.padded += longest * len(rows) - sum(places) - len(rows)

    @torch.inference_mode()
    def leave(self, row: Row) -> None:
        """Let a row go; the last one takes its place."""
        number, last = self.rows.index(row), len(self.rows) - 1
        cache = self._held()
        cache[:, :, number] = cache[:, :, last]
        if row.broken:  # what is masked counts nothing, unless it is no number
            cache[:, :, last] = 0
        self._had[number] = self._had[last]
        self.rows[number] = self.rows[last]
        self._had = self._had[:last]
        self.rows.pop()

    def _through(self, x: Tensor, attended: Any) -> Tensor:
        """Pass [rows, places, channels] through all layers; what each attends to is told by `attended`."""
        x = x.to(self._model.numbers)
        rows, places, channels = x.shape
        for layer, block in enumerate(self._model.blocks):
            mixed = block.attn.c_attn(block.ln_1(x)).view(rows, places, 3, self._heads, channels // self._heads)
            asked, keys, values = mixed.permute(2, 0, 3, 1, 4)
            heard = attended(layer, asked, keys, values).transpose(1, 2).reshape(rows, places, channels)
            x = x + block.attn.c_proj(heard)
            x = x + block.mlp(block.ln_2(x))
        out: Tensor = self._model.gpt.gpt.ln_f(x)
        return out

    def _draw(self, rows: Sequence[Row], hidden: Tensor, said: Tensor) -> None:
        """Draw a code of each row, with its own random numbers: as `torch.multinomial` does for one row."""
        gpt = self._model.gpt
        latents = gpt.final_norm(hidden.float())
        likely = self._model.sampling.likely(gpt.mel_head(latents).float(), said)
        drawn = torch.argmax(likely / exponential(likely, [row.chance for row in rows]), dim=-1)
        said.scatter_(1, drawn[:, None], value=True)
        codes = torch.where(torch.isfinite(latents).all(dim=-1), drawn, BROKEN).tolist()
        for row, code, latent in zip(rows, codes, latents, strict=True):
            row.codes.append(code)
            row.latents.append(latent)
            row.broken = code == BROKEN
            row.over = row.broken or code == gpt.stop_audio_token or len(row.codes) >= gpt.max_gen_mel_tokens

    def _grow(self, rows: int, places: int) -> None:
        """Make room for so many rows of so many places; what is there stays."""
        held = self._cache
        if held is not None and held.shape[2] >= rows and held.shape[4] >= places:
            return
        known = (held.shape[2], held.shape[4]) if held is not None else (0, 0)
        size = (max(known[0], 1 << (rows - 1).bit_length()), max(known[1], math.ceil(places / PLACES) * PLACES))
        channels = self._model.gpt.model_dim // self._heads
        shape = (len(self._model.blocks), 2, size[0], self._heads, size[1], channels)
        grown = torch.zeros(shape, dtype=self._model.numbers, device=self._model.device)
        if held is not None:
            grown[:, :, : known[0], :, : known[1]] = held
        self._cache = grown

    def _held(self) -> Tensor:
        if self._cache is None:
            raise RuntimeError("nobody has joined")
        return self._cache
