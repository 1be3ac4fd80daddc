"""A backend without a model: it films a grey card that brightens, as slowly as it is told."""

import threading
from collections.abc import Iterator

import numpy as np

from chatacter.chassis.errors import InvalidInput
from chatacter.contracts.video import VIDEO_MEDIA_TYPES, Metadata
from visualizr.backend import Film, Progress, Shot, VideoCapabilities
from visualizr.frames import Recorder
from visualizr.ordered import CONTROLS
from visualizr.settings import VisualizrSettings

SECONDS_WITHOUT_SOUND = 1.0


def create(settings: VisualizrSettings) -> "FakeBackend":
    """Build the fake."""
    return FakeBackend(threads=settings.visualizr_threads)


class FakeBackend:
    """Counts what it does. `pause`: seconds that a frame takes; `broken`: what every film fails with at its start."""

    def __init__(self, *, threads: int = 1, pause: float = 0.0, broken: str | None = None) -> None:
        self._threads = threads
        self._pause = pause
        self._broken = broken
        self.loaded = False
        self.frames = 0
        self.begun = 0
        self.finished = 0
        self.stopped = threading.Event()
        """Set when a film ended without being finished."""

    @property
    def capabilities(self) -> VideoCapabilities:
        """What it can do: anything, with or without each part."""
        return VideoCapabilities(
            prompt="optional",
            image="optional",
            sound="optional",
            image_types=frozenset({"image/svg+xml", "image/png", "image/jpeg", "image/webp"}),
            formats=frozenset(VIDEO_MEDIA_TYPES),
            video="optional",
            controls=frozenset(CONTROLS),
        )

    def load(self) -> None:
        """Load nothing."""
        self.loaded = True

    def film(self, shot: Shot, cancelled: threading.Event) -> Iterator[Progress | Film]:
        """Film the card for as long as the sound lasts."""
        if self._broken is not None:
            raise InvalidInput(self._broken, param="image_reference")
        self.begun += 1
        seconds = shot.sound.seconds if shot.sound else SECONDS_WITHOUT_SOUND
        frames = shot.frames or max(1, int(np.ceil(seconds * shot.fps)))
        finished = False
        try:
            yield Progress(0.0)
            with Recorder(shot.output_format, (shot.width, shot.height), shot.fps, shot.sound, self._threads) as record:
                for index in range(frames):
                    if cancelled.wait(self._pause) if self._pause else cancelled.is_set():
                        return
                    record.add(np.full((shot.height, shot.width, 4), 40 + index * 160 // frames, np.uint8))
                    self.frames += 1
                    yield Progress((index + 1) / (frames + 1))
                data, length = record.finish()
                small = record.renditions()
            finished = True
            self.finished += 1
            yield Film(
                data,
                VIDEO_MEDIA_TYPES[shot.output_format],
                length,
                shot.width,
                shot.height,
                shot.fps,
                metadata=told(shot, frames),
                renditions=small,
            )
        finally:
            if not finished:
                self.stopped.set()

    def close(self) -> None:
        """Forget that it was loaded."""
        self.loaded = False


def told(shot: Shot, frames: int) -> Metadata:
    """Repeat what was asked for: a card has no use for it, and whoever asks sees that it arrived."""
    return {
        "num_frames": frames,
        "num_inference_steps": shot.steps,
        "guidance_scale": shot.guidance,
        "negative_prompt": shot.negative_prompt or None,
        "motion_strength": shot.motion,
        "strength": shot.strength,
        "emotion": shot.emotion,
        "emotion_strength": shot.emotion_strength,
        "gaze": shot.gaze,
        "quality": shot.quality,
        "seed": shot.seed,
    }
