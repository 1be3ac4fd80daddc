"""PNG and APNG as chunks: text chunks are read and replaced, everything else passes byte for byte.

Source: PNG Specification, third edition, sections 5 and 11.3.3. Pixels are never decoded, so no picture can be a bomb.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.errors import InvalidInput, TooLarge
from chattr.domain.card.json_text import FILE
from chattr.domain.card.limits import Limits

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
LARGEST_CHUNK: Final = 2**31 - 1
LONGEST_KEYWORD: Final = 79
TEXT_KINDS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt"})

TRUNCATED: Final = "The PNG is cut off: chunk {number} ends beyond the file."
BAD_KIND: Final = "Chunk {number} of the PNG has no valid type."
BAD_CRC: Final = "Chunk {number} of the PNG is damaged: its CRC is wrong."
BAD_LENGTH: Final = "Chunk {number} of the PNG says that it is longer than PNG allows."
MANY: Final = "The PNG has more than {most} chunks."
NO_HEADER: Final = "The PNG does not begin with a header (IHDR)."
NO_PIXELS: Final = "The PNG holds no picture (IDAT)."
NO_END: Final = "The PNG has no end (IEND)."
BAD_TEXT: Final = "A text chunk of the PNG is malformed."
BAD_STREAM: Final = "A compressed text chunk of the PNG is damaged."
TEXT_TOO_LARGE: Final = "A text chunk of the PNG is over {most} bytes when it is unpacked."


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk without its length and CRC, which follow from it."""

    kind: bytes
    data: bytes

    def write(self) -> bytes:
        """Write it as it stands in a file."""
        crc = zlib.crc32(self.data, zlib.crc32(self.kind))
        return b"".join((struct.pack(">I", len(self.data)), self.kind, self.data, struct.pack(">I", crc)))


def read(data: bytes, limits: Limits) -> tuple[list[Chunk], int]:
    """Return the chunks, and how many bytes stand behind the end. Raises `InvalidInput`, `TooLarge`."""
    chunks: list[Chunk] = []
    place = len(SIGNATURE)
    while place < len(data):
        if len(chunks) >= limits.chunks:
            raise TooLarge(MANY.format(most=limits.chunks), param=FILE)
        chunk, place = chunk_at(data, place, len(chunks) + 1)
        chunks.append(chunk)
        if chunk.kind == b"IEND":
            break
    if not chunks or chunks[0].kind != b"IHDR" or len(chunks[0].data) != 13:
        raise InvalidInput(NO_HEADER, param=FILE)
    if chunks[-1].kind != b"IEND":
        raise InvalidInput(NO_END, param=FILE)
    if not any(chunk.kind == b"IDAT" for chunk in chunks):
        raise InvalidInput(NO_PIXELS, param=FILE)
    return chunks, len(data) - place


def chunk_at(data: bytes, place: int, number: int) -> tuple[Chunk, int]:
    """Read one chunk and say where the next begins."""
    if place + 12 > len(data):
        raise InvalidInput(TRUNCATED.format(number=number), param=FILE)
    length, kind = struct.unpack_from(">I4s", data, place)
    if length > LARGEST_CHUNK:
        raise InvalidInput(BAD_LENGTH.format(number=number), param=FILE)
    if not (kind.isalpha() and kind.isascii()):
        raise InvalidInput(BAD_KIND.format(number=number), param=FILE)
    end = place + 8 + length
    if end + 4 > len(data):
        raise InvalidInput(TRUNCATED.format(number=number), param=FILE)
    content = data[place + 8 : end]
    if zlib.crc32(content, zlib.crc32(kind)) != struct.unpack_from(">I", data, end)[0]:
        raise InvalidInput(BAD_CRC.format(number=number), param=FILE)
    return Chunk(kind, content), end + 4


def write(chunks: Sequence[Chunk]) -> bytes:
    """Write a picture."""
    return b"".join((SIGNATURE, *(chunk.write() for chunk in chunks)))


def keyword(chunk: Chunk) -> str | None:
    """Return a text chunk's keyword; None for any other chunk."""
    if chunk.kind not in TEXT_KINDS:
        return None
    word, found, _ = chunk.data.partition(b"\0")
    if not found or not 0 < len(word) <= LONGEST_KEYWORD:
        return None
    return word.decode("latin-1")


def text(chunk: Chunk, most: int) -> bytes:
    """Return a text chunk's content, inflated up to `most` bytes. Raises `InvalidInput`, `TooLarge`."""
    _, _, rest = chunk.data.partition(b"\0")
    packed = False
    if chunk.kind == b"zTXt":
        packed = True
        if rest[:1] != b"\0":
            raise InvalidInput(BAD_TEXT, param=FILE)
        rest = rest[1:]
    elif chunk.kind == b"iTXt":
        parts = rest[2:].split(b"\0", 2)
        if len(rest) < 2 or rest[0] not in {0, 1} or (rest[0] and rest[1]) or len(parts) < 3:
            raise InvalidInput(BAD_TEXT, param=FILE)
        packed, rest = bool(rest[0]), parts[2]
    if packed:
        return inflated(rest, most)
    if len(rest) > most:
        raise TooLarge(TEXT_TOO_LARGE.format(most=most), param=FILE)
    return rest


def inflated(data: bytes, most: int) -> bytes:
    """Inflate a zlib stream that may have `most` bytes. Raises `InvalidInput`, `TooLarge`."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, most + 1)
    except zlib.error as error:
        raise InvalidInput(BAD_STREAM, param=FILE) from error
    if len(found) > most:
        raise TooLarge(TEXT_TOO_LARGE.format(most=most), param=FILE)
    if not stream.eof:
        raise InvalidInput(BAD_STREAM, param=FILE)
    return found


def text_chunk(word: str, content: bytes) -> Chunk:
    """Make an uncompressed text chunk."""
    return Chunk(b"tEXt", word.encode("latin-1") + b"\0" + content)


def with_texts(chunks: Sequence[Chunk], texts: Sequence[Chunk]) -> Iterator[Chunk]:
    """Yield a picture's chunks with further ones before its end."""
    for chunk in chunks:
        if chunk.kind == b"IEND":
            yield from texts
        yield chunk


def plain(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """Draw a picture of one colour, for a card that has none of its own."""
    header = Chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = zlib.compress((b"\0" + bytes(colour) * width) * height, 9)
    return write([header, Chunk(b"IDAT", pixels), Chunk(b"IEND", b"")])
