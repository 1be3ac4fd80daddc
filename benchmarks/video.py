"""Stock diffusers against ours, from a request to an encoded film: tiny pipelines with random weights, on the CPU.

Both run in this process, in turns, with the same weights, seed and steps; both films are encoded by the same recorder.
CPU seconds are what counts, because they hold on a machine that does other work too. Needs `pip install
'chatacter[diffusers]'`. A model of random weights says nothing of how good a film looks; PSNR says how far frames with
blocks left out are from those without, after encoding.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from measuring import results

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import diffusion_material as tiny
from tests.film_material import watched
from visualizr.backend import Film, Shot
from visualizr.backends.diffusion.animatediff import AnimateDiff
from visualizr.backends.diffusion.backend import DiffusionBackend
from visualizr.backends.diffusion.pictures import still
from visualizr.backends.diffusion.svd import NOISE, StableVideo, seeded
from visualizr.frames import Recorder
from visualizr.settings import VisualizrSettings

WIDTHS: Final = (32, 64, 128)
SIDE: Final = 64
FRAMES: Final = 6
STEPS: Final = 25
WAYS: Final = {
    "stock diffusers": None,
    "ours, none": {"visualizr_acceleration": "none"},
    "ours, safe": {"visualizr_acceleration": "safe"},
    "ours, max, interval 2": {"visualizr_acceleration": "max", "visualizr_cache_interval": 2},
    "ours, max, interval 3": {"visualizr_acceleration": "max", "visualizr_cache_interval": 3},
    "ours, max, interval 5": {"visualizr_acceleration": "max", "visualizr_cache_interval": 5},
}


@dataclass(frozen=True)
class Subject:
    """One model: its weights, ours around them, and how a user of diffusers would call it."""

    title: str
    weights: Path
    ours: Callable[[VisualizrSettings], Any]
    guidance: float

    def shot(self) -> Shot:
        """What is filmed."""
        picture = tiny.photo(SIDE, SIDE) if self.ours is StableVideo else None
        return Shot(
            prompt="a cat walks",
            image=picture,
            sound=None,
            phonemes=(),
            width=SIDE,
            height=SIDE,
            fps=8,
            seed=1,
            output_format="webm",
            frames=FRAMES,
            steps=STEPS,
            guidance=self.guidance,
        )

    def stock(self) -> Callable[[], Any]:
        """Return a call of the stock pipeline that gives pictures of Pillow's."""
        import diffusers  # noqa: PLC0415 - after the torchaudio mend of the tests' material

        shot = self.shot()
        sizes = {"width": SIDE, "height": SIDE, "num_frames": FRAMES, "num_inference_steps": STEPS}
        if self.ours is StableVideo:
            pipeline = diffusers.StableVideoDiffusionPipeline.from_pretrained(self.weights)
            given = {"image": still(shot.image, SIDE, SIDE), "fps": 8, "noise_aug_strength": NOISE, **sizes}
            given |= {"max_guidance_scale": self.guidance}
        else:
            pipeline = diffusers.AnimateDiffPipeline.from_pretrained(self.weights)
            given = {"prompt": shot.prompt, "guidance_scale": self.guidance, **sizes}
        pipeline.set_progress_bar_config(disable=True)
        return lambda: pipeline(generator=seeded(1), **given).frames[0]


def recorded(pictures: list[Any]) -> bytes:
    """Encode pictures as ours are."""
    with Recorder("webm", (SIDE, SIDE), 8, None, 1) as record:
        for picture in pictures:
            record.add(cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGRA))
        data, _ = record.finish()
        record.renditions()
    return data


def psnr(one: Any, other: Any) -> float:
    """How alike two films are, in dB."""
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def measured(subject: Subject, times: int) -> list[tuple[str, ...]]:
    """Measure each way in turns; return the rows of a table."""
    runs: dict[str, Callable[[], Any]] = {}
    frames: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for way, changes in WAYS.items():
        if changes is None:
            stock = subject.stock()
            runs[way] = lambda stock=stock: recorded(stock())
            continue
        settings = VisualizrSettings(visualizr_weights=str(subject.weights), **changes)
        backend = DiffusionBackend(subject.ours(settings), settings)
        backend.load()
        runs[way] = lambda backend=backend: list(backend.film(subject.shot(), threading.Event()))[-1]
    spent: dict[str, list[tuple[float, float]]] = {way: [] for way in runs}
    for _ in range(times):
        for way, run in runs.items():
            film, cpu, clock = timed(run)
            spent[way].append((cpu, clock))
            frames[way] = watched(film).frames
            told[way] = film.metadata if isinstance(film, Film) else {}
    return [row(way, spent, frames, told[way]) for way in runs]


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what one run gives, and its CPU and clock seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    film = run()
    return film, time.process_time() - cpu, time.perf_counter() - began


def row(way: str, spent: dict[str, list[tuple[float, float]]], frames: dict[str, Any], told: Any) -> tuple[str, ...]:
    """Write one way's results."""
    first = next(iter(spent))
    best, stock = (min(cpu for cpu, _ in spent[name]) for name in (way, first))
    wall = min(clock for _, clock in spent[way])
    skipped, ran = told.get("blocks_skipped", 0), told.get("blocks_run", 0)
    likeness = psnr(frames[way], frames[first])
    return (
        way,
        f"{best:.2f} s",
        f"{wall:.2f} s",
        f"{stock / best:.2f}",
        f"{skipped} of {skipped + ran}" if skipped else "none",
        "same" if likeness == float("inf") else f"{likeness:.1f} dB",
    )


def main() -> None:
    """Measure both models."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--note", default="")
    asked = parser.parse_args()
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    before = results.busy()
    parts = [asked.note] if asked.note else []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        subjects = [
            Subject("Stable Video Diffusion", tiny.tiny_svd(home / "svd", WIDTHS, 2), StableVideo, 3.0),
            Subject("AnimateDiff", tiny.tiny_animatediff(home / "animatediff", WIDTHS, 2), AnimateDiff, 7.5),
        ]
        about = f"{FRAMES} frames of {SIDE} x {SIDE}, {STEPS} steps, widths {WIDTHS}, 2 layers a block, one thread"
        head = ("way", "CPU, least", "clock, least", "times as fast", "blocks left out", "against stock")
        for subject in subjects:
            parts.append(f"{subject.title}: {about}, least of {asked.times} runs:")
            parts.append(results.table(head, measured(subject, asked.times)))
    results.write("Films by diffusion", before, *parts)


if __name__ == "__main__":
    main()
