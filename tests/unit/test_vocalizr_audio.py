"""Every format is decoded again: the sound, its length, its mark."""

import io
import wave
from collections.abc import Iterable
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatacter.chassis.provenance import DIGITAL_SOURCE_TYPE
from chatacter.contracts.speech import AudioFormat
from vocalizr.audio import encoder
from vocalizr.backend import Samples

pytestmark = pytest.mark.unit

RATE = 24000
FORMATS: list[AudioFormat] = ["mp3", "opus", "aac", "flac", "wav"]


def tone(seconds: float, rate: int = RATE) -> Samples:
    times = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def encoded(audio_format: AudioFormat, pieces: Iterable[Samples], rate: int = RATE) -> list[bytes]:
    coder = encoder(audio_format, rate)
    return [*(coder.encode(piece) for piece in pieces), coder.finish()]


def decoded(data: bytes) -> tuple[Samples, int, dict[str, str]]:
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        marks = {**container.metadata, **stream.metadata}
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
    planes = np.concatenate([frame.reshape(1, -1) for frame in frames], axis=1)[0]
    samples = planes.astype(np.float32) / 32768 if planes.dtype == np.int16 else planes
    return samples, stream.rate, {name.lower(): value for name, value in marks.items()}


@pytest.mark.parametrize("audio_format", FORMATS)
def test_a_tone_survives_in_pieces(audio_format: AudioFormat) -> None:
    samples = tone(1.0)
    parts = encoded(audio_format, np.array_split(samples, [100, 5000, 5001, 20000]))
    heard, rate, _ = decoded(b"".join(parts))
    assert heard.size / rate == pytest.approx(1.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.argmax(spectrum) * rate / heard.size == pytest.approx(440, abs=5)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("audio_format", FORMATS)
def test_sound_comes_before_the_end(audio_format: AudioFormat) -> None:
    parts = encoded(audio_format, [tone(1.0), tone(1.0)])
    assert len(parts[0]) > 1000
    heard, rate, _ = decoded(parts[0])
    assert heard.size / rate > 0.7


@pytest.mark.parametrize("audio_format", FORMATS)
def test_every_file_says_that_it_is_synthetic(audio_format: AudioFormat) -> None:
    _, _, marks = decoded(b"".join(encoded(audio_format, [tone(0.2)])))
    assert DIGITAL_SOURCE_TYPE in marks["comment"]
    assert "AI-generated" in marks["comment"]


@pytest.mark.parametrize("audio_format", FORMATS)
@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100, 48000])
def test_any_rate_of_a_backend(audio_format: AudioFormat, rate: int) -> None:
    heard, out_rate, _ = decoded(b"".join(encoded(audio_format, [tone(0.5, rate)], rate)))
    assert heard.size / out_rate == pytest.approx(0.5, abs=0.1)


def test_pcm_is_the_samples_and_nothing_else() -> None:
    assert encoded("pcm", [np.array([0, 0.5, -1, 2], dtype=np.float32)]) == [
        np.array([0, 16384, -32767, 32767], dtype="<i2").tobytes(),
        b"",
    ]


def test_wav_is_read_by_the_standard_library() -> None:
    data = b"".join(encoded("wav", [tone(0.1)]))
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert len(file.readframes(RATE)) == 4800


@pytest.mark.parametrize("audio_format", [*FORMATS, "pcm"])
def test_no_sound_at_all_is_still_a_file(audio_format: AudioFormat) -> None:
    assert isinstance(b"".join(encoded(audio_format, [])), bytes)


@given(
    cuts=st.lists(st.integers(0, 4800), max_size=8).map(sorted), audio_format=st.sampled_from(["wav", "flac", "pcm"])
)
@settings(max_examples=60)
def test_lossless_formats_do_not_care_where_the_sound_is_cut(cuts: list[int], audio_format: AudioFormat) -> None:
    samples = tone(0.2)
    pieces = [samples[begin:end] for begin, end in pairwise([0, *cuts, samples.size])]
    data = b"".join(encoded(audio_format, pieces))
    exact = np.rint(samples * 32767).astype(np.int16)
    heard = np.frombuffer(data, "<i2") if audio_format == "pcm" else np.rint(decoded(data)[0] * 32768).astype(np.int16)
    assert np.array_equal(heard, exact)
