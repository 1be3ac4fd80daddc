"""PNGs of every kind that a card may come in, drawn here bit by bit, and what an independent reader sees in one."""

import io
import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import av
from PIL import Image, ImageSequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
WIDE, HIGH = 11, 7
# Of Adam7: first column, first row, and the steps between. Source: PNG Specification, section 8.2.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class Part(NamedTuple):
    """A chunk."""

    kind: bytes
    data: bytes


def written(parts: Sequence[Part]) -> bytes:
    """A picture of chunks."""
    body = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return SIGNATURE + b"".join(body)


def parts_of(picture: bytes) -> Iterator[Part]:
    """The chunks of a picture, each of which must be whole."""
    assert picture.startswith(SIGNATURE)
    place = len(SIGNATURE)
    while place < len(picture):
        (size,) = struct.unpack_from(">I", picture, place)
        kind, data = picture[place + 4 : place + 8], picture[place + 8 : place + 8 + size]
        assert struct.unpack_from(">I", picture, place + 8 + size) == (zlib.crc32(kind + data),)
        yield Part(kind, data)
        place += 12 + size
    assert kind == b"IEND"


def drawn(
    colour: int,
    depth: int,
    before: Sequence[Part] = (),
    after: Sequence[Part] = (),
    *,
    interlaced: bool = False,
    pieces: int = 1,
) -> bytes:
    """Noise that is the same every time, with chunks before and behind the pixels, which lie in so many pieces."""
    noise = random.Random(colour * 100 + depth)
    bits = depth * SAMPLES[colour]
    most = 4 if colour == PALETTE else 1 << bits
    raster = [[noise.randrange(most) for _ in range(WIDE)] for _ in range(HIGH)]
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    lines = (line[x::step] for x, y, step, down in passes for line in raster[y::down] if line[x::step])
    packed = zlib.compress(b"".join(b"\0" + packed_line(line, bits) for line in lines))
    size = -(-len(packed) // pieces)
    header = struct.pack(">IIBBBBB", WIDE, HIGH, depth, colour, 0, 0, interlaced)
    pixels = [Part(b"IDAT", packed[n : n + size]) for n in range(0, len(packed), size)]
    return written([Part(b"IHDR", header), *before, *pixels, *after, Part(b"IEND", b"")])


def packed_line(line: Sequence[int], bits: int) -> bytes:
    """A line's pixels, most significant bit first, filled up to a whole byte."""
    text = "".join(format(pixel, f"0{bits}b") for pixel in line)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def moving(frames: int = 3) -> bytes:
    """An APNG as Pillow writes it."""
    noise = random.Random(frames)
    pictures = [Image.frombytes("RGBA", (WIDE, HIGH), noise.randbytes(WIDE * HIGH * 4)) for _ in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, "PNG", save_all=True, append_images=pictures[1:], duration=[80, 120, 40], loop=2)
    return out.getvalue()


def photographed() -> bytes:
    """A JPEG as Pillow writes it."""
    out = io.BytesIO()
    Image.frombytes("RGB", (WIDE, HIGH), random.Random(1).randbytes(WIDE * HIGH * 3)).save(out, "JPEG")
    return out.getvalue()


def seen(picture: bytes) -> list[Any]:
    """Every pixel of every frame as Pillow decodes it, and the first as FFmpeg does, with 16 bits a sample."""
    with Image.open(io.BytesIO(picture)) as opened:
        frames = [
            (frame.mode, frame.size, frame.getpalette(), frame.info.get("transparency"), frame.tobytes())
            for frame in ImageSequence.Iterator(opened)
        ]
    with av.open(io.BytesIO(picture), "r") as container:
        deep = next(container.decode(video=0)).to_ndarray(format="rgba64le")
    return [*frames, deep.tobytes()]
