"""ZIP files that strangers made: every size is known to be true before anything is unpacked.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4. The standard library's `zipfile` reads a whole directory before it
can be asked anything; this reads no more than `Limits` allows. ZIP64, encryption and several disks are refused.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from chattr.domain.card.json_text import FILE
from chattr.domain.card.limits import Limits

START: Final = b"PK\x03\x04"
DIRECTORY: Final = b"PK\x01\x02"
END: Final = b"PK\x05\x06"
END_SIZE: Final = 22
LONGEST_COMMENT: Final = 0xFFFF
STORED: Final = 0
DEFLATED: Final = 8
UNIX: Final = 3
KIND_MASK: Final = 0o170000
REGULAR: Final = 0o100000
FOLDER: Final = 0o040000
EPOCH: Final = (1980, 1, 1, 0, 0, 0)

NO_END: Final = "The ZIP is cut off: it has no end of its directory."
BROKEN: Final = "The ZIP's directory is damaged."
OVERLAPPING: Final = "Entries of the ZIP overlap."
MANY: Final = "The ZIP has more than {most} entries."
ENCRYPTED: Final = "The ZIP is encrypted; cards that are cannot be read."
ZIP64: Final = "The ZIP is in the ZIP64 form, which no card of an allowed size needs."
SPLIT: Final = "The ZIP is split over several files."
METHOD: Final = "Entry {number} of the ZIP is packed in a way that is not known; use deflate."
LINK: Final = "Entry {number} of the ZIP is a link or a device, not a file."
ESCAPE: Final = "Entry {number} of the ZIP has a path that leads out of the archive."
BAD_PATH: Final = "Entry {number} of the ZIP has a path that cannot be used."
TWICE: Final = "Two entries of the ZIP have the same path."
TOO_LARGE: Final = "The ZIP unpacks to more than {most} bytes."
DAMAGED: Final = "Entry {number} of the ZIP is damaged: its content is not what the directory says."


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says of one file."""

    number: int
    path: str
    raw_path: bytes
    method: int
    crc: int
    packed: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the directory lies. `base` is what stands before the archive and is not counted in its offsets."""

    count: int
    start: int
    stop: int
    base: int


def read(data: bytes, limits: Limits) -> dict[str, bytes]:
    """Unpack every file, by path. Raises `InvalidInput`, `TooLarge`, `Unsupported`."""
    directory = directory_of(data, limits)
    entries = list(entries_of(data, directory, limits))
    if len({entry.path for entry in entries}) < len(entries):
        raise InvalidInput(TWICE, param=FILE)
    if sum(entry.size for entry in entries) > limits.unpacked_bytes:
        raise TooLarge(TOO_LARGE.format(most=limits.unpacked_bytes), param=FILE)
    spans = sorted((entry.offset, *content_span(data, directory, entry)) for entry in entries)
    for (_, _, stop), (following, _, _) in pairwise(spans):
        if following < stop:
            raise InvalidInput(OVERLAPPING, param=FILE)
    return {entry.path: unpacked(data, directory, entry) for entry in entries if not entry.path.endswith("/")}


def starts_at(data: bytes, limits: Limits) -> int:
    """Say how many bytes stand before the archive's first entry."""
    directory = directory_of(data, limits)
    return min((entry.offset for entry in entries_of(data, directory, limits)), default=directory.start)


def directory_of(data: bytes, limits: Limits) -> Directory:
    """Find the directory by the archive's end."""
    place = data.rfind(END, max(0, len(data) - END_SIZE - LONGEST_COMMENT))
    if place < 0 or place + END_SIZE > len(data):
        raise InvalidInput(NO_END, param=FILE)
    disk, first_disk, here, count, size, offset, comment = struct.unpack_from("<HHHHIIH", data, place + 4)
    if place + END_SIZE + comment != len(data):
        raise InvalidInput(NO_END, param=FILE)
    if 0xFFFF in {disk, first_disk, count} or 0xFFFFFFFF in {size, offset}:
        raise Unsupported(ZIP64, param=FILE)
    if disk or first_disk or here != count:
        raise Unsupported(SPLIT, param=FILE)
    if count > limits.entries:
        raise TooLarge(MANY.format(most=limits.entries), param=FILE)
    base = place - size - offset
    if base < 0:
        raise InvalidInput(BROKEN, param=FILE)
    return Directory(count, place - size, place, base)


def entries_of(data: bytes, directory: Directory, limits: Limits) -> Iterator[Entry]:
    """Yield what the directory lists."""
    place = directory.start
    for number in range(1, directory.count + 1):
        if place + 46 > directory.stop or data[place : place + 4] != DIRECTORY:
            raise InvalidInput(BROKEN, param=FILE)
        made_by, _, flags, method = struct.unpack_from("<HHHH", data, place + 4)
        crc, packed, size, name, extra, comment = struct.unpack_from("<IIIHHH", data, place + 16)
        attributes, offset = struct.unpack_from("<II", data, place + 38)
        if 0xFFFFFFFF in {packed, size, offset}:
            raise Unsupported(ZIP64, param=FILE)
        raw = data[place + 46 : place + 46 + name]
        place += 46 + name + extra + comment
        if place > directory.stop:
            raise InvalidInput(BROKEN, param=FILE)
        refuse_odd(number, flags, method, made_by >> 8, attributes >> 16)
        path = path_of(number, raw, utf8=bool(flags & 0x800), limits=limits)
        yield Entry(number, path, raw, method, crc, packed, size, offset + directory.base)
    if place != directory.stop:
        raise InvalidInput(BROKEN, param=FILE)


def refuse_odd(number: int, flags: int, method: int, system: int, mode: int) -> None:
    """Refuse what is encrypted, packed in an unknown way, or no file."""
    if flags & 0x2041:
        raise Unsupported(ENCRYPTED, param=FILE)
    if method not in {STORED, DEFLATED}:
        raise Unsupported(METHOD.format(number=number), param=FILE)
    if system == UNIX and mode & KIND_MASK not in {0, REGULAR, FOLDER}:
        raise InvalidInput(LINK.format(number=number), param=FILE)


def path_of(number: int, raw: bytes, *, utf8: bool, limits: Limits) -> str:
    """Read a path; refuse one that means something else to one system than to another."""
    try:
        path = raw.decode("utf-8") if utf8 else decoded(raw)
    except UnicodeDecodeError as error:
        raise InvalidInput(BAD_PATH.format(number=number), param=FILE) from error
    parts = path.removesuffix("/").split("/")
    if ".." in parts or path.startswith("/") or path[1:2] == ":":
        raise InvalidInput(ESCAPE.format(number=number), param=FILE)
    if not path or len(raw) > limits.path_bytes or "\\" in path or not path.isprintable() or {"", "."} & set(parts):
        raise InvalidInput(BAD_PATH.format(number=number), param=FILE)
    return path


def decoded(raw: bytes) -> str:
    """Read a path without the UTF-8 mark: many tools write UTF-8 all the same, the others code page 437."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def content_span(data: bytes, directory: Directory, entry: Entry) -> tuple[int, int]:
    """Return where an entry's content lies; its local header must say the same as the directory."""
    place = entry.offset
    if place + 30 > directory.start or data[place : place + 4] != START:
        raise InvalidInput(DAMAGED.format(number=entry.number), param=FILE)
    method = struct.unpack_from("<H", data, place + 8)[0]
    name, extra = struct.unpack_from("<HH", data, place + 26)
    start = place + 30 + name + extra
    if method != entry.method or data[place + 30 : place + 30 + name] != entry.raw_path:
        raise InvalidInput(DAMAGED.format(number=entry.number), param=FILE)
    if start + entry.packed > directory.start:
        raise InvalidInput(OVERLAPPING, param=FILE)
    return start, start + entry.packed


def unpacked(data: bytes, directory: Directory, entry: Entry) -> bytes:
    """Return an entry's content, never more than the directory says."""
    start, stop = content_span(data, directory, entry)
    content, whole = data[start:stop], entry.packed == entry.size
    if entry.method == DEFLATED:
        stream = zlib.decompressobj(-15)
        try:
            content = stream.decompress(content, entry.size + 1)
        except zlib.error as error:
            raise InvalidInput(DAMAGED.format(number=entry.number), param=FILE) from error
        whole = len(content) == entry.size and stream.eof and not stream.unused_data
    if not whole or zlib.crc32(content) != entry.crc:
        raise InvalidInput(DAMAGED.format(number=entry.number), param=FILE)
    return content


def write(files: Mapping[str, bytes], before: bytes = b"") -> bytes:
    """Pack files, behind `before`. The same files make the same bytes."""
    target = io.BytesIO()
    target.write(before)
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return target.getvalue()
