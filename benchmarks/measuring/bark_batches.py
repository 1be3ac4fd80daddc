"""Bark, one sentence after the other by transformers' own `generate`, by our loop, and together."""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from chatacter.serving.batching import Batch, Made
from measuring import results
from tests.tiny_speech import bark
from vocalizr.backend import Piece, Utterance
from vocalizr.backends.bark.backend import BarkSpeech
from vocalizr.settings import VocalizrSettings
from vocalizr.together import together

VOICES: Final = ("narrator", "v2/de_speaker_3", "anybody")
RATE: Final = 24000
HEAD: Final = (
    "Bark, tiny, texts side by side",
    "generate, one by one",
    "ours, one by one",
    "together",
    "together ÷ generate",
    "pieces a batch",
)


def pieces_of(backend: BarkSpeech, asked: Sequence[Utterance]) -> list[Piece]:
    return [backend.pieces(utterance)[0] for utterance in asked]


def said(backend: BarkSpeech, pieces: Sequence[Piece]) -> dict[int, Any]:
    made = backend.speak_together(pieces, [threading.Event() for _ in pieces])
    return {each.number: each.result.samples for each in made if isinstance(each, Made)}


def by_generate(backend: BarkSpeech, piece: Piece) -> int:
    """What was done before: the networks' own `generate`, one after the other."""
    model, _ = backend._ready()
    networks, steps, history = model.model, model.steps, piece.content.speaker.history
    how = {"padding": "max_length", "max_length": 256, "truncation": True, "add_special_tokens": False}
    configs = {"semantic_generation_config": steps.meaning, "coarse_generation_config": steps.coarse}
    text = model.tokenizer(piece.content.text, return_tensors="pt", **how)
    with torch.inference_mode():
        meaning = networks.semantic.generate(
            text["input_ids"],
            attention_mask=text["attention_mask"],
            history_prompt=history,
            semantic_generation_config=steps.meaning,
        )
        coarse = networks.coarse_acoustics.generate(meaning, history_prompt=history, **configs)
        codes = networks.fine_acoustics.generate(
            coarse, history_prompt=history, fine_generation_config=steps.fine, **configs
        )
        return int(networks.codec_decode(codes).numel())


def spent(work: Callable[[], int]) -> float:
    """CPU seconds of this process for a second of sound."""
    began = time.process_time()
    samples = work()
    return (time.process_time() - began) * RATE / samples


def loaded(folder: Path) -> BarkSpeech:
    told = VocalizrSettings(vocalizr_model="bark", vocalizr_weights=str(folder), vocalizr_seed=7, vocalizr_threads=1)
    backend = BarkSpeech(told)
    backend.load()
    return backend


def measured(folder: Path, texts: Sequence[str], times: int) -> tuple[list[tuple[str, ...]], float]:
    """A line for 1, 4 and 16 side by side, and how far sixteen sound from alone, of the loudest sample."""
    backend, before_it = loaded(folder), loaded(folder)
    networks = before_it._ready()[0].model
    for network in (networks.semantic, networks.coarse_acoustics):
        network.lm_head._forward_pre_hooks.clear()  # as transformers has it: scores of all places
    asked = [Utterance(texts[n % len(texts)], VOICES[n % 3], 1.0, None, None, seed=n) for n in range(16)]
    batches: list[Batch] = []
    company = together(backend, batches.append)

    def whole(utterance: Utterance) -> int:
        return sum(chunk.samples.size for chunk in company.speak(utterance, threading.Event()))

    def at_once(side_by_side: int) -> int:
        with ThreadPoolExecutor(side_by_side) as threads:
            return sum(threads.map(whole, asked))

    def one_by_one(speak: Callable[[Piece], int], by: BarkSpeech) -> float:
        return min(spent(lambda: sum(map(speak, pieces_of(by, asked)))) for _ in range(times))

    before = one_by_one(lambda piece: by_generate(before_it, piece), before_it)
    alone = one_by_one(lambda piece: int(said(backend, [piece])[0].size), backend)
    lines = []
    for side_by_side in (1, 4, 16):
        batches.clear()
        many = min(spent(partial(at_once, side_by_side)) for _ in range(times))
        lines.append(
            (
                f"{side_by_side}",
                f"{1 / before:.1f} s",
                f"{1 / alone:.1f} s ({before / alone:.1f} ×)",
                f"{1 / many:.1f} s ({alone / many:.1f} ×)",
                f"{before / many:.1f} ×",
                f"{sum(batch.pieces for batch in batches) / len(batches):.1f}",
            )
        )
        print(*lines[-1], sep=" | ", flush=True)
    return lines, apart(backend, asked)


def apart(backend: BarkSpeech, asked: Sequence[Utterance]) -> float:
    beside = said(backend, pieces_of(backend, asked))
    alone = [said(backend, [piece])[0] for piece in pieces_of(backend, asked)]
    return max(float(np.abs(one - beside[n]).max() / np.abs(one).max()) for n, one in enumerate(alone))


def page(texts: Sequence[str], times: int, load: str) -> None:
    """Write the section."""
    with tempfile.TemporaryDirectory() as folder:
        lines, difference = measured(bark(Path(folder) / "bark"), texts, times)
    about = (
        "Seconds of sound a CPU second, one thread, the best turn. Alone and among sixteen a sample differs by at most "
        f"{difference:.0e} of the loudest. Widths are tiny, so that what is saved is the fixed cost of a step."
    )
    results.write("Bark together", load, results.table(HEAD, lines), about)
