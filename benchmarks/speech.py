"""How fast Kokoro speaks, with one thread and with two: loading, first sound of twelve words, a whole text, memory.

CPU seconds are told beside the clock's, because they hold on a machine that does other work too. Each number of
threads runs in a process of its own. Needs `chatacter models install kokoro-82m english-g2p`.
"""

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from measuring import results
from measuring.profile import installed_models

from chatacter.models.store import ModelStore
from vocalizr.backend import Utterance
from vocalizr.backends.kokoro.backend import KokoroSpeech
from vocalizr.backends.kokoro.model import SAMPLE_RATE

TWELVE_WORDS: Final = "Of course I remember you, and I kept the old map safe."
TEXT: Final = (
    "The storm rolled in from the western sea, and every lantern on the airship began to sway. "
    "Hold on tight, my friend, because the captain has never lost a passenger yet! "
    "We shall be in the harbour before the bells of the old town ring for the second time."
)
LONG: Final = TEXT * 16


def spoken(backend: KokoroSpeech, text: str) -> dict[str, float]:
    """Speak a text; returns seconds of the clock, of the CPU, of the sound, and until the first of it."""
    began, cpu = time.perf_counter(), time.process_time()
    first, samples = 0.0, 0
    for chunk in backend.speak(Utterance(text, "af_heart", 1.0, None, None), threading.Event()):
        first = first or time.perf_counter() - began
        samples += chunk.samples.size
    return {
        "wall": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "sound": samples / SAMPLE_RATE,
        "first": first,
    }


def measure(threads: int, times: int) -> None:
    """Print one number of threads' measurements as JSON."""
    backend = KokoroSpeech(ModelStore(installed_models()), threads=threads)
    began = time.perf_counter()
    backend.load()
    found = {"load": time.perf_counter() - began, "loaded": held()}
    spoken(backend, TWELVE_WORDS)
    found["first"] = min(spoken(backend, TWELVE_WORDS)["first"] for _ in range(times))
    runs = [spoken(backend, TEXT) for _ in range(times)]
    found["rtf"] = min(run["wall"] / run["sound"] for run in runs)
    found["cpu"] = min(run["cpu"] / run["sound"] for run in runs)
    found["held"] = held()
    if threads == 1:
        found["long"] = spoken(backend, LONG[:4096])["sound"]
        found["held_long"] = held()
    print(json.dumps(found))


def held() -> int:
    """The most memory that this process held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def asked(threads: int, times: int) -> dict[str, float]:
    """Measure in a new process."""
    command = [sys.executable, __file__, "--threads", str(threads), "--times", str(times)]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def rows(found: Sequence[dict[str, float]]) -> list[tuple[str, ...]]:
    """Write the lines of the table."""
    return [
        ("loading", *(f"{one['load']:.2f} s" for one in found)),
        ("first sound of twelve words", *(f"{one['first']:.2f} s" for one in found)),
        ("seconds for a second of sound", *(f"{one['rtf']:.2f}" for one in found)),
        ("CPU seconds for a second of sound", *(f"{one['cpu']:.2f}" for one in found)),
        ("memory, loaded", *(results.megabytes(int(one["loaded"])) for one in found)),
        ("memory, at most", *(results.megabytes(int(one["held"])) for one in found)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="measure this number of threads only, and print JSON")
    parser.add_argument("--times", type=int, default=3, help="readings of each kind; the best one is told")
    given = parser.parse_args()
    if given.threads:
        measure(given.threads, given.times)
        return
    load = results.busy()
    found = [asked(threads, given.times) for threads in (1, 2)]
    most = results.megabytes(int(found[0]["held_long"]))
    long = f"A text of 4,096 characters ({found[0]['long']:.0f} s of sound, one thread) took {most} at most."
    results.write("Speech", load, results.table(("Kokoro, int8", "1 thread", "2 threads"), rows(found)), long)


if __name__ == "__main__":
    main()
