"""How fast speech is: the first of it, how much of it, and what it is worth that texts are said together.

Each model speaks the same texts of mixed lengths, 1, 4 and 16 of them at a time, in four ways in one run: by its own
library; by Vocalizr's backend, one text after the other; in Vocalizr's batches; and in those of plain `serve.batch`,
which streams. Kokoro is what is installed (`chatacter models install kokoro-82m english-g2p`); VITS, XTTS and Bark have
random weights in tiny sizes, with `--size full` in those that are published, for a GPU or a patient processor. Without
a GPU seconds are the processor's, which hold beside other work; waits are always the clock's.

Each model runs in a process of its own. Needs the extras `coqui`, `bark` and `ray`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import ray
from measuring import results
from measuring.plain_batches import PlainBatches
from measuring.speech_models import Setup, wasted
from ray import serve

from chatacter.serving.batching import Batch
from vocalizr.backend import SpeechBackend, Utterance
from vocalizr.together import together

VOICES: Final = {
    "kokoro": ("af_heart", "bm_george"),
    "vits": ("alice", "bob", "eve"),
    "xtts": ("Ana Florence", "Viktor Menelaos"),
    "bark": ("narrator", "v2/de_speaker_3"),
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
PARAGRAPH: Final = "The storm rolled in from the western sea, and every lantern began to sway. " * 12
AT_ONCE: Final = (1, 4, 16)
FOUND: Final = "found.json"
HEAD: Final = (
    "texts at once",
    "first audio p50 / p95",
    "first ÷ whole",
    "RTF",
    "sound a second",
    "× one by one",
    "wait when idle",
    "difference",
)


@dataclass(frozen=True)
class Heard:
    """Texts that were said: seconds for all of them; of each, seconds to its first sound and to its end, and its sound.

    `waits` are seconds of the clock from a text's coming until it was begun.
    """

    took: float
    first: Sequence[float]
    whole: Sequence[float]
    sounds: Sequence[np.ndarray]
    waits: Sequence[float] = ()

    def seconds(self, rate: int) -> float:
        """How much sound it is."""
        return sum(sound.size for sound in self.sounds) / rate


# Says so many texts, so many at a time.
Way = Callable[[int, int], Heard]


def asked(model: str, number: int, text: str = "") -> Utterance:
    voices = VOICES[model]
    seed = None if model == "kokoro" else number
    return Utterance(text or TEXTS[number % len(TEXTS)], voices[number % len(voices)], 1.0, None, None, seed=seed)


def in_threads(model: str, say: Callable[[Utterance], Iterator[np.ndarray]], clock: Callable[[], float]) -> Way:
    def one(number: int) -> tuple[float, float, np.ndarray]:
        began, first, chunks = clock(), 0.0, []
        for chunk in say(asked(model, number)):
            first = first or clock() - began
            chunks.append(chunk)
        return first, clock() - began, np.concatenate(chunks)

    def heard(count: int, at_once: int) -> Heard:
        with ThreadPoolExecutor(at_once) as threads:
            began = clock()
            found = list(threads.map(one, range(count)))
            return Heard(clock() - began, *zip(*found, strict=True))

    return heard


def one_by_one(say: Callable[[Utterance], Iterator[np.ndarray]]) -> Callable[[Utterance], Iterator[np.ndarray]]:
    turn = threading.Lock()

    def in_turn(utterance: Utterance) -> Iterator[np.ndarray]:
        with turn:
            yield from say(utterance)

    return in_turn


def by_backend(backend: SpeechBackend) -> Callable[[Utterance], Iterator[np.ndarray]]:
    return lambda utterance: (chunk.samples for chunk in backend.speak(utterance, threading.Event()))


def by_serve(setup: Setup) -> Way:
    """In one replica, by the clock of its process."""
    places = (results.ROOT, results.ROOT / "benchmarks", results.ROOT / "services")
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, places))
    ray.init(include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(proxy_location="Disabled", logging_config={"enable_access_log": False})
    options = {"num_cpus": 1, "num_gpus": 0.5 if setup.device == "cuda" else 0}
    deployment: Any = serve.deployment(PlainBatches, max_ongoing_requests=64, ray_actor_options=options)
    handle = serve.run(deployment.bind(setup), name="plain", route_prefix=None).options(stream=True)

    def one(number: int) -> tuple[float, ...]:
        samples, began, at, waits = zip(*handle.remote(asked(setup.model, number)), strict=True)
        return began[0], at[0], at[-1], waits[0], np.concatenate(samples)

    def heard(count: int, at_once: int) -> Heard:
        with ThreadPoolExecutor(at_once) as threads:
            began, first, last, waits, sounds = zip(*threads.map(one, range(count)), strict=True)
        took = max(last) - min(began)
        return Heard(took, np.subtract(first, began), np.subtract(last, began), sounds, waits)

    return heard


def in_batches(model: str, backend: SpeechBackend, clock: Callable[[], float]) -> Way:
    """Of the waits that batches tell, a text's first one is told, as `by_serve` does, where one is said at a time."""
    waits: list[float] = []
    firsts: list[float] = []

    def told(batch: Batch) -> None:
        waits.extend(batch.waits)

    speaking = by_backend(together(backend, told))

    def say(utterance: Utterance) -> Iterator[np.ndarray]:
        before = len(waits)
        yield from speaking(utterance)
        firsts.append(waits[before])

    heard = in_threads(model, say, clock)

    def with_waits(count: int, at_once: int) -> Heard:
        firsts.clear()
        found = heard(count, at_once)
        return Heard(found.took, found.first, found.whole, found.sounds, list(firsts) if at_once == 1 else ())

    return with_waits


def ways_of(setup: Setup, backend: SpeechBackend, clock: Callable[[], float]) -> dict[str, Way]:
    if backend.capabilities.together is None:
        return {"ours": in_threads(setup.model, one_by_one(by_backend(backend)), clock)}
    from measuring import own_libraries  # noqa: PLC0415 - after the mend

    name, library = own_libraries.loaded(setup, backend)
    return {
        name: in_threads(setup.model, one_by_one(library), clock),
        "ours, no batcher": in_threads(setup.model, one_by_one(by_backend(backend)), clock),
        "ours, batcher": in_batches(setup.model, backend, clock),
        "plain `serve.batch`": by_serve(setup),
    }


def apart(heard: Heard, alone: Heard) -> str:
    """The largest difference of a sample to that of the same text alone, as a share of that text's loudest."""
    if any(one.shape != other.shape for one, other in zip(heard.sounds, alone.sounds, strict=True)):
        return "another sound"
    shares = [np.abs(one - own).max() / np.abs(own).max() for one, own in zip(heard.sounds, alone.sounds, strict=True)]
    return f"{max(shares):.0e}" if max(shares) else "0"


def line(way: str, at_once: int, heard: Heard, alone: Heard, rate: int) -> tuple[str, ...]:
    pace = heard.seconds(rate) / heard.took
    middle, late = np.percentile(heard.first, [50, 95]) * 1000
    each = [took / (sound.size / rate) for took, sound in zip(heard.whole, heard.sounds, strict=True)]
    idle = f"{np.median(heard.waits) * 1000:.1f} ms" if at_once == 1 and len(heard.waits) else "–"
    return (
        way,
        f"{at_once}",
        f"{middle:.0f} / {late:.0f} ms",
        f"{np.median(np.divide(heard.first, heard.whole)):.2f}",
        f"{np.median(each):.2f}",
        f"{pace:.1f} s",
        f"{pace / (alone.seconds(rate) / alone.took):.1f}",
        idle,
        apart(heard, alone) if way.startswith(("ours", "plain")) else "–",
    )


def of_a_paragraph(model: str, backend: SpeechBackend, clock: Callable[[], float]) -> float:
    """Time to the first sound of twelve sentences, as a share of the time for all of them."""
    began, first = clock(), 0.0
    for _ in backend.speak(asked(model, 0, PARAGRAPH), threading.Event()):
        first = first or clock() - began
    return first / (clock() - began)


def measure(setup: Setup, count: int, times: int) -> dict[str, Any]:
    """Measure one model; returns its table and what is to be said of it."""
    setup.written()
    clock = time.perf_counter if setup.device == "cuda" else time.process_time
    began = time.perf_counter()
    backend = setup.opened()
    loading, rate = time.perf_counter() - began, backend.capabilities.sample_rate
    ways = ways_of(setup, backend, clock)
    for way in ways.values():
        way(len(TEXTS), 4)
    best: dict[tuple[str, int], Heard] = {}
    for at_once in AT_ONCE * times:
        for name, way in ways.items():
            found = way(count, at_once)
            known = best.get((name, at_once), found)
            best[name, at_once] = min(known, found, key=lambda heard: heard.took)
            print(setup.model, name, at_once, f"{found.took:.1f} s", sep=", ", flush=True)
    alone = best[next(name for name in ways if name.startswith("ours")), 1]
    share = of_a_paragraph(setup.model, backend, clock)
    said = [f"The first sound of twelve sentences comes after {share:.2f} of the time for all of them."]
    if backend.capabilities.together:
        pieces: Any = [next(iter(backend.pieces(asked(setup.model, n)))) for n in range(16)]  # type: ignore[attr-defined]
        share, part = wasted(backend, pieces)
        said.append(f"Of sixteen together, {share:.1%} {part} is padding.")
    most = results.megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    said.append(f"Loading took {loading:.1f} s of the clock; all of it held {most} at most.")
    lines = [line(name, at_once, best[name, at_once], alone, rate) for name in ways for at_once in AT_ONCE]
    return {"lines": lines, "said": " ".join(said)}


def measured(model: str, given: argparse.Namespace) -> dict[str, Any]:
    """Measure in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "--in", folder, "--model", model, *told(given)], check=True)
        return dict(json.loads((Path(folder) / FOUND).read_text("utf-8")))


def told(given: argparse.Namespace) -> list[str]:
    names = ("size", "device", "dtype", "threads", "times", "count")
    return [word for name in names for word in (f"--{name}", str(getattr(given, name)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=VOICES, action="append", help="which models; all unless told")
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny", help="of what has random weights")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times", type=int, default=2, help="turns of each way; the best one is told")
    parser.add_argument("--count", type=int, default=32, help="texts in a turn")
    parser.add_argument("--note", default="", help="a sentence about the machine, for the page")
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        (model,) = given.model
        setup = Setup(model, given.folder, given.size == "full", given.device, given.dtype, given.threads)
        (given.folder / FOUND).write_text(json.dumps(measure(setup, given.count, given.times)), "utf-8")
        return
    load = results.busy()
    parts = [given.note] if given.note else []
    for model in given.model or VOICES:
        found = measured(model, given)
        size = "as installed" if model == "kokoro" else f"{given.size}, {given.dtype}, {given.device}"
        lines = [tuple(cells) for cells in found["lines"]]
        parts += [results.table((f"**{model}**, {size}", *HEAD), lines), found["said"]]
    results.write("Speech", load, *parts)


if __name__ == "__main__":
    main()
