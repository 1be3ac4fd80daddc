"""Moving pictures as they arrive: a `data:` URL from anybody, checked before and while it is decoded."""

import io
import math
from collections.abc import Mapping
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
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


def unread(url: str) -> Clip:
    """Take a film as it is, without a frame, for whoever passes it on. Raises `InvalidInput`, `Unsupported`."""
    return Clip(np.empty((0, 0, 0, 3), np.uint8), DEFAULT_FPS, file_of(url))


def file_of(url: str) -> Picture:
    """Return the file itself. Raises `InvalidInput`, `Unsupported`."""
    media_type, data = data_of(url, VIDEO)
    if media_type not in CLIP_TYPES:
        raise Unsupported(f"video_reference: send one of {', '.join(sorted(CLIP_TYPES))}.", param=VIDEO)
    return Picture(media_type, data)


def clip(url: str, frames: int | None, max_pixels: int, least: tuple[int, int] = (0, 0)) -> Clip:
    """Decode a film's first frames, no larger than they need to be to cover `least`, width and height; 0: as they are.

    Each frame's size is looked at before its pixels are: a film's frames may be larger than its header says.
    Raises `InvalidInput`, `Unsupported`, `TooLarge`. Blocks.
    """
    file = file_of(url)
    found: list[NDArray[np.uint8]] = []
    size: tuple[int, int] | None = None
    try:
        with av.open(io.BytesIO(file.data), "r", format=CLIP_TYPES[file.media_type]) as container:
            stream = container.streams.video[0]
            require(stream.codec_context.width * stream.codec_context.height, max_pixels)
            rate = float(stream.average_rate or DEFAULT_FPS)
            for frame in container.decode(video=0):
                require(frame.width * frame.height, max_pixels)
                if (size := size or (frame.width, frame.height)) != (frame.width, frame.height):
                    raise InvalidInput("video_reference: all its frames must be of one size.", param=VIDEO)
                wide, tall = shrunk(size, least)
                if (len(found) + 1) * wide * tall > MOST_PIXELS:
                    raise TooLarge(TOO_MUCH, param=VIDEO)
                found.append(frame.to_ndarray(format="rgb24", width=wide, height=tall).astype(np.uint8, copy=False))
                if len(found) == (frames or MOST_FRAMES):
                    break
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise InvalidInput(UNREADABLE, param=VIDEO) from error
    if not found:
        raise InvalidInput("video_reference: there is no picture in it.", param=VIDEO)
    return Clip(np.stack(found), rate, file)


def require(pixels: int, most: int) -> None:
    """Raise `TooLarge` for a frame of too many pixels."""
    if pixels > most:
        raise TooLarge(f"video_reference: a frame may have {most} pixels.", param=VIDEO)


def shrunk(size: tuple[int, int], least: tuple[int, int]) -> tuple[int, int]:
    """Return the size at which a picture just covers another one; never larger than it is."""
    scale = max(part / whole for part, whole in zip(least, size, strict=True))
    return size if not 0 < scale < 1 else (math.ceil(size[0] * scale), math.ceil(size[1] * scale))
