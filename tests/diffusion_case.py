"""A loaded diffusion backend and what it is asked to film, for the suites over tiny pipelines."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests import diffusion_material as tiny
from tests.film_material import shot, watched
from visualizr.backend import Film, Progress, Shot
from visualizr.backends.diffusion import animatediff, svd
from visualizr.backends.diffusion.backend import DiffusionBackend
from visualizr.settings import VisualizrSettings

PHOTO = tiny.photo()
MAKERS = {"svd": svd.create, "animatediff": animatediff.create}


@dataclass(frozen=True)
class Case:
    """A loaded backend, and the least that it films from."""

    name: str
    backend: DiffusionBackend

    def shot(self, **more: Any) -> Shot:
        asked: dict[str, Any] = {"width": 64, "height": 64, "fps": 8, "frames": 4, "steps": 3, "guidance": 2.0}
        picture = None if "prompt" in more or self.name == "animatediff" else PHOTO
        asked |= {"prompt": "a cat walks"} if self.name == "animatediff" else {}
        image = more.pop("image", picture)
        return shot(image, more.pop("sound", None), **{**asked, **more})

    def pieces(self, wanted: Shot) -> list[Progress | Film]:
        return list(self.backend.film(wanted, threading.Event()))

    def film(self, wanted: Shot) -> Film:
        film = self.pieces(wanted)[-1]
        assert isinstance(film, Film)
        return film

    def frames(self, wanted: Shot) -> NDArray[np.uint8]:
        return watched(self.film(wanted)).frames


def settings(weights: Path, name: str, **more: Any) -> VisualizrSettings:
    own: dict[str, Any] = {"visualizr_weights": str(weights / "svd"), "visualizr_text_to_image": str(weights / "sd15")}
    if name == "animatediff":
        own = {
            "visualizr_weights": str(weights / "sd15"),
            "visualizr_motion_adapter": str(weights / "motion"),
            "visualizr_sparse_control": str(weights / "sparse"),
        }
    return VisualizrSettings(visualizr_model=name, **{**own, **more})


def built(weights: Path, name: str, **more: Any) -> DiffusionBackend:
    backend = MAKERS[name](settings(weights, name, **more))
    backend.load()
    return backend


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)
