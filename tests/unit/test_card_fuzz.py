"""Hypothesis against every parser: any bytes, whole files with something changed, cards of every version and form."""

import base64
import json
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chatacter.chassis.errors import InvalidInput
from chattr.domain.card import archive, assets, files, persona, png
from chattr.domain.card.limits import LIMITS, MIB
from chattr.domain.card.model import Form
from chattr.domain.card.stored import pack, unpack
from chattr.domain.card.versions import as_v2, as_v3, version_of
from chattr.domain.character import CharacterCreate
from tests.card_material import DOT, Member, apng, cards, charx, chunk_of, in_json, in_png, itxt, v2, v3, ztxt

pytestmark = pytest.mark.unit

SMALL = replace(LIMITS, file_bytes=200_000, json_bytes=100_000, unpacked_bytes=200_000, entries=50, chunks=200)
MOST_MEMORY: Final = 16 * MIB
FORMS: Final[tuple[Form, ...]] = ("json", "png", "charx")
ASSET = png.text_chunk("chara-ext-asset_:0", base64.b64encode(b"x" * 50))
ICON = {"type": "icon", "uri": "embeded://i.png", "name": "main", "ext": "png"}
WHOLE: Final = (
    in_json(v2()),
    in_png(ASSET, chunk_of("ccv3", v3()), chunk_of("chara", v2()), picture=apng()),
    in_png(ztxt("chara", base64.b64encode(in_json(v2()))), itxt("Comment", b"x", packed=True)),
    charx(v3(assets=[ICON]), Member(b"i.png", DOT), Member(b"a/b.bin", b"x" * 99, method=0)),
    charx(v3(), Member(b"i.png", DOT), before=b"\xff\xd8\xff\xe0 \xff\xd9", relative=True),
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def survive(data: bytes) -> None:
    """Read and use a file, or refuse it with a reason; nothing else may happen, nor much memory be taken."""
    with suppress(InvalidInput):
        card = files.read(data, SMALL).card
        fields, _ = persona.taken(card.document)
        with suppress(ValidationError):
            made = CharacterCreate(id="a", **fields)
            assert persona.laid_over(card.document, made, 0) == card.document
            made.model_dump_json()
        assets.face_of(card)
        assert unpack(pack(card)) == card
        for form in FORMS:
            for v3_wanted in (True, False):
                files.read(files.write(card, form, v3=v3_wanted))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A whole file with bytes changed, cut out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(["flip", "cut", "double", "put"]))
        if kind == "flip" and start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[start:stop]
        elif kind == "double":
            data[start:start] = data[start:stop]
        else:
            data[start:start] = draw(st.binary(max_size=12))
    return bytes(data)


@st.composite
def repaired(draw: st.DrawFn) -> bytes:
    """A picture of any chunks whose CRCs are right, so that what lies behind them is reached."""
    words = st.sampled_from(["chara", "ccv3", "CCV3", "chara-ext-asset_:0", "chara-ext-asset_", "Comment"])
    content = st.binary(max_size=60) | st.sampled_from([in_json(v2()), in_json(v3()), b'{"name":"A"}', b"rcc||x"])
    inner = content | content.map(base64.b64encode)
    kinds = st.sampled_from(["t", "z", "i", "p"])
    chunks = []
    for word, text, kind in draw(st.lists(st.tuples(words, inner, kinds), max_size=4)):
        made = {"t": png.text_chunk(word, text), "z": ztxt(word, text)}
        chunks.append(made[kind] if kind in made else itxt(word, text, packed=kind == "p"))
    chunks += [
        png.Chunk(kind, data)
        for kind, data in draw(
            st.lists(
                st.tuples(st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"prVt", b"IDAT"]), st.binary(max_size=30)),
                max_size=3,
            )
        )
    ]
    return in_png(*chunks)


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """An archive with any files and any lies."""
    made = Member(
        draw(st.sampled_from([b"a", b"card.json", b"../x", b"d/", b"a/b.png", b"\xff"]) | st.binary(max_size=8)),
        draw(st.binary(max_size=60)),
        packed=draw(st.none() | st.binary(max_size=20)),
        size=draw(st.none() | st.integers(0, 2**32 - 1)),
        crc=draw(st.none() | st.integers(0, 2**32 - 1)),
        method=draw(st.sampled_from([0, 8, 8, 8, 99])),
        flags=draw(st.sampled_from([0, 0, 0x800, 8, 1])),
        mode=draw(st.sampled_from([0, 0o100644, 0o120777, 0o040755])),
        offset=draw(st.none() | st.integers(0, 2**32 - 1)),
    )
    return charx(draw(st.sampled_from([v2(), v3(assets=[ICON]), [], {}])), made)


@FUZZ
@given(data=st.binary(max_size=300) | st.binary(max_size=200).map(lambda tail: png.SIGNATURE + tail))
@example(data=b"PK\x05\x06" + bytes(18))
@example(data=b"\xff\xd8\xff" + b"PK\x05\x06" + bytes(18))
def test_any_bytes(data: bytes) -> None:
    survive(data)


@FUZZ
@given(data=damaged())
def test_whole_files_with_something_changed(data: bytes) -> None:
    survive(data)


@FUZZ
@given(data=repaired())
def test_pictures_of_any_chunks(data: bytes) -> None:
    survive(data)


@FUZZ
@given(data=members())
def test_archives_of_any_lies(data: bytes) -> None:
    survive(data)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=damaged() | members() | repaired())
def test_memory_is_bounded(data: bytes) -> None:
    tracemalloc.start()
    try:
        survive(data)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


@FUZZ
@given(card=cards())
def test_cards_of_every_version_come_back_from_every_form(card: dict[str, Any]) -> None:
    read = files.read(in_json(card)).card
    document = as_v3(read.document)
    assert json.loads(files.write(read, "json")) == json.loads(in_json(as_v3(card)))
    for form in FORMS:
        again = files.read(files.write(read, form)).card.document
        assert again == document or form == "charx"
        assert {**again["data"], "assets": 0} == {**document["data"], "assets": 0}
    older = files.read(files.write(read, "json", v3=False)).card.document
    assert older == as_v2(read.document)
    if version_of(read.document) == "v3":
        assert as_v3(older) == read.document


@FUZZ
@given(parts=st.dictionaries(st.from_regex(r"[a-z]{1,5}(/[a-zü]{1,5}){0,2}", fullmatch=True), st.binary(max_size=50)))
def test_archives_come_back(parts: dict[str, bytes]) -> None:
    assert archive.read(archive.write(parts), SMALL) == parts
    assert archive.read(archive.write(parts, before=b"\xff\xd8\xff before"), SMALL) == parts


@FUZZ
@given(text=st.text(max_size=200) | st.text(alphabet="{}uschar:<>START \n", max_size=200))
def test_any_text_is_dialogue_or_is_not(text: str) -> None:
    card = {"name": "char", "mes_example": text, "personality": "x"}
    CharacterCreate(id="a", **persona.taken(card)[0])
