"""Sentences that Bark says together: code by code in its first two networks, each by itself in the others.

The inputs of the first two are those of transformers' own `generate`, but a voice for each row instead of one for all.
The third network always reads 1,024 places, arithmetic enough for one: it and the codec take a sentence at a time.

Imports PyTorch and transformers: only after the torchaudio mend.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from chatacter.chassis.errors import OutOfMemory
from chatacter.serving.batching import Joining, Left, Made, nobody
from chatacter.serving.memory import tried
from vocalizr.backend import NO_SOUND, Samples
from vocalizr.backends.bark.drawing import Choice, Row, draw
from vocalizr.backends.bark.model import COARSE, Bark
from vocalizr.backends.bark.voicing import RATE, Portion
from vocalizr.backends.pytorch.chance import chance_of
from vocalizr.backends.pytorch.edges import flowing

# Tokens of text that the first network reads.
TEXT: Final = 256
SEEDS: Final = 2**31

Result = Made[Samples] | Left


@dataclass(slots=True, eq=False)
class Sentence:
    """One that is said: its number, whether it is wanted, and what the networks have drawn of it."""

    number: int
    portion: Portion
    cancelled: threading.Event
    chance: torch.Generator
    meaning: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    length: int = 0
    broken: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of its codes are there."""
        return len(self.codes) >= self.length

    def row(self, given: Tensor, most: int) -> Row:
        """Make a row of a batch of what a network is given, to draw so many codes at most."""
        return Row(given, most, self.chance, self.cancelled)


class Company:
    """Says sentences with a loaded model, in a call of `said` each batch."""

    def __init__(self, bark: Bark) -> None:
        meaning, coarse = bark.steps.meaning, bark.steps.coarse
        self._bark = bark
        self._model = bark.model
        self._meaning, self._coarse = meaning, coarse
        self._ratio = coarse.coarse_rate_hz / meaning.semantic_rate_hz * coarse.n_coarse_codebooks
        first, second = meaning.semantic_vocab_size, meaning.semantic_vocab_size + bark.steps.codebook_size
        self._of_meaning = Choice(meaning, lambda _: slice(0, meaning.semantic_pad_token + 1), meaning.eos_token_id)
        self._of_codes = Choice(coarse, lambda step: slice(second, None) if step % 2 else slice(first, second))

    def said(
        self, portions: Sequence[Portion], cancelled: Sequence[threading.Event], joining: Joining[Portion] = nobody
    ) -> Iterator[Result]:
        """Yield the sound of each as soon as it is whole; who comes joins before the next window of codes.

        Raises what befalls all of them.
        """
        numbers = count()
        going: list[Sentence] = []
        coming = list(zip(portions, cancelled, strict=True))
        while coming or going:
            sentences = [
                Sentence(next(numbers), portion, event, chance_of(self._model.device, portion.seed))
                for portion, event in coming
            ]
            yield from self._arrived(sentences, going)
            yield from self._parted(going)
            self._window(going)
            yield from self._parted(going)
            coming = list(joining())

    def _arrived(self, sentences: Sequence[Sentence], going: list[Sentence]) -> Iterator[Result]:
        """Take sentences in, once it is drawn what they mean; one that cannot be read leaves alone.

        Where there is no memory to draw for them they leave, and others who are under way go on; else it is raised.
        """
        rows: dict[Sentence, Row] = {}
        for sentence in sentences:
            given = tried(partial(self._read, sentence))
            if isinstance(given, Exception):
                yield Left(sentence.number, given)
            else:
                rows[sentence] = sentence.row(given, self._meaning.max_new_tokens)
        failure = tried(partial(draw, self._model.semantic, self._of_meaning, list(rows.values())))
        if failure is not None:
            if not going or not isinstance(failure, OutOfMemory):
                raise failure
            yield from (Left(sentence.number, failure) for sentence in rows)
            return
        books = self._coarse.n_coarse_codebooks
        for sentence, row in rows.items():
            sentence.meaning, sentence.broken = row.codes, row.broken
            sentence.length = math.floor(len(row.codes) * self._ratio / books) * books
        going += rows

    def _parted(self, going: list[Sentence]) -> Iterator[Result]:
        """Take out of the batch who is not wanted, or broken, or whole, whose sound is made."""
        for sentence in list(going):
            if sentence.cancelled.is_set():
                yield Left(sentence.number)
            elif sentence.broken:
                yield Left(sentence.number, ArithmeticError(NO_SOUND))
            elif sentence.whole:
                sound = flowing([self._sound(sentence)], sentence.portion.text, RATE)
                yield Made(sentence.number, np.concatenate(list(sound)))
            else:
                continue
            going.remove(sentence)

    @torch.inference_mode()
    def _read(self, sentence: Sentence) -> Tensor:
        """What the first network is given: text and what the voice said before, one upon the other."""
        told, network = self._meaning, self._model.semantic
        text = self._bark.tokenizer(
            sentence.portion.text,
            return_tensors="pt",
            padding="max_length",
            max_length=TEXT,
            truncation=True,
            add_special_tokens=False,
            return_token_type_ids=False,
        ).to(network.device)
        tokens = text["input_ids"][0] + told.text_encoding_offset
        tokens = tokens.masked_fill(text["attention_mask"][0] == 0, told.text_pad_token)
        before = self._tensor([])
        if sentence.portion.speaker.history is not None:
            before = sentence.portion.speaker.history["semantic_prompt"][-TEXT:]
        before = functional.pad(before, (0, TEXT - len(before)), value=told.semantic_pad_token)
        begin = self._tensor([told.semantic_infer_token])
        embed = network.input_embeds_layer
        return torch.cat([embed(tokens) + embed(before), embed(begin)])

    @torch.inference_mode()
    def _window(self, sentences: Sequence[Sentence]) -> None:
        """Draw as many codes more of each as one window has; what it sees of the past is read anew."""
        step = self._coarse.sliding_window_len
        rows = [
            sentence.row(self._seen(sentence), min(step, sentence.length - len(sentence.codes)))
            for sentence in sentences
        ]
        draw(self._model.coarse_acoustics, self._of_codes, rows)
        for sentence, row in zip(sentences, rows, strict=True):
            sentence.codes += row.codes
            sentence.broken = row.broken

    def _seen(self, sentence: Sentence) -> Tensor:
        """What the second network is given: the meaning from where it is now, and the codes before that."""
        told, network = self._coarse, self._model.coarse_acoustics
        meanings, codes = network.preprocess_histories(
            history_prompt=sentence.portion.speaker.history,
            max_coarse_history=told.max_coarse_history,
            semantic_to_coarse_ratio=self._ratio,
            batch_size=1,
            semantic_generation_config=self._meaning,
            codebook_size=self._bark.steps.codebook_size,
        )
        now = meanings.shape[1] + round(len(sentence.codes) / self._ratio)
        begin = max(0, now - math.floor(told.max_coarse_history / self._ratio))
        meaning = torch.cat([meanings[0].long(), self._tensor(sentence.meaning)])[begin:][
            : told.max_coarse_input_length
        ]
        short = told.max_coarse_input_length - len(meaning)
        meaning = functional.pad(meaning, (0, short), value=told.coarse_semantic_pad_token)
        past = torch.cat([codes[0].long(), self._tensor(sentence.codes)])[-told.max_coarse_history :]
        embedded: Tensor = network.input_embeds_layer(
            torch.cat([meaning, self._tensor([told.coarse_infer_token]), past])
        )
        return embedded

    def _sound(self, sentence: Sentence) -> Samples:
        """Make the sound of a whole sentence; none where the model has nothing to say."""
        if not sentence.codes:
            return np.zeros(0, dtype=np.float32)
        bark, steps, speaker = self._bark, self._bark.steps, sentence.portion.speaker
        seed = int(torch.randint(SEEDS, (1,), generator=sentence.chance, device=self._model.device))
        with bark.turns.utterance(seed)(), torch.inference_mode():
            codes = self._model.fine_acoustics.generate(
                self._tensor(sentence.codes)[None],
                semantic_generation_config=steps.meaning,
                coarse_generation_config=steps.coarse,
                fine_generation_config=steps.fine,
                codebook_size=steps.codebook_size,
                history_prompt=speaker.history,
            )
            sound = self._model.codec_decode(codes)
        if speaker.history is None:
            meaning = self._tensor(sentence.meaning)
            speaker.history = {"semantic_prompt": meaning, "coarse_prompt": codes[0, :COARSE], "fine_prompt": codes[0]}
        return np.asarray(sound.float().cpu().numpy(), dtype=np.float32).reshape(-1)

    def _tensor(self, codes: Sequence[int]) -> Tensor:
        return torch.tensor(codes, dtype=torch.long, device=self._model.device)
