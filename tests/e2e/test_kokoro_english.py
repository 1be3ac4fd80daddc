"""English with the real lexicons: words as they are said, in two accents, and no text that cannot be read."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatacter.models.store import ModelStore
from vocalizr.backends.kokoro.backend import LEXICONS, pronounced
from vocalizr.backends.kokoro.english import English
from vocalizr.backends.kokoro.model import MAX_SYMBOLS
from vocalizr.backends.kokoro.unknown import UnknownWords

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def symbols(models_home: Path) -> frozenset[str]:
    return frozenset(json.loads(ModelStore(models_home).file("kokoro-82m", "vocab.json").read_bytes())["vocab"])


def accent(models_home: Path, symbols: frozenset[str], tag: str) -> English:
    store = ModelStore(models_home)
    unknown = UnknownWords.load(store.file("english-g2p", "checkpoint20.npz"))
    paths = [store.file("english-g2p", name) for name in LEXICONS[tag]]
    return English.load(paths, unknown, symbols, british=tag == "en-GB")


@pytest.fixture(scope="module")
def american(models_home: Path, symbols: frozenset[str]) -> English:
    return accent(models_home, symbols, "en-US")


@pytest.fixture(scope="module")
def british(models_home: Path, symbols: frozenset[str]) -> English:
    return accent(models_home, symbols, "en-GB")


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("Hello, world!", "həlˈO, wˈɜɹld!"),
        ("the apple", "ði ˈæpᵊl"),
        ("I have read it.", "ˌI hæv ɹˈɛd ɪt."),
        ("I will read it.", "ˌI wɪl ɹˈid ɪt."),
        ("We live here; live music!", "wi lˈɪv hˈɪɹ; lˈIv mjˈuzɪk!"),
        ("He is close. Please close it.", "hi ɪz klˈOs. plˈiz klˈOz ɪt."),
        ("They object to the object.", "ðA əbʤˈɛkt tə ði ˈɑbʤəkt."),
        ("NASA and the FBI", "nˈæsə ænd ði ˌɛfbˌiˈI"),
        ("the IT department", "ði ˌItˈi dəpˈɑɹtmənt"),
        ("at 10 a.m.", "æt tˈɛn ˈA ˈɛm."),
        ("naïve café", "nɑˈiv kæfˈA"),
        ("a chatacter", "ɐ ʧətˈæktəɹ"),
    ],
)
def test_american(american: English, text: str, sound: str) -> None:
    assert american.phonemes(american.words(text)) == sound


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("Hello, world!", "həlˈQ, wˈɜːld!"),
        ("the bath water", "ðə bˈɑːθ wˈɔːtə"),
        ("a chatacter", "ɐ ʧətˈaktə"),
    ],
)
def test_british(british: English, text: str, sound: str) -> None:
    assert british.phonemes(british.words(text)) == sound


@given(text=st.text(max_size=400))
@settings(deadline=None, max_examples=200)
def test_no_text_is_too_odd(american: English, british: English, symbols: frozenset[str], text: str) -> None:
    for reader in (american, british):
        for piece in pronounced(reader, text):
            assert 0 < len(piece) <= MAX_SYMBOLS
            assert set(piece) <= symbols
