"""Photos as pixels: upright, in eight bits, and what is transparent on white, as a page shows it."""

import struct
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.errors import InvalidInput
from visualizr.references import IMAGE

Photo = NDArray[np.uint8]

PNG: Final = b"\x89PNG\r\n\x1a\n"
# Colour types of PNG with an alpha channel: grey, and red, green and blue.
WITH_ALPHA: Final = frozenset({4, 6})
CHANNELS: Final = 4
WHITE: Final = 255
DAMAGED: Final = "image_reference: the image is damaged, or not what its media type says."


def decoded(data: bytes) -> Photo:
    """Decode a photo: uint8 [height, width, 3], blue first. Raises `InvalidInput`.

    It is turned as its EXIF says, unless parts of it are transparent. Of an animation it is the first picture.
    """
    if transparent(data):
        photo = read(data, cv2.IMREAD_UNCHANGED)
        if photo.shape[2:] == (CHANNELS,):
            return on_white(photo)
    return read(data, cv2.IMREAD_COLOR)


def read(data: bytes, how: int) -> Photo:
    """Decode with OpenCV, to eight bits. Raises `InvalidInput`."""
    try:
        photo = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error as error:
        raise InvalidInput(DAMAGED, param=IMAGE) from error
    if photo is None:
        raise InvalidInput(DAMAGED, param=IMAGE)
    return (photo // 256 if photo.dtype == np.uint16 else photo).astype(np.uint8, copy=False)


def transparent(data: bytes) -> bool:
    """Whether a picture's head says that parts of it are transparent.

    Sources: PNG specification, sections 11.2.1 and 11.3.1; WebP container specification; WebP lossless, section 3.
    """
    try:
        if data.startswith(PNG):
            return data[25] in WITH_ALPHA or b"tRNS" in data[: data.find(b"IDAT")]
        if data[8:16] == b"WEBPVP8X":
            return bool(data[20] & 0x10)
        return data[8:16] == b"WEBPVP8L" and bool(struct.unpack_from("<I", data, 21)[0] >> 28 & 1)
    except (IndexError, struct.error):
        return False


def on_white(photo: Photo) -> Photo:
    """Lay a picture with an alpha channel on white."""
    alpha = photo[..., 3:].astype(np.uint16)
    seen = photo[..., :3] * alpha + WHITE * (WHITE - alpha)
    return ((seen + WHITE // 2) // WHITE).astype(np.uint8)
