"""Codes drawn one after the other, for several rows at once, each with random numbers of its own.

transformers' `generate` draws for all rows from PyTorch's one generator, and goes on with rows that have ended. Here a
row is gone from the batch after its last code.

Imports PyTorch and transformers: only after the torchaudio mend.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache
from transformers.generation.logits_process import (
    BarkEosPrioritizerLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from vocalizr.backends.pytorch.chance import exponential

# What `generate` takes where the publisher's file says nothing of it.
TOP_K: Final = 50
# Added to the score of a place that is not there: enough that its weight is zero, and within what float16 can hold.
NOT_THERE: Final = -1e4


@dataclass(slots=True, eq=False)
class Row:
    """What a network reads first, [places, channels], and what it drew after that, at most `most` codes."""

    given: Tensor
    most: int
    chance: torch.Generator
    cancelled: threading.Event
    codes: list[int] = field(default_factory=list)
    ended: bool = False
    broken: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more is drawn."""
        return self.ended or self.broken or len(self.codes) >= self.most or self.cancelled.is_set()


class Choice:
    """How the next code is chosen: `among` says which codes may come at a step, `end` is the one that ends a row."""

    def __init__(self, told: Any, among: Callable[[int], slice], end: int | None = None) -> None:
        self.end = end
        self._among = among
        self._drawn = bool(told.do_sample)
        self._shaping: list[Any] = []
        least = getattr(told, "min_eos_p", None)
        if end is not None and least:
            self._shaping.append(BarkEosPrioritizerLogitsProcessor(end, least))
        if self._drawn:
            if told.temperature not in (None, 1.0):
                self._shaping.append(TemperatureLogitsWarper(told.temperature))
            if (count := TOP_K if told.top_k is None else told.top_k) > 0:
                self._shaping.append(TopKLogitsWarper(count))
            if told.top_p is not None and told.top_p < 1:
                self._shaping.append(TopPLogitsWarper(told.top_p))

    def __call__(self, logits: Tensor, step: int, chances: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Return the code of each row, and whether its numbers are ones."""
        part = self._among(step)
        scores = logits[:, part].float()
        for shape in self._shaping:
            scores = shape(None, scores)
        if self._drawn:
            scores = scores - exponential(scores, chances).log()
        best, codes = scores.max(dim=-1)
        return codes + part.start, torch.isfinite(best)


def only_last(_: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Have scores made of a text's last place alone: a hook of `lm_head`, whose scores of all others nobody reads."""
    return (inputs[0][:, -1:],)


@torch.inference_mode()
def draw(network: Any, choice: Choice, rows: Sequence[Row]) -> None:
    """Draw the codes of rows, until each has ended or is not wanted any more.

    Rows that are given less than the longest begin further right, at the row's own place zero.
    """
    going = [row for row in rows if not row.over]
    if not going:
        return
    longest = max(row.given.shape[0] for row in going)
    before = [longest - row.given.shape[0] for row in going]
    starts = torch.tensor(before, device=network.device) if any(before) else None
    given = torch.stack([functional.pad(row.given, (0, 0, start, 0)) for row, start in zip(going, before, strict=True)])
    cache = DynamicCache(config=network.config)
    for step in range(max(row.most for row in going)):
        logits = scored(network, given, starts, cache)
        codes, sound = choice(logits, step, [row.chance for row in going])
        for row, code, good in zip(going, codes.tolist(), sound.tolist(), strict=True):
            row.ended, row.broken = code == choice.end, not good
            if not (row.ended or row.broken):
                row.codes.append(code)
        staying = [number for number, row in enumerate(going) if not row.over]
        if not staying:
            return
        if len(staying) < len(going):
            kept = torch.tensor(staying, device=network.device)
            cache.batch_select_indices(kept)
            going, codes = [going[number] for number in staying], codes[kept]
            starts = None if starts is None else starts[kept]
        given = network.input_embeds_layer(codes)[:, None]


def scored(network: Any, given: Tensor, starts: Tensor | None, cache: DynamicCache) -> Tensor:
    """Return the scores of the next code, [rows, codes]. What lies left of a row's start is not looked at."""
    seen = cache.get_seq_length() + given.shape[1]
    places = torch.arange(seen, device=given.device)[None]
    mask = None
    if starts is not None:
        # Made here, because the network makes it of too few places once its cache holds some.
        mask = torch.zeros(len(given), seen, device=given.device, dtype=given.dtype)
        mask = mask.masked_fill(places < starts[:, None], NOT_THERE)[:, None, None]
        places = (places - starts[:, None]).clamp(min=0)
    out = network(
        inputs_embeds=given,
        position_ids=places[:, -given.shape[1] :],
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
    )
    scores: Tensor = out.logits[:, -1]
    return scores
