"""Pictures that are sent as portraits are read as their formats say, and what is not whole is refused."""

import struct

import pytest

from chatacter.chassis.errors import ChatacterError, InvalidInput, TooLarge, Unsupported
from chattr.domain.card import png
from chattr.domain.photo import MOST_BYTES, photo
from tests.architecture.repository import ROOT

pytestmark = pytest.mark.unit

JPEG = (ROOT / "tests" / "data" / "portrait_photo.jpg").read_bytes()
PNG = png.plain(64, 80, (1, 2, 3))


def webp(chunk: bytes, content: bytes) -> bytes:
    body = b"WEBP" + chunk + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def simple_webp(width: int = 70, height: int = 90) -> bytes:
    return webp(
        b"VP8 ", b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width | 0x4000, height | 0x8000) + b"\x00" * 8
    )


LOSSLESS = webp(b"VP8L", b"\x2f" + struct.pack("<I", 69 | 89 << 14 | 1 << 28) + b"\x00" * 8)
EXTENDED = webp(b"VP8X", b"\x00" * 4 + (69).to_bytes(3, "little") + (89).to_bytes(3, "little"))


def a_header(width: int, height: int) -> bytes:
    header = png.Chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return png.write([header, png.Chunk(b"IDAT", b""), png.Chunk(b"IEND", b"")])


@pytest.mark.parametrize(
    ("data", "kind", "width", "height"),
    [
        (PNG, "image/png", 64, 80),
        (JPEG, "image/jpeg", 400, 400),
        (JPEG[:2] + b"\xff\xff\xff" + JPEG[3:], "image/jpeg", 400, 400),
        (simple_webp(), "image/webp", 70, 90),
        (LOSSLESS, "image/webp", 70, 90),
        (EXTENDED, "image/webp", 70, 90),
    ],
)
def test_kind_and_size_are_those_of_the_file(data: bytes, kind: str, width: int, height: int) -> None:
    read = photo(data)
    assert (read.data, read.media_type, read.width, read.height) == (data, kind, width, height)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Unsupported),
        (b"GIF89a", Unsupported),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Unsupported),
        (PNG[:-1], InvalidInput),
        (PNG.replace(b"IDAT", b"IDAX"), InvalidInput),
        (JPEG[:2000], InvalidInput),
        (b"\xff\xd8\xff", InvalidInput),
        (b"\xff\xd8\xff\xda\x00\x08" + b"\x00" * 8 + b"\xff\xd9", InvalidInput),
        (b"\xff\xd8" + b"\xff\xe0\x00\x02" * 100 + b"\xff\xd9", InvalidInput),
        (simple_webp()[:-1], InvalidInput),
        (webp(b"ALPH", b"\x00" * 20), InvalidInput),
        (webp(b"VP8L", b""), InvalidInput),
        (a_header(63, 64), InvalidInput),
        (a_header(0, 0), InvalidInput),
        (a_header(4097, 4096), TooLarge),
        (a_header(2**32 - 1, 2**32 - 1), TooLarge),
        (PNG + b"\x00" * MOST_BYTES, TooLarge),
    ],
)
def test_what_is_not_whole_or_too_large_is_refused(data: bytes, error: type[ChatacterError]) -> None:
    with pytest.raises(error) as told:
        photo(data)
    assert type(told.value) is error
    assert told.value.param == "file"
