"""Moving pictures as they arrive: a `data:` URL from anybody, checked before and while it is decoded."""

import io
import math
import threading
from collections.abc import Mapping
from typing import Final

import av
import numpy as np
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
    kept = Kept(frames or MOST_FRAMES, fps, max_pixels, least)
    try:
        with av.open(io.BytesIO(file.data), "r", format=CLIP_TYPES[file.media_type]) as container:
            stream = container.streams.video[0]
            require(stream.codec_context.width * stream.codec_context.height, max_pixels)
            rate = float(stream.average_rate or DEFAULT_FPS)
            for number, frame in enumerate(container.decode(video=0)):
                if cancelled is not None and cancelled.is_set():
                    raise Cancelled("The film was cancelled.")
                kept.see(frame, frame.time if frame.time is not None else number / rate)
                if kept.full:
                    break
            kept.end(1 / rate)
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise InvalidInput(UNREADABLE, param=VIDEO) from error
    if not kept.pictures:
        raise InvalidInput("video_reference: there is no picture in it.", param=VIDEO)
    return Clip(np.stack(kept.pictures), rate, file)


class Kept:
    """The pictures of a film at a steady rate, while it is decoded. What a frame shows lasts until the next one."""

    def __init__(self, most: int, fps: int, max_pixels: int, least: tuple[int, int]) -> None:
        self.pictures: list[NDArray[np.uint8]] = []
        self._most = most
        self._fps = fps
        self._max_pixels = max_pixels
        self._least = least
        self._shown: av.VideoFrame | None = None
        self._since = self._began = 0.0

    @property
    def full(self) -> bool:
        """Whether it has as many pictures as are wanted."""
        return len(self.pictures) == self._most

    def see(self, frame: av.VideoFrame, time: float) -> None:
        """Take the next frame, shown from `time` on, in seconds. Raises `InvalidInput`, `TooLarge`."""
        require(frame.width * frame.height, self._max_pixels)
        if self._shown is None:
            self._began = time
        elif (frame.width, frame.height) != (self._shown.width, self._shown.height):
            raise InvalidInput("video_reference: all its frames must be of one size.", param=VIDEO)
        self._until(time)
        self._shown, self._since = frame, time

    def end(self, lasting: float) -> None:
        """The last frame that was seen is shown for so many seconds."""
        self._until(self._since + lasting)

    def _until(self, time: float) -> None:
        """Keep what is shown at each moment before `time`."""
        if self._shown is None:
            return
        wide, tall = shrunk((self._shown.width, self._shown.height), self._least)
        pixels: NDArray[np.uint8] | None = None
        while not self.full and len(self.pictures) / self._fps < time - self._began - CLOSE:
            if (len(self.pictures) + 1) * wide * tall > MOST_PIXELS:
                raise TooLarge(TOO_MUCH, param=VIDEO)
            if pixels is None:
                pixels = self._shown.to_ndarray(format="rgb24", width=wide, height=tall).astype(np.uint8, copy=False)
            self.pictures.append(pixels)


def require(pixels: int, most: int) -> None:
    """Raise `TooLarge` for a frame of too many pixels."""
    if pixels > most:
        raise TooLarge(f"video_reference: a frame may have {most} pixels.", param=VIDEO)


def shrunk(size: tuple[int, int], least: tuple[int, int]) -> tuple[int, int]:
    """Return the size at which a picture just covers another one; never larger than it is."""
    scale = max(part / whole for part, whole in zip(least, size, strict=True))
    return size if not 0 < scale < 1 else (math.ceil(size[0] * scale), math.ceil(size[1] * scale))
