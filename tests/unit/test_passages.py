"""A long text comes apart into passages, and their sounds become one."""

import io
import math
import re
import wave

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattr.domain.passages import passages
from chattr.usecases.reading_aloud import frames_of, joined, samples_of
from vocalizr.audio import encoder

pytestmark = pytest.mark.unit

RATE = 24_000
TEXTS = st.text(st.sampled_from("abc .!?,;\n。é\"'"), max_size=400)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(8, 60))
def test_nothing_is_left_out_and_nothing_is_too_long(text: str, longest: int) -> None:
    parts = list(passages(text, longest))
    assert re.sub(r"\s+", "", "".join(parts)) == re.sub(r"\s+", "", text)
    assert all(0 < len(part) <= longest and part == part.strip() for part in parts)


def test_it_comes_apart_where_a_reader_would_breathe() -> None:
    first, second = "One day it rained. The roof leaked.", "Then the sun came, and everything was dry again."
    assert list(passages(f"{first}\n\n{second}", 60)) == [first, second]
    assert list(passages(f"{first} {second}", 40)) == [first, "Then the sun came,", "and everything was dry again."]
    assert list(passages("“Stop!” she said. “Now!” And he did.", 20)) == ["“Stop!” she said.", "“Now!” And he did."]
    assert list(passages("a" * 25, 10)) == ["a" * 10, "a" * 10, "a" * 5]
    assert list(passages(" \n ")) == []


def sound(form: str, seconds: float) -> bytes:
    times = np.arange(round(RATE * seconds)) / RATE
    making = encoder(form, RATE)  # type: ignore[arg-type]
    samples = (0.3 * np.sin(2 * math.pi * 440 * times)).astype(np.float32)
    return making.encode(samples) + making.finish()


@pytest.mark.parametrize(("form", "slack"), [("wav", 0.0), ("mp3", 0.2)])
def test_joined_sounds_are_one_file_that_plays_for_as_long(form: str, slack: float) -> None:
    whole = joined([sound(form, seconds) for seconds in (1.0, 0.5, 0.75)], form)
    with av.open(io.BytesIO(whole)) as container:
        (stream,) = container.streams.audio
        heard = sum(frame.samples for frame in container.decode(stream)) / RATE
    assert heard == pytest.approx(2.25, abs=slack + 0.001)
    assert whole.count(b"AI-generated") == sound(form, 0.1).count(b"AI-generated") > 0  # the mark stands once


def test_a_joined_wav_says_its_true_size() -> None:
    with wave.open(io.BytesIO(joined([sound("wav", 1.0), sound("wav", 0.5)], "wav"))) as read:
        assert (read.getnframes(), read.getframerate()) == (36_000, RATE)


def test_what_has_no_header_stays_as_it_is() -> None:
    assert samples_of(b"abc") == b"abc"
    assert frames_of(b"abc") == b"abc"
    assert frames_of(b"ID3\x04\x00\x00\x00\x00\x01\x01" + b"t" * 129 + b"frames") == b"frames"
    assert joined([b"ab", b"cd"], "pcm") == b"abcd"
