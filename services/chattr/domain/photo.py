"""Pictures that are sent as portraits: of what kind and size each is, and that the file is whole. None is decoded."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from chattr.domain.card import png
from chattr.domain.card.limits import LIMITS

MOST_BYTES: Final = 16 * 1024 * 1024
MOST_PIXELS: Final = 4096 * 4096
LEAST_SIDE: Final = 64

NO_PHOTO: Final = "Send a PNG, JPEG or WebP."
NOT_WHOLE: Final = "This is no whole PNG, JPEG or WebP."
MUCH: Final = "A portrait may have at most 16 MiB."
LARGE: Final = f"A portrait may have at most {MOST_PIXELS} pixels; this one has {{width}} × {{height}}."
SMALL: Final = f"Each side of a portrait has at least {LEAST_SIDE} pixels; this one has {{width}} × {{height}}."

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture whose file is whole."""

    data: bytes
    media_type: str
    width: int
    height: int


def photo(data: bytes) -> Photo:
    """Read a picture. Raises `InvalidInput` and its kin, saying what is wrong with it. Blocks for some milliseconds."""
    if len(data) > MOST_BYTES:
        raise TooLarge(MUCH, param="file")
    kind = next((kind for kind, begins in KINDS.items() if begins(data)), None)
    if kind is None:
        raise Unsupported(NO_PHOTO, param="file")
    try:
        width, height = SIZES[kind](data)
    except (struct.error, IndexError) as error:
        raise InvalidInput(NOT_WHOLE, param="file") from error
    if width * height > MOST_PIXELS:
        raise TooLarge(LARGE.format(width=width, height=height), param="file")
    if min(width, height) < LEAST_SIDE:
        raise InvalidInput(SMALL.format(width=width, height=height), param="file")
    return Photo(data, kind, width, height)


def png_size(data: bytes) -> Size:
    """Check every chunk, and read IHDR. Source: PNG Specification, section 11.2.1."""
    chunks, _ = png.read(data, LIMITS)
    width, height = struct.unpack_from(">II", chunks[0].data)
    return width, height


def jpeg_size(data: bytes) -> Size:
    """Walk the segments to the frame header; the file has its end. Source: ITU-T T.81, annex B."""
    if b"\xff\xd9" not in data[-64 * 1024 :]:
        raise InvalidInput(NOT_WHOLE, param="file")
    place = 2
    while True:
        while data[place + 1] == 0xFF:  # fill bytes
            place += 1
        mark, kind, length = struct.unpack_from(">BBH", data, place)
        if mark != 0xFF or length < 2 or kind in JPEG_WITHOUT_FRAME:
            raise InvalidInput(NOT_WHOLE, param="file")
        if kind in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        place += 2 + length


def webp_size(data: bytes) -> Size:
    """Read the first chunk of a file that is as long as it says. Source: RFC 9649, sections 2.4 to 2.7."""
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise InvalidInput(NOT_WHOLE, param="file")
    kind = data[12:16]
    if kind == b"VP8X":
        wide, high = (int.from_bytes(data[place : place + 3], "little") + 1 for place in (24, 27))
        return wide, high
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise InvalidInput(NOT_WHOLE, param="file")


# Start of frame, but for the four marks that mean other things; and marks behind which no frame header comes.
JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_WITHOUT_FRAME: Final = frozenset({0xD8, 0xD9, 0xDA, 0x00})
KINDS: Final[Mapping[str, Callable[[bytes], bool]]] = {
    "image/png": lambda data: data.startswith(png.SIGNATURE),
    "image/jpeg": lambda data: data.startswith(b"\xff\xd8\xff"),
    "image/webp": lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP",
}
SIZES: Final[Mapping[str, Callable[[bytes], Size]]] = {
    "image/png": png_size,
    "image/jpeg": jpeg_size,
    "image/webp": webp_size,
}
