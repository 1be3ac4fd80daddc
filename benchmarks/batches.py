"""What batches are worth: a tiny VITS, one text after the other, in batches of ours, and in plain `serve.batch`.

The variants take turns in one process, so that other work on the machine meets all of them; the best of each is told,
in CPU seconds; plain `serve.batch`, in a process of its own, by the clock.
Two sizes of decoder: what a batch saves is the fixed cost of a call, on a GPU the launches. A small decoder on a CPU is
like that; with the usual one nearly all of the time is arithmetic, which a batch cannot save. Needs the extras `coqui`
and `ray`.
"""

import argparse
import asyncio
import math
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import ray
import torch
from measuring import results
from ray import serve

sys.path.insert(0, str(results.ROOT))

from measuring import bark_batches

from chatacter.serving.batching import Batch
from tests.tiny_speech import vits
from vocalizr.backend import SpeechBackend, Utterance
from vocalizr.backends.coqui.backend import CoquiSpeech
from vocalizr.settings import VocalizrSettings
from vocalizr.together import together

SMALL: Final = {"resblock_kernel_sizes_decoder": [3], "resblock_dilation_sizes_decoder": [[1, 3, 5]]}
USUAL: Final[dict[str, Any]] = {}
TEXTS: Final = (
    "Hi.",
    "Good evening, my friend.",
    "Would you like some tea?",
    "The ship sails at dawn.",
    "No, never!",
    "I kept the old map safe, of course.",
    "It was a bright cold day in april.",
    "Come in, sit down, and tell me.",
)
LONG: Final = "The storm rolled in from the western sea, and every lantern began to sway. " * 12
SAME: Final = 1e-5


def backend_of(folder: Path, sizes: dict[str, Any]) -> CoquiSpeech:
    settings = VocalizrSettings(vocalizr_model="coqui", vocalizr_weights=str(vits(folder, sizes)), vocalizr_seed=7)
    backend = CoquiSpeech(settings, "")
    backend.load()
    return backend


def utterances(count: int) -> list[Utterance]:
    voices = ("alice", "bob", "eve")
    return [Utterance(TEXTS[n % len(TEXTS)], voices[n % 3], 1.0, None, None) for n in range(count)]


def said(backend: SpeechBackend, utterance: Utterance) -> np.ndarray:
    return np.concatenate([chunk.samples for chunk in backend.speak(utterance, threading.Event())])


def took(backend: SpeechBackend, asked: Sequence[Utterance], side_by_side: int) -> float:
    """CPU seconds of this process for all of them, so many side by side: they hold beside other work as well."""
    with ThreadPoolExecutor(side_by_side) as threads:
        began = time.process_time()
        list(threads.map(lambda utterance: said(backend, utterance), asked))
        return time.process_time() - began


class Plain:
    """What one writes with `serve.batch`: whole texts, padded to the longest, by the model's own `inference`."""

    def __init__(self, folder: str) -> None:
        torch.set_num_threads(1)
        settings = VocalizrSettings(vocalizr_model="coqui", vocalizr_weights=folder)
        backend = CoquiSpeech(settings, "")
        backend.load()
        self._model = backend._ready()[0]._model
        self._hop = 256
        self.batch = serve.batch(max_batch_size=16, batch_wait_timeout_s=0.01)(self._all)

    async def __call__(self, text: str, speaker: int) -> np.ndarray:
        return await self.batch((text, speaker))

    async def _all(self, asked: list[tuple[str, int]]) -> list[np.ndarray]:
        tokens = [self._model.tokenizer.text_to_ids(text, language="en") for text, _ in asked]
        lengths = torch.tensor([len(ids) for ids in tokens])
        padded = torch.zeros(len(tokens), int(lengths.max()), dtype=torch.long)
        for row, ids in enumerate(tokens):
            padded[row, : len(ids)] = torch.tensor(ids)
        extra = {"x_lengths": lengths, "speaker_ids": torch.tensor([speaker for _, speaker in asked])}
        with torch.inference_mode():
            made = self._model.inference(padded, {**extra, "d_vectors": None, "language_ids": None, "durations": None})
        frames = made["durations"].sum(dim=(1, 2)).long().tolist()
        sounds = made["model_outputs"][:, 0].numpy()
        return [sound[: count * self._hop] for sound, count in zip(sounds, frames, strict=True)]


def in_ray(folder: str) -> tuple[Callable[[int, int], float], Callable[[], None]]:
    """Start `Plain` in one replica; returns what measures it and what ends it."""
    ray.init(include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(proxy_location="Disabled", logging_config={"enable_access_log": False})
    deployment: Any = serve.deployment(Plain, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
    handle = serve.run(deployment.bind(folder), name="plain", route_prefix=None)

    async def all_of(count: int, side_by_side: int) -> float:
        places = asyncio.Semaphore(side_by_side)

        async def one(number: int) -> None:
            async with places:
                await handle.remote(TEXTS[number % len(TEXTS)], number % 3)

        began = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(count)))
        return time.perf_counter() - began

    def end() -> None:
        serve.shutdown()
        ray.shutdown()

    return lambda count, side_by_side: asyncio.run(all_of(count, side_by_side)), end


def padding(backend: CoquiSpeech) -> float:
    """Share of padding if the texts of one batch were padded to the longest, in letters."""
    sizes = [next(backend.pieces(utterance)).symbols for utterance in utterances(16)]
    return 1 - sum(sizes) / (len(sizes) * max(sizes))


def measured(name: str, folder: Path, sizes: dict[str, Any], given: argparse.Namespace) -> list[tuple[str, ...]]:
    times, count = given.times, given.count
    backend = backend_of(folder, sizes)
    told: list[Batch] = []
    company = together(backend, told.append)
    seconds = sum(said(backend, utterance).size for utterance in utterances(count)) / 22050
    plain, end = in_ray(str(folder)) if given.plain else (lambda *_: math.inf, lambda: None)
    lines = []
    for side_by_side in (1, 4, 16):
        asked = utterances(count)
        plain(16, 16)
        told.clear()
        found = []
        for _ in range(times):
            ours = took(backend, asked, 1), took(company, asked, side_by_side)
            found.append((*ours, plain(count, side_by_side)))
        one, many, padded = (min(column) for column in zip(*found, strict=True))
        waits = sorted(wait for batch in told for wait in batch.waits)
        lines.append(
            (
                f"{name}, {side_by_side}",
                f"{seconds / one:.0f} s",
                f"{seconds / many:.0f} s ({one / many:.1f} ×)",
                f"{seconds / padded:.0f} s ({one / padded:.1f} ×)" if given.plain else "–",
                f"{sum(batch.pieces for batch in told) / len(told):.1f}",
                f"{1000 * waits[len(waits) // 2]:.1f} ms",
            )
        )
        print(*lines[-1], sep=" | ", flush=True)
    end()
    return lines


def first_of_whole(backend: SpeechBackend, times: int) -> float:
    """Time to the first sound of a long text, as a share of the time for all of it; the best of several."""
    shares = []
    for _ in range(times):
        began, first = time.perf_counter(), 0.0
        for _chunk in backend.speak(Utterance(LONG, "eve", 1.0, None, None), threading.Event()):
            first = first or time.perf_counter() - began
        shares.append(first / (time.perf_counter() - began))
    return min(shares)


def difference(backend: CoquiSpeech) -> float:
    """The largest difference of a sample, spoken alone and among sixteen."""
    pieces = [next(backend.pieces(utterance)) for utterance in utterances(16)]
    events = [threading.Event() for _ in pieces]
    alone = [next(iter(backend.speak_together([piece], events[:1]))).result.samples for piece in pieces]
    beside = [made.result.samples for made in backend.speak_together(pieces, events)]
    return max(float(np.abs(one - other).max()) for one, other in zip(alone, beside, strict=True))


def parts(backend: CoquiSpeech, times: int) -> tuple[dict[str, float], dict[str, float]]:
    """CPU seconds of each network for sixteen texts one by one, and together; `all` is everything. Best of several."""
    model: Any = backend._ready()[0]._model
    spent: dict[str, float] = {}

    def timed(network: Any, name: str) -> None:
        forward = network.forward

        def measuring(*given: Any, **more: Any) -> Any:
            began = time.process_time()
            made = forward(*given, **more)
            spent[name] = spent.get(name, 0.0) + time.process_time() - began
            return made

        network.forward = measuring

    for name in ("text_encoder", "flow", "waveform_decoder"):
        timed(getattr(model, name), name)
    pieces = [next(backend.pieces(utterance)) for utterance in utterances(16)]
    events = [threading.Event() for _ in pieces]
    found: list[list[dict[str, float]]] = [[], []]
    for _ in range(times):
        for turn, groups in enumerate(([[piece] for piece in pieces], [pieces])):
            spent.clear()
            began = time.process_time()
            for group in groups:
                list(backend.speak_together(group, events[: len(group)]))
            found[turn].append({**spent, "all": time.process_time() - began})
    one, many = (min(runs, key=lambda run: run["all"]) for runs in found)
    return one, many


def where_the_time_goes(folder: Path, times: int) -> str:
    """A table of `parts`."""
    lines = []
    for name, sizes in (("small decoder", SMALL), ("usual decoder", USUAL)):
        one, many = parts(backend_of(folder / name.replace(" ", "-"), sizes), times)
        cells = [f"{1000 * one[part]:.0f} → {1000 * many[part]:.0f} ms" for part in one]
        bound = one["all"] / many["waveform_decoder"]
        lines.append((name, *cells, f"{one['all'] / many['all']:.1f} ×", f"{bound:.1f} ×"))
    head = (
        "VITS, 16 texts, one by one → together",
        "text encoder",
        "flow",
        "decoder",
        "all",
        "gain",
        "were the rest free",
    )
    return results.table(head, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="turns of each variant; the best one is told")
    parser.add_argument("--count", type=int, default=48, help="texts in a turn")
    parser.add_argument("--plain", action="store_true", help="plain `serve.batch` too: starts a Ray")
    parser.add_argument("--bark", action="store_true", help="Bark instead of VITS")
    parser.add_argument("--parts", action="store_true", help="only where the time goes")
    given = parser.parse_args()
    load = results.busy()
    torch.set_num_threads(1)
    if given.bark:
        bark_batches.page(TEXTS, given.times, load)
        return
    if given.parts:
        with tempfile.TemporaryDirectory() as folder:
            table = where_the_time_goes(Path(folder), given.times)
        results.write("VITS in batches: where the time goes", load, table)
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for name, sizes in (("small decoder", SMALL), ("usual decoder", USUAL)):
            place = Path(folder) / name.replace(" ", "-")
            lines += measured(name, place, sizes, given)
        backend = backend_of(Path(folder) / "last", SMALL)
        apart = difference(backend)
        assert apart < SAME
        first = first_of_whole(together(backend, lambda _: None), given.times)
        about = (
            f"Seconds of sound a CPU second, and how many times as much as one text after the other. Alone and among "
            f"sixteen a sample differs by at most {apart:.0e}. Side by side, padded, the texts of a batch of sixteen "
            f"would be {padding(backend):.0%} padding; they lie one after the other instead, and only the gaps between "
            f"them are wasted. The first sound of a long text comes after {first:.2f} of the time for the whole."
        )
    head = (
        "VITS, tiny, texts side by side",
        "one by one",
        "batches",
        "plain serve.batch",
        "pieces a batch",
        "median wait",
    )
    results.write("Speech in batches", load, results.table(head, lines), about)


if __name__ == "__main__":
    main()
