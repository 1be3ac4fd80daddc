"""A video backend in a wheel of its own: it pans over a picture. `VISUALIZR_MODEL=slideshow python -m visualizr`."""

import threading
from collections.abc import Iterator

import cv2
import numpy as np

from chatacter.contracts.video import VIDEO_MEDIA_TYPES
from visualizr.backend import Film, Limits, Preset, Progress, Shot, VideoCapabilities
from visualizr.frames import Recorder
from visualizr.settings import VisualizrSettings


def create(settings: VisualizrSettings) -> "Slideshow":
    return Slideshow(settings.visualizr_threads)


class Slideshow:
    capabilities = VideoCapabilities(
        prompt="unused",
        image="required",
        sound="optional",
        image_types=frozenset({"image/png", "image/jpeg"}),
        formats=frozenset(VIDEO_MEDIA_TYPES),
        controls=frozenset({"num_frames"}),
        limits=Limits(side=640, frames=250),
        presets={"standard": Preset(320, 240, 10, frames=20), "draft": Preset(160, 120, 10, frames=10)},
    )

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def load(self) -> None:
        """There are no weights."""

    def film(self, shot: Shot, cancelled: threading.Event) -> Iterator[Progress | Film]:
        assert shot.image is not None  # the capabilities require one
        assert shot.frames is not None  # every preset has a number
        picture = cv2.imdecode(np.frombuffer(shot.image.data, np.uint8), cv2.IMREAD_COLOR)
        wide = cv2.cvtColor(cv2.resize(picture, (2 * shot.width, shot.height)), cv2.COLOR_BGR2BGRA)
        size = (shot.width, shot.height)
        with Recorder(shot.output_format, size, shot.fps, shot.sound, self._threads) as record:
            for index in range(shot.frames):
                if cancelled.is_set():
                    return
                left = shot.width * index // shot.frames
                record.add(np.ascontiguousarray(wide[:, left : left + shot.width]))
                yield Progress((index + 1) / (shot.frames + 1))
            data, seconds = record.finish()
        metadata = {"num_frames": shot.frames}
        media_type = VIDEO_MEDIA_TYPES[shot.output_format]
        yield Film(data, media_type, seconds, *size, shot.fps, metadata, record.renditions())

    def close(self) -> None:
        """Nothing was taken."""
