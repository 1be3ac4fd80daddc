"""The portrait as a backend: it takes a sound and a picture, and films the picture saying it."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import cv2

from chatacter.chassis.errors import InvalidInput
from chatacter.contracts.directions import EMOTIONS, GAZES, script
from chatacter.contracts.video import VIDEO_MEDIA_TYPES, Metadata
from chatacter.models.store import ModelStore
from visualizr.backend import Film, Picture, Preset, Progress, Shot, VideoCapabilities
from visualizr.backends.portrait.acting import Role
from visualizr.backends.portrait.cues import moments
from visualizr.backends.portrait.face import PARAM, FaceFinder
from visualizr.backends.portrait.layered import LayeredStage, rasterised
from visualizr.backends.portrait.photo import photo_stage
from visualizr.backends.portrait.stage import Stage, rehearse
from visualizr.backends.portrait.svg import read_artwork
from visualizr.frames import Recorder
from visualizr.references import AUDIO, SVG
from visualizr.settings import VisualizrSettings

CAPABILITIES: Final = VideoCapabilities(
    prompt="optional",
    image="required",
    sound="required",
    image_types=frozenset({SVG, "image/png", "image/jpeg", "image/webp"}),
    formats=frozenset(VIDEO_MEDIA_TYPES),
    controls=frozenset({"motion_strength", "emotion", "emotion_strength", "gaze"}),
    presets={
        "draft": Preset(width=384, height=384, fps=15),
        "standard": Preset(width=512, height=512, fps=25),
        "high": Preset(width=768, height=768, fps=30),
    },
)
# Preparing the picture counts as so much of the work, encoding the last frames as the rest.
PREPARED: Final = 0.05
PROGRESS_SECONDS: Final = 0.25
USUAL: Final = 0.5
"""Of `motion_strength` and `emotion_strength`: what a request gets that names none."""
NOT_SHOWN: Final = "prompt: there is no such {name}. It can be {known}."


def create(settings: VisualizrSettings) -> "PortraitBackend":
    """Build the backend that the settings describe; nothing is loaded."""
    return PortraitBackend(settings)


class PortraitBackend:
    """Films photos and layered drawings. Portraits that it has prepared lately are kept."""

    def __init__(self, settings: VisualizrSettings) -> None:
        self._threads = settings.visualizr_threads
        self._mp4 = settings.visualizr_mp4_encoder
        self._kept = settings.visualizr_portrait_cache
        self._faces = FaceFinder(ModelStore(settings.models_dir))
        self._stages: OrderedDict[tuple[bytes, int, int], Stage] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> VideoCapabilities:
        """What it can do."""
        return CAPABILITIES

    def load(self) -> None:
        """Read the face networks. Raises `Misconfigured` when they are not installed."""
        cv2.setNumThreads(self._threads)
        self._faces.load()

    def film(self, shot: Shot, cancelled: threading.Event) -> Iterator[Progress | Film]:
        """Film one portrait. Raises `InvalidInput` before the first piece when the picture cannot be filmed."""
        if shot.image is None or shot.sound is None:
            raise InvalidInput(f"{PARAM}, {AUDIO}: a portrait needs both.", param=PARAM)
        role = role_of(shot, shot.sound.seconds)
        stage = self._stage(shot.image, shot.width, shot.height, cancelled)
        performance = rehearse(shot.sound, shot.phonemes, shot.fps, shot.seed, as_usual(shot.motion), role)
        yield Progress(PREPARED)
        told = time.monotonic()
        size = (shot.width, shot.height)
        with Recorder(shot.output_format, size, shot.fps, shot.sound, self._threads, self._mp4) as recorder:
            for index in range(len(performance)):
                if cancelled.is_set():
                    return
                recorder.add(stage.frame(performance, index))
                if time.monotonic() - told >= PROGRESS_SECONDS:
                    told = time.monotonic()
                    yield Progress(PREPARED + (1 - PREPARED) * (index + 1) / (len(performance) + 1))
            data, seconds = recorder.finish()
            small = recorder.renditions()
        media_type = VIDEO_MEDIA_TYPES[shot.output_format]
        metadata: Metadata = {
            "model": "portrait",
            "seed": shot.seed,
            "quality": shot.quality,
            "motion_strength": USUAL if shot.motion is None else shot.motion,
            "emotion": role.emotion,
            "emotion_strength": USUAL * role.strength,
            "gaze": role.gaze,
            "directions": [f"{each.value} at {second:.2f}" for second, each in role.cues],
            "lips_follow": "phonemes" if shot.phonemes else "sound",
            "num_frames": len(performance),
            "encoder": recorder.encoder,
        }
        yield Film(data, media_type, seconds, shot.width, shot.height, shot.fps, metadata, small)

    def close(self) -> None:
        """Let go of the networks and the kept portraits."""
        self._faces.close()
        with self._lock:
            self._stages.clear()

    def _stage(self, image: Picture, width: int, height: int, cancelled: threading.Event) -> Stage:
        """Prepare a portrait, or take the one that was prepared before."""
        key = (hashlib.sha256(image.media_type.encode() + b"\0" + image.data).digest(), width, height)
        with self._lock:
            if key in self._stages:
                self._stages.move_to_end(key)
                return self._stages[key]
        stage = self._prepared(image, width, height, cancelled)
        with self._lock:
            self._stages[key] = stage
            while len(self._stages) > self._kept:
                self._stages.popitem(last=False)
        return stage

    def _prepared(self, image: Picture, width: int, height: int, cancelled: threading.Event) -> Stage:
        if image.media_type == SVG:
            artwork = read_artwork(image.data)
            return LayeredStage(artwork, rasterised(artwork, width, height, cancelled))
        return photo_stage(image.data, self._faces, width, height)


def as_usual(strength: float | None) -> float:
    """Return the factor that a strength stands for: 1 where a request says nothing, 0 for nothing of it."""
    return 1.0 if strength is None else strength / USUAL


def role_of(shot: Shot, seconds: float) -> Role:
    """Read how a shot is acted: from its fields, and from the directions in what is said. Raises `InvalidInput`."""
    lines = script(shot.prompt)
    for name in lines.unknown:
        known = ", ".join(EMOTIONS if name == "emotion" else GAZES)
        raise InvalidInput(NOT_SHOWN.format(name=name, known=known), param="prompt")
    return Role(
        emotion=shot.emotion or "neutral",
        gaze=shot.gaze or "natural",
        strength=as_usual(shot.emotion_strength),
        cues=moments(lines.directions, lines.spoken, shot.phonemes, seconds),
    )
