"""Small forms of a film: a still, a sheet of stills, and a short animation, each marked as synthetic.

A reel is shown every frame and keeps few of them: a long film costs no more memory than a short one.
"""

import io
import struct
from collections.abc import Sequence
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.provenance import XMP
from chatacter.contracts.video import RenditionVariant
from visualizr.backend import Rendition

Pixels = NDArray[np.uint8]

MOST_KEPT: Final = 50
KEPT_SIDE: Final = 320
THUMBNAIL_SIDE: Final = 640
SHEET_COLUMNS: Final = 5
SHEET_STILLS: Final = 25
PREVIEW_STILLS: Final = 24
PREVIEW_MILLISECONDS: Final = 3000
QUALITY: Final = 80
XMP_FLAG: Final = 0x04
MEDIA_TYPES: Final[dict[RenditionVariant, str]] = {
    "thumbnail": "image/webp",
    "spritesheet": "image/jpeg",
    "preview": "image/webp",
}


class Reel:
    """Keeps stills of a film, evenly spread, however long it gets."""

    def __init__(self) -> None:
        self._stills: list[Pixels] = []
        self._every = 1
        self._seen = 0
        self._first: Pixels | None = None

    def add(self, frame: Pixels) -> None:
        """Look at the next frame: uint8 [height, width, 4], blue first."""
        if self._first is None:
            self._first = scaled(frame, THUMBNAIL_SIDE)
        if self._seen % self._every == 0:
            self._stills.append(scaled(frame, KEPT_SIDE))
            if len(self._stills) > MOST_KEPT:
                self._stills = self._stills[::2]
                self._every *= 2
        self._seen += 1

    def renditions(self) -> tuple[Rendition, ...]:
        """Make the small forms; none where no frame was seen."""
        if self._first is None:
            return ()
        return (
            rendition("thumbnail", webp_marked(encoded(".webp", self._first, cv2.IMWRITE_WEBP_QUALITY))),
            rendition("spritesheet", jpeg_marked(encoded(".jpg", sheet(self._stills), cv2.IMWRITE_JPEG_QUALITY))),
            rendition("preview", webp_marked(animated(spread(self._stills, PREVIEW_STILLS)))),
        )


def rendition(variant: RenditionVariant, data: bytes) -> Rendition:
    """Name a small form."""
    return Rendition(variant, MEDIA_TYPES[variant], data)


def scaled(frame: Pixels, side: int) -> Pixels:
    """Make a frame's longer side `side` pixels at most, and drop its alpha."""
    height, width = frame.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = (max(2, round(width * factor) // 2 * 2), max(2, round(height * factor) // 2 * 2))
    return cv2.resize(frame[..., :3], size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def spread(stills: Sequence[Pixels], most: int) -> list[Pixels]:
    """Choose at most so many stills, evenly."""
    if len(stills) <= most:
        return list(stills)
    return [stills[round(place)] for place in np.linspace(0, len(stills) - 1, most)]


def sheet(stills: Sequence[Pixels]) -> Pixels:
    """Lay stills out in rows of `SHEET_COLUMNS`, first to last; empty places are black."""
    chosen = spread(stills, SHEET_STILLS)
    height, width = chosen[0].shape[:2]
    columns = min(SHEET_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    laid = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, still in enumerate(chosen):
        row, column = divmod(number, columns)
        laid[row * height : (row + 1) * height, column * width : (column + 1) * width] = still
    return laid


def encoded(kind: str, pixels: Pixels, quality: int) -> bytes:
    """Encode one picture."""
    return bytes(cv2.imencode(kind, pixels, [quality, QUALITY])[1])


def animated(stills: Sequence[Pixels]) -> bytes:
    """Encode stills as a WebP animation without end."""
    height, width = stills[0].shape[:2]
    rate = max(1, round(1000 * len(stills) / PREVIEW_MILLISECONDS))
    file = io.BytesIO()
    with av.open(file, "w", format="webp", options={"loop": "0"}) as container:
        stream = container.add_stream("libwebp_anim", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for still in stills:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(still, format="bgr24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def jpeg_marked(data: bytes) -> bytes:
    """Put the XMP packet behind the start of a JPEG. Source: XMP specification, part 3, section 1.1.3 (APP1)."""
    body = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def webp_marked(data: bytes) -> bytes:
    """Put the XMP packet into a WebP. Source: WebP container specification, "Extended File Format"."""
    chunks = data[12:]
    if chunks[:4] == b"VP8X":
        flags, rest = chunks[8] | XMP_FLAG, chunks[18:]
        canvas = chunks[12:18]
    else:
        flags, rest = XMP_FLAG, chunks
        width, height = simple_size(chunks)
        canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = chunk(b"VP8X", bytes([flags, 0, 0, 0]) + canvas) + rest + chunk(b"XMP ", XMP)
    return b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write one chunk of RIFF, padded to an even length."""
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def simple_size(chunks: bytes) -> tuple[int, int]:
    """Read width and height of a lossy WebP of one chunk (RFC 6386, section 9.1)."""
    width, height = struct.unpack_from("<HH", chunks, 14)
    return width & 0x3FFF, height & 0x3FFF
