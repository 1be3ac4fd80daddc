"""Pictures and sounds as they arrive: `data:` URLs from anybody. What they claim is checked before they are decoded."""

import base64
import io
import struct
from collections.abc import Callable, Mapping
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from visualizr.backend import Picture, Sound

SVG: Final = "image/svg+xml"
IMAGE: Final = "image_reference"
AUDIO: Final = "audio_reference"
VIDEO: Final = "video_reference"
SOUND_RATE: Final = 48_000

# Media type → the only demuxer that may read it.
SOUND_TYPES: Final[Mapping[str, str]] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
UNREADABLE_SOUND: Final = "audio_reference: this is not a sound of the kind that its media type names."
UNREADABLE_IMAGE: Final = "image_reference: this is not an image of the kind that its media type names."


def data_of(url: str, param: str) -> tuple[str, bytes]:
    """Split a `data:` URL into media type and bytes (RFC 2397, base64 only). Raises `InvalidInput`."""
    head, _, body = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise InvalidInput(f"{param}: send a data: URL with base64.", param=param)
    try:
        return head[len("data:") : -len(";base64")].lower(), base64.b64decode(body, validate=True)
    except ValueError as error:  # not base64, or not even ASCII
        raise InvalidInput(f"{param}: the base64 is broken.", param=param) from error


def data_url(content: Picture) -> str:
    """Write bytes as a `data:` URL."""
    return f"data:{content.media_type};base64,{base64.b64encode(content.data).decode()}"


def picture(url: str, kinds: frozenset[str], max_pixels: int) -> Picture:
    """Read an image's kind and size without decoding it. Raises `InvalidInput`, `Unsupported`, `TooLarge`."""
    media_type, data = data_of(url, IMAGE)
    if media_type not in kinds:
        raise Unsupported(f"image_reference: this model takes {', '.join(sorted(kinds))}.", param=IMAGE)
    if media_type != SVG:
        width, height = size_of(media_type, data)
        if width * height > max_pixels:
            raise TooLarge(f"image_reference: a photo may have {max_pixels} pixels; send a smaller one.", param=IMAGE)
    return Picture(media_type, data)


def size_of(media_type: str, data: bytes) -> tuple[int, int]:
    """Read width and height from an image's header. Raises `InvalidInput` when there is no such header."""
    reader = SIZES.get(media_type)
    try:
        size = reader(data) if reader else None
    except struct.error:
        size = None
    if size is None or min(size) < 1:
        raise InvalidInput(UNREADABLE_IMAGE, param=IMAGE)
    return size


def png_size(data: bytes) -> tuple[int, int] | None:
    """Read IHDR. Source: PNG specification, section 11.2.2."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Read the first frame header (SOF). Source: ITU-T T.81, section B.2.2."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        elif marker in (0xD9, 0xDA):
            return None
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Read the first chunk: lossy, lossless or extended. Source: WebP container specification; RFC 6386, 9.1."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        wide, high = data[24:27], data[27:30]
        return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
    return None


SIZES: Final[Mapping[str, Callable[[bytes], tuple[int, int] | None]]] = {
    "image/png": png_size,
    "image/jpeg": jpeg_size,
    "image/webp": webp_size,
}


def sound(url: str, max_seconds: float) -> Sound:
    """Decode a sound to mono at `SOUND_RATE`. Raises `InvalidInput`, `Unsupported`, `TooLarge`. Blocks."""
    media_type, data = data_of(url, AUDIO)
    if media_type not in SOUND_TYPES:
        raise Unsupported(f"audio_reference: send one of {', '.join(sorted(SOUND_TYPES))}.", param=AUDIO)
    samples = decoded(data, SOUND_TYPES[media_type], round(max_seconds * SOUND_RATE))
    if samples is None:
        raise TooLarge(f"audio_reference: the sound may last {max_seconds:g} s.", param=AUDIO)
    if not len(samples):
        raise InvalidInput("audio_reference: there is no sound in it.", param=AUDIO)
    return Sound(samples, SOUND_RATE)


def decoded(data: bytes, demuxer: str, most: int) -> NDArray[np.float32] | None:
    """Decode to mono samples; None when there are more than `most`. Raises `InvalidInput`."""
    blocks: list[NDArray[np.float32]] = []
    count = 0
    try:
        with av.open(io.BytesIO(data), "r", format=demuxer) as container:
            resampler = av.AudioResampler(format="fltp", rate=SOUND_RATE)
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    blocks.append(piece.to_ndarray().mean(axis=0))
                    count += len(blocks[-1])
                if count > most:
                    return None
            blocks.extend(piece.to_ndarray().mean(axis=0) for piece in resampler.resample(None))
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise InvalidInput(UNREADABLE_SOUND, param=AUDIO) from error
    if not blocks:
        return np.zeros(0, np.float32)
    samples: NDArray[np.float32] = np.clip(np.nan_to_num(np.concatenate(blocks)), -1.0, 1.0).astype(np.float32)
    return samples
