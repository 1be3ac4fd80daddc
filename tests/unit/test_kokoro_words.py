"""Words: the lexicon and its endings, what a word is in its place, and guesses, over a lexicon of a few words."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocalizr.backends.kokoro.english import English
from vocalizr.backends.kokoro.grammar import part_of_speech
from vocalizr.backends.kokoro.lexicon import Entry, Lexicon
from vocalizr.backends.kokoro.unknown import LETTERS, UnknownWords, arpabet, british

pytestmark = pytest.mark.unit

WORDS: Mapping[str, Entry] = {
    "cat": "kˈæt", "dog": "dˈɔɡ", "box": "bˈɑks", "try": "tɹˈI", "make": "mˈAk", "stop": "stˈɑp", "need": "nˈid",
    "use": {"DEFAULT": "jˈuz", "NOUN": "jˈus"}, "read": {"DEFAULT": "ɹˈid", "VBD": "ɹˈɛd", "VBN": "ɹˈɛd"},
    "have": {"DEFAULT": "hæv", "None": "hˈæv"}, "IT": {"DEFAULT": "ɪt", "NOUN": None}, "I": "ˈI", "T": "tˈi",
    "to": "tu", "a": "A", "an": "æn", "the": "ði", "apple": "ˈæpᵊl", "butter": "bˈʌɾəɹ", "A": "ˈA", "M": "ˈɛm",
    "kind": "kˈInd", "A-list": "ˈAlˌɪst",
}  # fmt: skip
SYMBOLS = frozenset('$;:,.!?—…"()“” AIOQSTWYᵊabcdefhijklmnopqrstuvwxyzɑɐɒæðəɛɜɡɪŋɔɹʃʊʌʒʤʧˈˌːθᵻ')


def guesser() -> UnknownWords:
    """The network with small random weights: its answers mean nothing, its shapes are right."""
    numbers = np.random.default_rng(7)
    hidden, letters, sounds = 8, len(LETTERS), len(arpabet())
    shapes = {
        "enc_emb": (letters, hidden), "dec_emb": (sounds, hidden), "fc_w": (sounds, hidden), "fc_b": (sounds,),
        **{f"{layer}_w_{side}": (3 * hidden, hidden) for layer in ("enc", "dec") for side in ("ih", "hh")},
        **{f"{layer}_b_{side}": (3 * hidden,) for layer in ("enc", "dec") for side in ("ih", "hh")},
    }  # fmt: skip
    return UnknownWords({name: numbers.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


@pytest.fixture(scope="module")
def english() -> English:
    return English(Lexicon(WORDS, british=False), guesser(), SYMBOLS, british=False)


@pytest.mark.parametrize(
    ("word", "sound"),
    [
        ("cats", "kˈæts"),
        ("dogs", "dˈɔɡz"),
        ("boxes", "bˈɑksᵻz"),
        ("cat's", "kˈæts"),
        ("dogs'", "dˈɔɡz"),
        ("tries", "tɹˈIz"),
        ("tried", "tɹˈId"),
        ("trying", "tɹˈIɪŋ"),
        ("making", "mˈAkɪŋ"),
        ("stopped", "stˈɑpt"),
        ("stopping", "stˈɑpɪŋ"),
        ("needed", "nˈidᵻd"),
        ("kindness", "kˈIndnəs"),
        ("unkind", "ˌʌnkˈInd"),
        ("CAT", "kˈæt"),
        ("Cat", "kˈæt"),
    ],
)
def test_endings_are_put_on_known_words(word: str, sound: str) -> None:
    assert Lexicon(WORDS, british=False).sound(word) == sound


def test_what_is_not_built_from_a_known_word_is_unknown() -> None:
    assert [Lexicon(WORDS, british=False).sound(word) for word in ("zzz", "s", "es", "ing", "'s", "")] == [None] * 6


def test_british_endings() -> None:
    assert Lexicon(WORDS, british=True).sound("boxes") == "bˈɑksɪz"


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("a use", "ɐ jˈus"),
        ("to use", "tə jˈuz"),
        ("have read", "hæv ɹˈɛd"),
        ("I read", "ˌI ɹˈid"),
        ("the cat have", "ðə kˈæt hˈæv"),
        ("the apple", "ði ˈæpᵊl"),
        ("an apple", "ɐn ˈæpᵊl"),
        ("to apple", "tʊ ˈæpᵊl"),
        ("the IT", "ði ˌItˈi"),
        ("butter", "bˈʌTəɹ"),
        ("A-list cat-dog", "ˈAlˌɪst kˈæt dˈɔɡ"),
        ("cat , dog !", "kˈæt, dˈɔɡ!"),
        ("A M", "ˈA ˈɛm"),
        ("日本 😀", ""),
    ],
)
def test_words_in_their_place(english: English, text: str, sound: str) -> None:
    assert english.phonemes(text) == sound


@given(st.text() | st.text(st.sampled_from("catdogIT'-.,!? éñ日")))
def test_any_text_is_read_in_known_symbols_only(english: English, text: str) -> None:
    symbols = english.phonemes(english.words(text))
    assert set(symbols) <= SYMBOLS
    assert "  " not in symbols
    assert english.sayable(symbols) in {True, False}


@given(st.text())
def test_any_word_can_be_guessed(word: str) -> None:
    assert set(guesser().sound(word)) <= SYMBOLS


@pytest.mark.parametrize(
    ("american", "theirs"),
    [
        ("kˈɑɹ", "kˈɑː"),
        ("vˈɛɹi", "vˈɛɹi"),
        ("bˈʌtəɹ", "bˈʌtə"),
        ("lˈɑt", "lˈɒt"),
        ("fɹˈOdO", "fɹˈQdQ"),
        ("nˈɔɹθ", "nˈɔːθ"),
    ],
)
def test_guesses_in_british(american: str, theirs: str) -> None:
    assert british(american) == theirs


@pytest.mark.parametrize(
    ("word", "before", "after", "part"),
    [
        ("live", "we", "here", "VERB"),
        ("live", "", "music", "DEFAULT"),
        ("used", "we", "to", "VBD"),
        ("used", "we", "it", "DEFAULT"),
        ("read", "he", "it", "VBD"),
        ("record", "the", "", "NOUN"),
        ("record", "will", "", "VERB"),
        ("record", "has", "", "VBN"),
    ],
)
def test_parts_of_speech(word: str, before: str, after: str, part: str) -> None:
    assert part_of_speech(word, before, after, phrase_end=False) == part
