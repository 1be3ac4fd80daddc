"""Moving pictures as they arrive: a `data:` URL from anybody, checked before and while it is decoded."""

import io
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
MOST_FRAMES: Final = 256
DEFAULT_FPS: Final = 25.0


def clip(url: str, frames: int | None, max_pixels: int) -> Clip:
    """Decode a film's first frames. Raises `InvalidInput`, `Unsupported`, `TooLarge`. Blocks."""
    media_type, data = data_of(url, VIDEO)
    if media_type not in CLIP_TYPES:
        raise Unsupported(f"video_reference: send one of {', '.join(sorted(CLIP_TYPES))}.", param=VIDEO)
    found: list[NDArray[np.uint8]] = []
    try:
        with av.open(io.BytesIO(data), "r", format=CLIP_TYPES[media_type]) as container:
            stream = container.streams.video[0]
            if stream.codec_context.width * stream.codec_context.height > max_pixels:
                raise TooLarge(f"video_reference: a frame may have {max_pixels} pixels.", param=VIDEO)
            rate = float(stream.average_rate or DEFAULT_FPS)
            for frame in container.decode(video=0):
                found.append(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
                if len(found) == (frames or MOST_FRAMES):
                    break
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise InvalidInput(UNREADABLE, param=VIDEO) from error
    if not found:
        raise InvalidInput("video_reference: there is no picture in it.", param=VIDEO)
    if any(frame.shape != found[0].shape for frame in found):
        raise InvalidInput("video_reference: all its frames must be of one size.", param=VIDEO)
    return Clip(np.stack(found), rate, Picture(media_type, data))
