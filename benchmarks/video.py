"""Stock diffusers against ours, from a request to an encoded film: tiny pipelines with random weights, on the CPU.

Both run in this process, in turns, with the same weights, seed and steps; both films are encoded by the same recorder.
CPU seconds are what counts, because they hold on a machine that does other work too. Needs `pip install
'chatacter[diffusers]'`. A model of random weights says nothing of how good a film looks; PSNR says how far frames with
blocks left out are from those without, after encoding. A film of few steps is another film: it has no PSNR.

`--gpu` measures SVD-XT (25 frames of 1024 x 576, 25 steps) and AnimateDiff (16 of 512 x 512, 25 steps) in full size on
a CUDA device, in half precision both; there the clock counts.
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

from measuring import full_size

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
WAYS: Final = {
    "stock diffusers": None,
    "ours, none": {"visualizr_acceleration": "none"},
    "ours, safe": {"visualizr_acceleration": "safe"},
    "ours, max, interval 2": {"visualizr_acceleration": "max", "visualizr_cache_interval": 2},
    "ours, max, interval 3": {"visualizr_acceleration": "max", "visualizr_cache_interval": 3},
    "ours, max, interval 5": {"visualizr_acceleration": "max", "visualizr_cache_interval": 5},
}
FEW: Final = "ours, few steps"


@dataclass(frozen=True)
class Size:
    """What is filmed, and where."""

    width: int = 64
    height: int = 64
    frames: int = 6
    steps: int = 25
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.frames} frames of {self.width} x {self.height}, {self.steps} steps"


TINY: Final = Size()
XT: Final = Size(1024, 576, 25, 25, "cuda")
SQUARE: Final = Size(512, 512, 16, 25, "cuda")


@dataclass(frozen=True)
class Subject:
    """One model: its weights, ours around them, and how a user of diffusers would call it."""

    title: str
    weights: Path
    ours: Callable[[VisualizrSettings], Any]
    guidance: float
    size: Size = TINY

    def shot(self, few: bool = False) -> Shot:
        """What is filmed; `few`: in few steps."""
        size = self.size
        picture = tiny.photo(size.width, size.height) if self.ours is StableVideo else None
        return Shot(
            prompt="a cat walks",
            image=picture,
            sound=None,
            phonemes=(),
            width=size.width,
            height=size.height,
            fps=8,
            seed=1,
            output_format="webm",
            frames=size.frames,
            steps=4 if few else size.steps,
            guidance=1.0 if few else self.guidance,
            quality="draft" if few else "standard",
        )

    def settings(self, way: str, changes: dict[str, Any]) -> VisualizrSettings:
        """How ours is told to run."""
        if way == FEW:  # AnimateDiff's scheduler; for SVD its own UNet stands in for a distilled one
            svd = self.ours is StableVideo
            changes = {"visualizr_few_steps": str(self.weights / "unet")} if svd else {"visualizr_scheduler": "lcm"}
        if self.size.device != "cpu":
            changes = {**changes, "visualizr_precision": "float16"}  # as stock diffusers is run
        return VisualizrSettings(visualizr_weights=str(self.weights), visualizr_device=self.size.device, **changes)

    def stock(self) -> Callable[[], Any]:
        """Return a call of the stock pipeline that gives pictures of Pillow's."""
        import diffusers  # noqa: PLC0415 - after the torchaudio mend of the tests' material
        import torch  # noqa: PLC0415

        shot, size = self.shot(), self.size
        sizes = {"width": size.width, "height": size.height, "num_frames": size.frames}
        sizes["num_inference_steps"] = size.steps
        precision = torch.float32 if size.device == "cpu" else torch.float16
        if self.ours is StableVideo:
            pipeline = diffusers.StableVideoDiffusionPipeline.from_pretrained(self.weights, dtype=precision)
            image = still(shot.image, size.width, size.height)
            given = {
                "image": image,
                "fps": 8,
                "noise_aug_strength": NOISE,
                "max_guidance_scale": self.guidance,
                **sizes,
            }
        else:
            pipeline = diffusers.AnimateDiffPipeline.from_pretrained(self.weights, dtype=precision)
            given = {"prompt": shot.prompt, "guidance_scale": self.guidance, **sizes}
        pipeline.to(size.device).set_progress_bar_config(disable=True)
        return lambda: pipeline(generator=seeded(1), **given).frames[0]


def recorded(pictures: list[Any]) -> bytes:
    """Encode pictures as ours are."""
    with Recorder("webm", pictures[0].size, 8, None, 1) as record:
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
    for way, changes in (WAYS | {FEW: {}}).items():
        if changes is None:
            stock = subject.stock()
            runs[way] = lambda stock=stock: recorded(stock())
            continue
        settings, few = subject.settings(way, changes), way == FEW
        backend = DiffusionBackend(subject.ours(settings), settings)
        backend.load()
        runs[way] = lambda backend=backend, few=few: list(backend.film(subject.shot(few), threading.Event()))[-1]
    spent: dict[str, list[tuple[float, float]]] = {way: [] for way in runs}
    if subject.size.device != "cpu":
        for run in runs.values():  # compiling, and what a GPU does once
            run()
    for _ in range(times):
        for way, run in runs.items():
            film, cpu, clock = timed(run)
            spent[way].append((cpu, clock))
            frames[way] = watched(film).frames
            told[way] = film.metadata if isinstance(film, Film) else {}
    counts = 0 if subject.size.device == "cpu" else 1
    return [row(way, spent, frames, told[way], counts) for way in runs]


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return what one run gives, and its CPU and clock seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    film = run()
    return film, time.process_time() - cpu, time.perf_counter() - began


def row(
    way: str, spent: dict[str, list[tuple[float, float]]], frames: dict[str, Any], told: Any, counts: int
) -> tuple[str, ...]:
    """Write one way's results; of CPU and clock, the one at `counts` is compared."""
    first = next(iter(spent))
    best, stock = (min(each[counts] for each in spent[name]) for name in (way, first))
    cpu, wall = (min(each[number] for each in spent[way]) for number in (0, 1))
    skipped, ran = told.get("blocks_skipped", 0), told.get("blocks_run", 0)
    likeness = psnr(frames[way], frames[first])
    alike = "same" if likeness == float("inf") else f"{likeness:.1f} dB"
    return (
        way,
        f"{cpu:.2f} s",
        f"{wall:.2f} s",
        f"{stock / best:.2f}",
        f"{skipped} of {skipped + ran}" if skipped else "none",
        "another film" if way == FEW else alike,
    )


def subjects(home: Path, *, gpu: bool) -> list[Subject]:
    """Write the weights of both models."""
    if gpu:
        return [
            Subject("Stable Video Diffusion XT", full_size.svd_xt(home / "svd"), StableVideo, 3.0, XT),
            Subject("AnimateDiff", full_size.animatediff(home / "animatediff"), AnimateDiff, 7.5, SQUARE),
        ]
    return [
        Subject("Stable Video Diffusion", tiny.tiny_svd(home / "svd", WIDTHS, 2), StableVideo, 3.0),
        Subject("AnimateDiff", tiny.tiny_animatediff(home / "animatediff", WIDTHS, 2), AnimateDiff, 7.5),
    ]


def main() -> None:
    """Measure both models."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--note", default="")
    parser.add_argument("--gpu", action="store_true", help="full-size models on a CUDA device")
    asked = parser.parse_args()
    import torch  # noqa: PLC0415

    if asked.gpu and not torch.cuda.is_available():
        parser.error("--gpu: there is no CUDA device here.")
    torch.set_num_threads(1)
    before = results.busy()
    parts = [asked.note] if asked.note else []
    head = ("way", "CPU, least", "clock, least", "times as fast", "blocks left out", "against stock")
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects(Path(folder), gpu=asked.gpu):
            about = "full size, float16" if asked.gpu else f"widths {WIDTHS}, 2 layers a block, one thread"
            parts.append(f"{subject.title}: {subject.size}, {about}, least of {asked.times} runs:")
            parts.append(results.table(head, measured(subject, asked.times)))
            if asked.gpu:
                most = torch.cuda.max_memory_allocated() / 1e9
                parts.append(f"Most GPU memory at once, all ways loaded: {most:.1f} GB")
    parts.append("Few steps are 4, without guidance; for SVD its own UNet stands in for a distilled one.")
    results.write("Films by diffusion", before, *parts)


if __name__ == "__main__":
    main()
