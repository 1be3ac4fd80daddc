"""Character cards, pictures and archives of our own making: whole ones, and ones that lie."""

import base64
import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from chattr.domain.card.png import SIGNATURE, Chunk, plain, text_chunk

DOT = plain(3, 2, (10, 20, 30))
CARD_NAME = "card.json"
ENTRY = {
    "keys": ["plum"],
    "content": "The plum tree is called Ada.",
    "extensions": {"depth": 4},
    "enabled": True,
    "insertion_order": 1,
}


def v1(**fields: Any) -> dict[str, Any]:
    """A V1 card of a gardener."""
    return {
        "name": "Rowan",
        "description": "A gardener who names every tree.",
        "personality": "Patient, dry.",
        "scenario": "A walled garden in March.",
        "first_mes": "Mind the seedlings, {{user}}.",
        "mes_example": "<START>\n{{user}}: Is it late?\n{{char}}: For plums, yes.\nRowan: For us, no.",
        **fields,
    }


def v2(**fields: Any) -> dict[str, Any]:
    """The same as V2, with a lorebook and extensions that nobody knows."""
    data = {
        **v1(),
        "creator_notes": "For quiet evenings.",
        "system_prompt": "{{original}} Speak of plants.",
        "post_history_instructions": "Stay in the garden.",
        "alternate_greetings": ["You again.", "Bring the rake."],
        "tags": ["garden", "calm"],
        "creator": "us",
        "character_version": "1.2",
        "extensions": {"talkativeness": "0.5", "agnai/voice": {"n": 1}},
        "character_book": {"extensions": {}, "entries": [ENTRY]},
        **fields,
    }
    return {"spec": "chara_card_v2", "spec_version": "2.0", "data": data}


def v3(**fields: Any) -> dict[str, Any]:
    """The same as V3."""
    data = {
        **v2()["data"],
        "character_book": {"extensions": {}, "entries": [{**ENTRY, "use_regex": False}]},
        "group_only_greetings": ["All of you?"],
        "nickname": "Row",
        "source": ["https://cards.test/rowan"],
        "creation_date": 1700000000,
        "creator_notes_multilingual": {"de": "Für ruhige Abende."},
        **fields,
    }
    return {"spec": "chara_card_v3", "spec_version": "3.0", "data": data}


def in_json(card: Any) -> bytes:
    """Write a card as a program would."""
    return json.dumps(card, ensure_ascii=False).encode()


def in_png(*texts: Chunk, picture: bytes = DOT) -> bytes:
    """Put text chunks before a picture's end."""
    return picture[:-12] + b"".join(chunk.write() for chunk in texts) + picture[-12:]


def chunk_of(word: str, card: Any) -> Chunk:
    """A card's text chunk."""
    return text_chunk(word, base64.b64encode(in_json(card)))


def ztxt(word: str, content: bytes) -> Chunk:
    """A compressed text chunk."""
    return Chunk(b"zTXt", word.encode() + b"\0\0" + zlib.compress(content, 9))


def itxt(word: str, content: bytes, *, packed: bool) -> Chunk:
    """An international text chunk."""
    return Chunk(
        b"iTXt", word.encode() + bytes([0, packed, 0]) + b"\0\0" + (zlib.compress(content) if packed else content)
    )


def apng() -> bytes:
    """A moving picture of two frames, with text that is no card and a chunk that nobody knows."""
    header, pixels = DOT[len(SIGNATURE) : 33], zlib.compress((b"\0" + bytes(9)) * 2)
    control = struct.pack(">IIIIIHHBB", 0, 3, 2, 0, 0, 1, 10, 0, 0)
    second = struct.pack(">IIIIIHHBB", 1, 3, 2, 0, 0, 1, 10, 0, 0)
    chunks = [
        Chunk(b"acTL", struct.pack(">II", 2, 0)),
        Chunk(b"fcTL", control),
        Chunk(b"IDAT", pixels),
        Chunk(b"fcTL", second),
        Chunk(b"fdAT", struct.pack(">I", 2) + pixels),
        text_chunk("Comment", b"hello"),
        Chunk(b"prVt", b"\0\1\2"),
        Chunk(b"IEND", b""),
    ]
    return SIGNATURE + header + b"".join(chunk.write() for chunk in chunks)


@dataclass
class Member:
    """A file of an archive; what is set to other than None is a lie."""

    path: bytes
    content: bytes = b""
    packed: bytes | None = None
    size: int | None = None
    crc: int | None = None
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    local_path: bytes | None = None
    offset: int | None = None


@dataclass
class Archive:
    """Writes a ZIP byte by byte, so that it can say what is not so."""

    members: list[Member]
    before: bytes = b""
    count: int | None = None
    relative: bool = False
    _places: list[int] = field(default_factory=list)

    def write(self) -> bytes:
        body = bytearray(self.before)
        for member in self.members:
            self._places.append(len(body) - (len(self.before) if self.relative else 0))
            packed = self._packed(member)
            path = member.path if member.local_path is None else member.local_path
            head = struct.pack("<HHHHH", 20, member.flags, member.method, 0, 0x21)
            body += (
                b"PK\x03\x04" + head + self._sizes(member, packed) + struct.pack("<HH", len(path), 0) + path + packed
            )
        directory = b"".join(map(self._listed, self.members, self._places))
        count = len(self.members) if self.count is None else self.count
        start = len(body) - (len(self.before) if self.relative else 0)
        end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), start, 0)
        return bytes(body) + directory + end

    def _listed(self, member: Member, place: int) -> bytes:
        sizes = self._sizes(member, self._packed(member))
        head = struct.pack("<HHHHHH", 3 << 8 | 20, 20, member.flags, member.method, 0, 0x21)
        where = member.offset if member.offset is not None else place
        tail = struct.pack("<HHHHHII", len(member.path), 0, 0, 0, 0, member.mode << 16, where)
        return b"PK\x01\x02" + head + sizes + tail + member.path

    @staticmethod
    def _packed(member: Member) -> bytes:
        if member.packed is not None:
            return member.packed
        if member.method != 8:
            return member.content
        stream = zlib.compressobj(9, zlib.DEFLATED, -15)
        return stream.compress(member.content) + stream.flush()

    @staticmethod
    def _sizes(member: Member, packed: bytes) -> bytes:
        crc = zlib.crc32(member.content) if member.crc is None else member.crc
        return struct.pack("<III", crc, len(packed), len(member.content) if member.size is None else member.size)


def charx(card: Any, *others: Member, before: bytes = b"", relative: bool = False) -> bytes:
    """A CHARX with a card."""
    return Archive([Member(CARD_NAME.encode(), in_json(card)), *others], before=before, relative=relative).write()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
EXTENSIONS = st.dictionaries(st.text(min_size=1, max_size=12).filter(lambda key: key != "chatacter"), JSON, max_size=4)
PROSE = st.text(max_size=80)
UNKNOWN = st.dictionaries(st.text(min_size=1, max_size=10).map(lambda key: f"u_{key}"), JSON, max_size=3)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """A lorebook's entry, with a decorator at times."""
    decorated = draw(st.sampled_from(["", "@@depth 4\n\n", "@@x_other a,b\n@@@depth 2\n"]))
    return {
        "keys": draw(st.lists(PROSE, max_size=3)),
        "content": decorated + draw(PROSE),
        "extensions": draw(EXTENSIONS),
        "enabled": draw(st.booleans()),
        "insertion_order": draw(st.integers() | st.floats(allow_nan=False, allow_infinity=False)),
        "use_regex": draw(st.booleans()),
        **draw(UNKNOWN),
    }


@st.composite
def cards(draw: st.DrawFn) -> dict[str, Any]:
    """A card of any version that keeps to it, with what nobody knows in every place."""
    texts = {name: draw(PROSE) for name in ("description", "personality", "scenario", "first_mes", "mes_example")}
    fields = {"name": draw(st.text(min_size=1, max_size=30)), **texts, **draw(UNKNOWN)}
    made = draw(st.sampled_from([v1, v2, v3]))
    if made is v1:
        return v1(**fields)
    book = {"entries": draw(st.lists(entries(), max_size=3)), "extensions": draw(EXTENSIONS), **draw(UNKNOWN)}
    more = {"tags": draw(st.lists(PROSE, max_size=4)), "extensions": draw(EXTENSIONS), "character_book": book}
    return {**made(**fields, **more), **draw(UNKNOWN)}
