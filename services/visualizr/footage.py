"""Moving pictures as they arrive: a `data:` URL from anybody, checked before and while it is decoded."""

import io
import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from chatacter.chassis.errors import Cancelled, InvalidInput, TooLarge, Unsupported
from visualizr.backend import Clip, Picture
from visualizr.references import VIDEO, data_of

# Media type → the only demuxer that may read it.
CLIP_TYPES: Final[Mapping[str, str]] = {"video/webm": "matroska,webm", "video/mp4": "mp4", "video/quicktime": "mp4"}
UNREADABLE: Final = "video_reference: this is not a film of the kind that its media type names."
TOO_MUCH: Final = "video_reference: too many frames of too many pixels. Ask for fewer (num_frames), or send less."
MOST_FRAMES: Final = 256
# Pixels of all frames together, as they are kept: 300 MB.
MOST_PIXELS: Final = 100_000_000
DEFAULT_FPS: Final = 25.0
# Seconds: times in a file are rounded to its clock, in WebM to milliseconds.
CLOSE: Final = 0.002
UNREADABLE_BY: Final = (av.FFmpegError, ValueError, IndexError)


def unread(url: str) -> Clip:
    """Take a film as it is, without a frame, for whoever passes it on. Raises `InvalidInput`, `Unsupported`."""
    return Clip(np.empty((0, 0, 0, 3), np.uint8), DEFAULT_FPS, file_of(url))


def file_of(url: str) -> Picture:
    """Return the file itself. Raises `InvalidInput`, `Unsupported`."""
    media_type, data = data_of(url, VIDEO)
    if media_type not in CLIP_TYPES:
        raise Unsupported(f"video_reference: send one of {', '.join(sorted(CLIP_TYPES))}.", param=VIDEO)
    return Picture(media_type, data)


def clip(
    file: Picture,
    fps: int,
    frames: int | None,
    max_pixels: int,
    least: tuple[int, int] = (0, 0),
    cancelled: threading.Event | None = None,
) -> Clip:
    """Decode a film's beginning at `fps` frames a second, at the speed at which it was filmed: at each moment the frame
    that is shown then. Frames are no larger than they need to be to cover `least`, width and height; 0: as they are.

    Each frame's size is looked at before its pixels are: a film's frames may be larger than its header says.
    Raises `InvalidInput`, `TooLarge`, and `Cancelled` within a frame once `cancelled` is set. Blocks.
    """
    found: list[NDArray[np.uint8]] = []
    try:
        with opened(file) as container:
            rate = rate_of(container)
            for frame in steady(timed(container, max_pixels, cancelled), fps, 1 / rate):
                wide, tall = shrunk((frame.width, frame.height), least)
                if (len(found) + 1) * wide * tall > MOST_PIXELS:
                    raise TooLarge(TOO_MUCH, param=VIDEO)
                found.append(frame.to_ndarray(format="rgb24", width=wide, height=tall).astype(np.uint8, copy=False))
                if len(found) == (frames or MOST_FRAMES):
                    break
    except UNREADABLE_BY as error:
        raise InvalidInput(UNREADABLE, param=VIDEO) from error
    if not found:
        raise InvalidInput("video_reference: there is no picture in it.", param=VIDEO)
    return Clip(np.stack(found), rate, file)


def opened(file: Picture) -> InputContainer:
    """Open a film by the only demuxer that may read its media type. Raises what `UNREADABLE_BY` names."""
    container = av.open(io.BytesIO(file.data), "r", format=CLIP_TYPES[file.media_type])
    assert isinstance(container, InputContainer)
    return container


def rate_of(container: InputContainer) -> float:
    """Return how many frames a second a film claims to have."""
    return float(container.streams.video[0].average_rate or DEFAULT_FPS)


def timed(
    container: InputContainer, max_pixels: int, cancelled: threading.Event | None = None
) -> Iterator[tuple[av.VideoFrame, float]]:
    """Decode a film; yield frames of one size, each with the second from which on it is shown.

    Raises `InvalidInput`, `TooLarge`, and `Cancelled` once `cancelled` is set.
    """
    rate = rate_of(container)
    head = container.streams.video[0].codec_context
    require(head.width * head.height, max_pixels)
    size: tuple[int, int] | None = None
    for number, frame in enumerate(container.decode(video=0)):
        if cancelled is not None and cancelled.is_set():
            raise Cancelled("The film was cancelled.")
        require(frame.width * frame.height, max_pixels)
        if (size := size or (frame.width, frame.height)) != (frame.width, frame.height):
            raise InvalidInput("video_reference: all its frames must be of one size.", param=VIDEO)
        yield frame, number / rate if frame.time is None else frame.time


def steady(frames: Iterable[tuple[av.VideoFrame, float]], fps: float, lasting: float) -> Iterator[av.VideoFrame]:
    """Yield what a film shows at each moment of a steady rate. The last frame is shown for `lasting` seconds."""
    shown: av.VideoFrame | None = None
    began = since = 0.0
    count = 0
    for frame, time in frames:
        if shown is None:
            began = time
        while shown is not None and count / fps < time - began - CLOSE:
            yield shown
            count += 1
        shown, since = frame, time
    while shown is not None and count / fps < since + lasting - began - CLOSE:
        yield shown
        count += 1


def require(pixels: int, most: int) -> None:
    """Raise `TooLarge` for a frame of too many pixels."""
    if pixels > most:
        raise TooLarge(f"video_reference: a frame may have {most} pixels.", param=VIDEO)


def shrunk(size: tuple[int, int], least: tuple[int, int]) -> tuple[int, int]:
    """Return the size at which a picture just covers another one; never larger than it is."""
    scale = max(part / whole for part, whole in zip(least, size, strict=True))
    return size if not 0 < scale < 1 else (math.ceil(size[0] * scale), math.ceil(size[1] * scale))
