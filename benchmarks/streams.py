"""What it is worth that XTTS says sentences together: beside coqui-tts, beside one at a time, beside `serve.batch`.

All variants take turns in one process with one thread of PyTorch. What is told is the best of some, in CPU seconds,
because these hold beside other work; with `--device cuda` the clock's. Texts are of mixed lengths, and so are their
sounds. Weights are random. `--size full` is XTTS v2 as published, for a GPU. Needs the extras `coqui` and `ray`.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import ray
import torch
from measuring import results
from measuring.plain_batches import PlainBatches
from ray import serve

sys.path.insert(0, str(results.ROOT))

from chatacter.serving.batching import Batch
from tests.tiny_speech import xtts
from vocalizr.backend import SpeechBackend, Utterance
from vocalizr.backends.coqui.backend import CoquiSpeech, create_xtts
from vocalizr.backends.coqui.company import Company
from vocalizr.backends.coqui.gpt import Gpt, Row, Sampling, Steps
from vocalizr.settings import VocalizrSettings
from vocalizr.together import together

CODES: Final = {"gpt_num_audio_tokens": 1026, "gpt_start_audio_token": 1024, "gpt_stop_audio_token": 1025}
MIDDLE: Final = {"gpt_layers": 12, "gpt_n_model_channels": 512, "gpt_n_heads": 8, "decoder_input_dim": 512}
FULL: Final = {"gpt_layers": 30, "gpt_n_model_channels": 1024, "gpt_n_heads": 16, "decoder_input_dim": 1024}


@dataclass(frozen=True)
class Size:
    """An architecture; `decoder` is its vocoder's widest layer, `stopping` how little it wants to end a sentence."""

    name: str
    architecture: dict[str, Any]
    decoder: int
    stopping: float


SIZES: Final = {
    size.name: size
    for size in (
        Size("tiny", {"gpt_max_audio_tokens": 125}, 32, 0.5),
        Size("middle", {"gpt_max_audio_tokens": 125, **MIDDLE}, 128, 0.5),
        Size("full", {"gpt_max_audio_tokens": 205, **FULL, **CODES, "gpt_max_text_tokens": 402}, 512, -3.0),
    )
}
TEXTS: Final = (
    "Hi.",
    "Good evening, my friend.",
    "Would you like some tea before the ship sails at dawn?",
    "The ship sails at dawn.",
    "No, never!",
    "I kept the old map safe, of course, and the key to the chest beside it.",
    "It was a bright cold day in april, and the clocks were striking thirteen.",
    "Come in, sit down, and tell me all about it.",
)
RATE: Final = 24000
SAME: Final = 1e-4


@dataclass(frozen=True)
class Heard:
    """Texts that were said: seconds they took, seconds of sound, seconds to the first of each, and to its end."""

    took: float
    sound: float
    first: list[float]
    whole: list[float]

    @property
    def late(self) -> float:
        """The 95th percentile of the seconds to the first sound."""
        return float(np.percentile(self.first, 95))


Say = Callable[[int], Any]


def asked(number: int) -> Utterance:
    voices = ("Ana Florence", "Viktor Menelaos")
    return Utterance(TEXTS[number % len(TEXTS)], voices[number % 2], 1.0, "en", None)


def measured(say: Say, count: int, side_by_side: int, clock: Callable[[], float]) -> Heard:
    """Have `count` texts said, so many at a time; `say` yields the samples of one."""

    def one(number: int) -> tuple[float, float, int]:
        began, first, samples = clock(), 0.0, 0
        for chunk in say(number):
            first = first or clock() - began
            samples += chunk.size
        return first, clock() - began, samples

    with ThreadPoolExecutor(side_by_side) as threads:
        began = clock()
        found = list(threads.map(one, range(count)))
        took = clock() - began
    firsts, wholes, samples = zip(*found, strict=True)
    return Heard(took, sum(samples) / RATE, list(firsts), list(wholes))


def by_backend(backend: SpeechBackend) -> Say:
    return lambda number: (chunk.samples for chunk in backend.speak(asked(number), threading.Event()))


def by_coqui(backend: CoquiSpeech) -> Say:
    """One text at a time by coqui-tts' own streaming."""
    voicing: Any = backend._ready()[0]
    model, turn = voicing._model, threading.Lock()
    names = ("temperature", "length_penalty", "repetition_penalty", "top_k", "top_p")

    def say(number: int) -> Any:
        content = next(backend.pieces(asked(number))).content
        latents, speaker = voicing._voice(content.utterance)
        with turn:
            torch.manual_seed(content.seed)
            how = {name: model.config[name] for name in names}
            for chunk in model.inference_stream(content.text, "en", latents, speaker, **how):
                yield chunk.float().cpu().numpy().reshape(-1)

    return say


def by_serve(settings: VocalizrSettings, decoder: int) -> Callable[[int, int], Heard]:
    """In one replica, in CPU seconds of its process."""
    os.environ["PYTHONPATH"] = os.pathsep.join(str(place) for place in (results.ROOT, results.ROOT / "benchmarks"))
    ray.init(include_dashboard=False, configure_logging=False, log_to_driver=False, ignore_reinit_error=True)
    serve.start(proxy_location="Disabled", logging_config={"enable_access_log": False})
    options = {"num_cpus": 1, "num_gpus": int(settings.vocalizr_device == "cuda")}
    deployment: Any = serve.deployment(PlainBatches, max_ongoing_requests=64, ray_actor_options=options)
    handle = serve.run(deployment.bind(settings, decoder), name="plain", route_prefix=None)

    def measured_there(count: int, side_by_side: int) -> Heard:
        with ThreadPoolExecutor(side_by_side) as threads:
            found = list(threads.map(lambda number: handle.remote(asked(number)).result(), range(count)))
        sounds, begun, ended = zip(*found, strict=True)
        took = max(ended) - min(begun)
        each = [end - begin for begin, end in zip(begun, ended, strict=True)]
        return Heard(took, sum(sound.size for sound in sounds) / RATE, each, each)

    return measured_there


def settings_of(size: Size, folder: Path, given: argparse.Namespace) -> VocalizrSettings:
    return VocalizrSettings(
        vocalizr_model="xtts",
        vocalizr_weights=str(xtts(folder / size.name, size.architecture, size.stopping, size.decoder)),
        vocalizr_seed=7,
        vocalizr_threads=1,
        vocalizr_device=given.device,
        vocalizr_dtype=given.dtype,
    )


def rows(
    size: Size, backend: CoquiSpeech, settings: VocalizrSettings, given: argparse.Namespace
) -> list[tuple[str, ...]]:
    clock = time.perf_counter if given.device == "cuda" else time.process_time
    told: list[Batch] = []
    company = together(backend, told.append)
    coqui, own, many, plain = (
        by_coqui(backend),
        by_backend(backend),
        by_backend(company),
        by_serve(settings, size.decoder),
    )
    lines = []
    for side_by_side in (1, 4, 16):
        variants = [(coqui, 1), (own, 1), (many, side_by_side)]
        told.clear()
        best: list[Heard] = []
        for _ in range(given.times):
            found = [measured(say, given.count, places, clock) for say, places in variants]
            found.append(plain(given.count, side_by_side))
            best = found if not best else [min(pair, key=lambda h: h.took) for pair in zip(best, found, strict=True)]
        coquis, alone, joint, batched = best
        waits = sorted(wait for batch in told for wait in batch.waits)
        lines.append(
            (
                f"{size.name}, {side_by_side}",
                f"{coquis.sound / coquis.took:.1f}",
                *(f"{h.sound / h.took:.1f} ({h.sound / h.took * alone.took / alone.sound:.1f} ×)" for h in best[1:]),
                f"{np.median(np.divide(alone.first, alone.whole)):.2f}",
                f"{1000 * joint.late:.0f} ms",
                f"{1000 * batched.late:.0f} ms",
                f"{1000 * waits[len(waits) // 2]:.1f} ms",
            )
        )
        print(*lines[-1], sep=" | ", flush=True)
    return lines


def rounding(backend: CoquiSpeech) -> tuple[float, float, float]:
    """How far sixteen texts differ from alone, as a share of the loudest sample; what of a step is padding.

    The last one is the share of attention's work, the one before of all the layers' work.
    """
    pieces = [next(backend.pieces(asked(number))) for number in range(16)]
    voicing: Any = backend._ready()[0]
    company = Company(voicing._gpt, voicing._chunks, voicing._begun)
    events = [threading.Event() for _ in pieces]
    sounds: list[list[np.ndarray]] = [[] for _ in pieces]
    for made in company.said([piece.content for piece in pieces], events):
        sounds[made.number].append(made.result)
    apart = 0.0
    for piece, sound in zip(pieces, sounds, strict=True):
        own = np.concatenate([made.result for made in voicing.said([piece.content], events[:1])])
        beside = np.concatenate(sound)
        assert own.shape == beside.shape
        apart = max(apart, float(np.abs(own - beside).max() / np.abs(own).max()))
    steps: Steps = company.steps
    channels = voicing._gpt.gpt.model_dim
    # A place costs a product with its key and one with its value; a row, 12 products of matrices of all channels.
    attended = 2 * steps.padded / (2 * steps.worked + 12 * channels * steps.said)
    return apart, attended, steps.padded / steps.worked


def codes(size: Size, given: argparse.Namespace) -> tuple[str, ...]:
    """Codes a second with 1, 4 and 16 rows, without a vocoder: what of the work sentences share."""
    from TTS.tts.layers.xtts.gpt import GPT  # noqa: PLC0415 - after the mend

    named = {**CODES, **size.architecture}
    network: Any = GPT(
        layers=named.get("gpt_layers", 2),
        model_dim=named.get("gpt_n_model_channels", 64),
        heads=named.get("gpt_n_heads", 2),
        max_text_tokens=402,
        max_mel_tokens=605,
        number_text_tokens=6681,
        num_audio_tokens=named["gpt_num_audio_tokens"],
        start_audio_token=named["gpt_start_audio_token"],
        stop_audio_token=named["gpt_stop_audio_token"],
        use_perceiver_resampler=True,
    ).eval()
    network.to(given.device).mel_head.bias.data[named["gpt_stop_audio_token"]] = -100.0
    model = Gpt(network, Sampling(0.75, 50, 0.85, 5.0), getattr(torch, given.dtype))
    found = []
    for count in (1, 4, 16):
        steps = Steps(model)
        chances = [torch.Generator(given.device).manual_seed(number) for number in range(count)]
        steps.join(
            [Row(torch.randn(60 + 9 * n, network.model_dim, device=given.device), c) for n, c in enumerate(chances)]
        )
        clock = time.perf_counter if given.device == "cuda" else time.process_time
        took = []
        for _ in range(12):
            began = clock()
            steps.step()
            took.append(clock() - began)
        found.append(count / float(np.median(took)))
    return (f"{size.name}, codes a second", *(f"{rate:.0f} ({rate / found[0]:.1f} ×)" for rate in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, action="append", help="which sizes; `tiny` unless told")
    parser.add_argument(
        "--codes", choices=SIZES, action="append", help="sizes whose codes are counted; those of --size unless told"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--times", type=int, default=3, help="turns of each variant; the best one is told")
    parser.add_argument("--count", type=int, default=32, help="texts in a turn")
    parser.add_argument("--note", default="", help="a sentence about the machine, for the page")
    given = parser.parse_args()
    load = results.busy()
    lines: list[tuple[str, ...]] = []
    about = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.size or ["tiny"]:
            settings = settings_of(SIZES[name], Path(folder), given)
            backend = create_xtts(settings)
            backend.load()
            lines += rows(SIZES[name], backend, settings, given)
            apart, padding, attention = rounding(backend)
            assert given.dtype != "float32" or apart < SAME
            about.append(
                f"{name}: alone and among sixteen a sample differs by {apart:.0e} of the loudest at most; of what "
                f"attention looks at {attention:.0%} is padding, {padding:.1%} of the layers' work."
            )
            backend.close()
    where = torch.cuda.get_device_name() if given.device == "cuda" else "one thread"
    head = (
        f"XTTS, random weights, {where}, {given.dtype}",
        "coqui-tts, one by one",
        "ours, one by one",
        "together",
        "plain serve.batch",
        "first ÷ whole",
        "first, together",
        "first, serve.batch",
        "median wait",
    )
    unit = (
        "Seconds of sound a second" + (" of the CPU" if given.device == "cpu" else "") + ". `first`: 95th percentile."
    )
    of_codes = results.table(
        ("the codes alone", "1", "4", "16"),
        [codes(SIZES[name], given) for name in given.codes or given.size or ["tiny"]],
    )
    text = " ".join([unit, *about, given.note]).strip()
    results.write("XTTS together", load, results.table(head, lines), of_codes, text)


if __name__ == "__main__":
    main()
