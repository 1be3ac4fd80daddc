"""A finished film of somebody else's, recorded anew: as long as the sound that belongs to it, in the form asked for."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.errors import InvalidInput, UpstreamFailed
from chatacter.contracts.video import VIDEO_MEDIA_TYPES, Metadata
from visualizr import footage
from visualizr.backend import Film, Picture, Progress, Shot, Sound
from visualizr.frames import Recorder
from visualizr.references import SOUND_RATE, decoded
from visualizr.settings import VisualizrSettings

FETCHED: Final = 0.9
"""How much of a film is done once it has come."""
RECORDED: Final = 0.99
FASTEST: Final = 60
NO_FILM: Final = "The video server behind this one sent something that is no film."
TOO_LONG: Final = "The video server behind this one sent a film longer than VISUALIZR_MAX_SECONDS."


@dataclass(frozen=True, slots=True)
class Reel:
    """What a file claims to hold: its size, made even; frames a second; how many of them; whether it is heard."""

    file: Picture
    size: tuple[int, int]
    rate: float
    frames: int
    heard: bool


def refilmed(
    file: Picture, shot: Shot, settings: VisualizrSettings, cancelled: threading.Event, told: Metadata
) -> Iterator[Progress | Film]:
    """Record a film anew, frame by frame. Without a sound in the shot it keeps its own length, and its own sound.

    With one it is as long as that: cut, or shown again from its beginning. Raises `UpstreamFailed` for what is no film
    or longer than VISUALIZR_MAX_SECONDS, `Cancelled` within a frame.
    """
    try:
        yield from recorded(reel_of(file), shot, settings, cancelled, told)
    except (*footage.UNREADABLE_BY, InvalidInput) as error:
        raise UpstreamFailed(NO_FILM) from error


def recorded(
    reel: Reel, shot: Shot, settings: VisualizrSettings, cancelled: threading.Event, told: Metadata
) -> Iterator[Progress | Film]:
    """Do it; what a broken film raises is raised."""
    fps = shot.fps or max(1, min(FASTEST, round(reel.rate)))
    sound = shot.sound or (own_sound(reel.file, settings.visualizr_max_seconds) if reel.heard else None)
    wanted = max(1, -(-len(shot.sound.samples) * fps // SOUND_RATE)) if shot.sound else None
    most = wanted or max(1, round(settings.visualizr_max_seconds * fps))
    expected = wanted or max(1, round(reel.frames / reel.rate * fps))
    count = again = 0
    with Recorder(
        shot.output_format, reel.size, fps, sound, settings.visualizr_threads, settings.visualizr_mp4_encoder
    ) as record:
        for first, frame in shown(
            reel, fps, settings.visualizr_max_image_pixels, cancelled, endless=wanted is not None
        ):
            if count == most:
                raise UpstreamFailed(TOO_LONG)
            record.add(frame)
            count += 1
            again += not first
            yield Progress(FETCHED + (RECORDED - FETCHED) * min(1.0, count / expected))
            if count == wanted:
                break
        if not count:
            raise UpstreamFailed(NO_FILM)
        data, seconds = record.finish()
        small = record.renditions()
    metadata: Metadata = {
        **told,
        "num_frames": count - again,
        "frames_repeated_for_sound": again,
        "encoder": record.encoder,
    }
    yield Film(data, VIDEO_MEDIA_TYPES[shot.output_format], seconds, *reel.size, fps, metadata, small)


def reel_of(file: Picture) -> Reel:
    """Read what a file claims to hold. Raises `UpstreamFailed`, and what `footage.UNREADABLE_BY` names."""
    if file.media_type not in footage.CLIP_TYPES:
        raise UpstreamFailed(NO_FILM)
    with footage.opened(file) as container:
        head, rate = container.streams.video[0].codec_context, footage.rate_of(container)
        seconds = (container.duration or 0) / av.time_base
        size = (head.width // 2 * 2, head.height // 2 * 2)
        return Reel(file, size, rate, round(seconds * rate), bool(container.streams.audio))


def shown(
    reel: Reel, fps: int, max_pixels: int, cancelled: threading.Event, *, endless: bool
) -> Iterator[tuple[bool, NDArray[np.uint8]]]:
    """Yield frames at a steady rate, blue first, each with whether it is seen for the first time."""
    first = True
    while first or endless:
        begun = False
        with footage.opened(reel.file) as container:
            frames = footage.timed(container, max_pixels, cancelled)
            for frame in footage.steady(frames, fps, 1 / reel.rate):
                begun = True
                pixels = frame.to_ndarray(format="bgra", width=reel.size[0], height=reel.size[1])
                yield first, pixels.astype(np.uint8, copy=False)
        if not begun:
            return
        first = False


def own_sound(file: Picture, most: float) -> Sound:
    """Decode the sound that a film brings. Raises `InvalidInput`, `UpstreamFailed`."""
    samples = decoded(file.data, footage.CLIP_TYPES[file.media_type], round(most * SOUND_RATE))
    if samples is None:
        raise UpstreamFailed(TOO_LONG)
    return Sound(samples, SOUND_RATE)
