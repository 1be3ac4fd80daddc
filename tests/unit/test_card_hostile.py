"""Pictures and archives that lie: each is refused with what is wrong, before it takes memory or time."""

import io
import struct
import tracemalloc
import zipfile
import zlib
from dataclasses import replace

import pytest

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from chattr.domain.card import archive, files, png
from chattr.domain.card.limits import LIMITS, MIB
from tests.card_material import DOT, Archive, Member, charx, chunk_of, in_json, in_png, itxt, v2, v3, ztxt

pytestmark = pytest.mark.unit

SMALL = replace(LIMITS, json_bytes=20_000, unpacked_bytes=50_000, entries=5, chunks=40)
CARD = chunk_of("chara", v2()).write()
WHOLE = in_png(chunk_of("chara", v2()))
ZEROS = bytes(1_000)


def refused(data: bytes) -> InvalidInput:
    """What is said of a file."""
    with pytest.raises(InvalidInput) as told:
        files.read(data, SMALL)
    assert told.value.param == "file"
    return told.value


def spliced(place: int, data: bytes, over: int = 0) -> bytes:
    """The whole picture with something else at a place."""
    return WHOLE[:place] + data + WHOLE[place + over :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (spliced(8, b""), None),
        (WHOLE[:20], png.TRUNCATED.format(number=1)),
        (WHOLE[:8], png.NO_HEADER),
        (WHOLE[:-12], png.NO_END),
        (WHOLE[:-5], png.TRUNCATED.format(number=4)),
        (spliced(8, struct.pack(">I", 2**31), 4), png.BAD_LENGTH.format(number=1)),
        (spliced(8, struct.pack(">I", 2**31 - 1), 4), png.TRUNCATED.format(number=1)),
        (spliced(12, b"I\0DR", 4), png.BAD_KIND.format(number=1)),
        (spliced(20, b"\x07", 1), png.BAD_CRC.format(number=1)),
        (spliced(len(DOT) - 12 + 20, b"\x07", 1), png.BAD_CRC.format(number=3)),
        (DOT[:8] + CARD + DOT[8:], png.NO_HEADER),
        (DOT[:33] + CARD + DOT[-12:], png.NO_PIXELS),
        (in_png(*[png.Chunk(b"prVt", b"")] * 50), png.MANY.format(most=40)),
        (in_png(png.Chunk(b"zTXt", b"chara\0\1abc")), png.BAD_TEXT),
        (in_png(png.Chunk(b"iTXt", b"chara\0\2\0\0\0abc")), png.BAD_TEXT),
        (in_png(png.Chunk(b"iTXt", b"chara\0\1\1\0\0abc")), png.BAD_TEXT),
        (in_png(png.Chunk(b"iTXt", b"chara\0\1")), png.BAD_TEXT),
        (in_png(png.Chunk(b"zTXt", b"chara\0\0abc")), png.BAD_STREAM),
        (in_png(png.Chunk(b"zTXt", b"chara\0\0" + zlib.compress(ZEROS)[:-4])), png.BAD_STREAM),
    ],
)
def test_a_damaged_picture_is_refused(data: bytes, reason: str | None) -> None:
    assert reason is None or refused(data).message == reason


@pytest.mark.parametrize("make", [ztxt, lambda word, text: itxt(word, text, packed=True)], ids=["zTXt", "iTXt"])
@pytest.mark.parametrize("word", ["chara", "chara-ext-asset_:1"])
def test_a_bomb_in_a_text_chunk_is_not_unpacked(make: object, word: str) -> None:
    bomb = make(word, bytes(256 * MIB))  # type: ignore[operator]
    card = chunk_of("ccv3", v3()) if word != "chara" else png.text_chunk("Comment", b"x")
    data = in_png(bomb, card)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge) as told:
            files.read(data, SMALL)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert "is over" in told.value.message or told.value.message == files.LARGE_ASSETS.format(most=50_000)


@pytest.mark.parametrize(
    ("count", "size", "reason"),
    [
        (6, 3, files.MANY_ASSETS.format(most=5)),
        (3, 30_000, files.LARGE_ASSETS.format(most=50_000)),
        (3, 17_001, files.LARGE_ASSETS.format(most=50_000)),
    ],
)
def test_embedded_assets_are_counted_together(count: int, size: int, reason: str) -> None:
    made = [png.text_chunk(f"chara-ext-asset_:{n}", b"AAAA" * (size // 3)) for n in range(count)]
    assert refused(in_png(chunk_of("chara", v2()), *made)).message == reason


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (Member(b"../card.json"), archive.ESCAPE),
        (Member(b"a/../../b"), archive.ESCAPE),
        (Member(b"/etc/passwd"), archive.ESCAPE),
        (Member(b"C:/a"), archive.ESCAPE),
        (Member(b"a\\..\\b"), archive.BAD_PATH),
        (Member(b"a//b"), archive.BAD_PATH),
        (Member(b"./a"), archive.BAD_PATH),
        (Member(b"a\0b"), archive.BAD_PATH),
        (Member(b"a" * 300), archive.BAD_PATH),
        (Member(b"\xff", flags=0x800), archive.BAD_PATH),
        (Member(b""), archive.BAD_PATH),
        (Member(b"a", mode=0o120777), archive.LINK),
        (Member(b"a", mode=0o020666), archive.LINK),
        (Member(b"a", flags=1), archive.ENCRYPTED),
        (Member(b"a", flags=0x2000), archive.ENCRYPTED),
        (Member(b"a", method=12), archive.METHOD),
        (Member(b"card.json"), archive.TWICE),
        (Member(b"a", ZEROS, crc=1), archive.DAMAGED),
        (Member(b"a", ZEROS, size=999), archive.DAMAGED),
        (Member(b"a", ZEROS, size=1001), archive.DAMAGED),
        (Member(b"a", ZEROS, method=0, size=999), archive.DAMAGED),
        (Member(b"a", ZEROS, packed=b"\xff\xff"), archive.DAMAGED),
        (Member(b"a", ZEROS, local_path=b"b"), archive.DAMAGED),
        (Member(b"a", ZEROS, offset=1), archive.DAMAGED),
        (Member(b"a", ZEROS, size=2**32 - 1), archive.ZIP64),
        (Member(b"a", bytes(60_000)), archive.TOO_LARGE),
        (Member(b"card.json", local_path=b"card.json", offset=0), archive.TWICE),
    ],
)
def test_an_archive_that_lies_is_refused(member: Member, reason: str) -> None:
    assert refused(charx(v3(), member)).message == reason.format(number=2, most=50_000)


def test_entries_may_not_share_their_bytes() -> None:
    """As the bombs do that are small because one kernel is listed many times."""
    first = Member(b"card.json", b"{}", method=0)
    same = Member(b"other", b"{}", method=0, local_path=b"card.json", offset=0)
    assert "Entry 2" in refused(Archive([first, same]).write()).message
    inner = Archive([Member(b"x", ZEROS, method=0)]).write()
    outer = Member(b"a", inner, method=0)
    within = Member(b"x", ZEROS, method=0, offset=31)
    assert refused(Archive([outer, within]).write()).message == archive.OVERLAPPING


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (Archive([Member(bytes([97 + n])) for n in range(6)]).write(), archive.MANY.format(most=5)),
        (Archive([Member(b"card.json", b"{}")], count=2).write(), archive.BROKEN),
        (Archive([Member(b"card.json", b"{}"), Member(b"b")], count=1).write(), archive.BROKEN),
        (charx(v3())[:-1], archive.NO_END),
        (charx(v3()) + b"x", archive.NO_END),
        (charx(v3())[:60], archive.NO_END),
        (b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0, 0, 0), archive.ZIP64),
        (b"PK\5\6" + struct.pack("<HHHHIIH", 1, 0, 0, 0, 0, 0, 0), archive.SPLIT),
        (b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 9, 9, 0), archive.BROKEN),
        (b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0, 0, 0, 0, 0), files.NO_CARD),
    ],
)
def test_a_directory_that_lies_is_refused(data: bytes, reason: str) -> None:
    assert refused(data).message == reason


@pytest.mark.parametrize("size", [256 * MIB, 100])
def test_a_bomb_in_an_archive_is_not_unpacked(size: int) -> None:
    """One says how large it is, and one says that it is small."""
    bomb = Member(b"bomb", bytes(256 * MIB), size=size)
    data = charx(v3(), bomb)
    bomb.content = b""
    tracemalloc.start()
    try:
        told = refused(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert told.message in {archive.TOO_LARGE.format(most=50_000), archive.DAMAGED.format(number=2)}


@pytest.mark.timeout(120)
def test_many_bombs_of_nothing_take_no_time_each() -> None:
    """Spaces in base64 mean nothing: without a budget for all, 100 chunks would be 9 GB to inflate."""
    spaces = zlib.compress(b" " * (90 * MIB), 9)
    bombs = [png.Chunk(b"zTXt", f"chara-ext-asset_:{n}".encode() + b"\0\0" + spaces) for n in range(100)]
    with pytest.raises(TooLarge) as told:
        files.read(in_png(chunk_of("ccv3", v3()), *bombs))
    assert told.value.message == files.LARGE_ASSETS.format(most=LIMITS.unpacked_bytes)


def test_archives_that_were_written_as_a_stream_are_read() -> None:
    """As RisuAI writes them: sizes and checksums stand behind the content, and the local header has none."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, part: bytes) -> int:  # type: ignore[override]
            self.data += part
            return len(part)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("card.json", in_json(v3()))
        made.writestr("assets/a.bin", ZEROS)
    assert files.read(bytes(pipe.data)).card.files == {"embeded://assets/a.bin": ZEROS}


def test_reasons_have_kinds() -> None:
    assert isinstance(refused(charx(v3(), Member(b"a", flags=1))), Unsupported)
    assert isinstance(refused(charx(v3(), Member(b"a", bytes(60_000)))), TooLarge)
