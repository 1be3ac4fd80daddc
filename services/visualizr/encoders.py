"""Which encoder writes the pictures of a film.

FFmpeg's usual one for H.264, x264, is under the GPL, and so is a program that brings it along. So H.264 is written by
one that is not, where FFmpeg has one and it works on this machine; elsewhere an MP4 holds VP9.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

import av
from av.video.codeccontext import VideoCodecContext

from chatacter.contracts.video import VideoFormat
from visualizr.settings import Mp4Encoder

VP9: Final = "libvpx-vp9"
X264: Final = "libx264"
# Encoders of H.264 without the GPL that take pictures from main memory: Cisco's, NVIDIA's and Apple's.
FREE_OF_GPL: Final = ("libopenh264", "h264_nvenc", "h264_videotoolbox")
OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    VP9: {
        "deadline": "realtime",
        "cpu-used": "7",
        "row-mt": "1",
        "tile-columns": "1",
        "crf": "30",
        "b": "0",
        "lag-in-frames": "0",
        "error-resilient": "0",
    },
    X264: {"preset": "veryfast", "crf": "21"},
    "h264_nvenc": {"preset": "p4", "rc": "vbr", "cq": "23", "b": "0"},
    "h264_videotoolbox": {"realtime": "1"},
}
# Bits a second that a pixel gets where no option sets a constant quality (VideoToolbox's is a flag of the codec).
BITS_A_PIXEL: Final = 3
CONSTANT_QUALITY: Final = frozenset({"crf", "cq"})


def chosen(
    output_format: VideoFormat, size: tuple[int, int], mp4: Mp4Encoder = "auto", ours: Sequence[str] = FREE_OF_GPL
) -> str:
    """Return the encoder for films of a form and a size: for MP4 the first of `ours` that works, else VP9."""
    if output_format == "webm":
        return VP9
    if mp4 == "libx264":
        return X264
    return next((name for name in ours if works(name, size)), VP9)


def works(name: str, size: tuple[int, int]) -> bool:
    """Whether FFmpeg has this encoder, and it takes such a film and all of its options.

    It may miss its device or find the film too small; what it knows nothing of it leaves over without a word.
    """
    try:
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = size
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, 25)
        context.options = options(name, size, 1)
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return not context.options


def options(name: str, size: tuple[int, int], threads: int) -> dict[str, str]:
    """Return an encoder's options: as fast as talking, good enough for a face."""
    given = OPTIONS.get(name, {})
    bits = {} if CONSTANT_QUALITY & given.keys() else {"b": str(BITS_A_PIXEL * size[0] * size[1])}
    return {**given, **bits, "threads": str(threads)}
