"""`data:` URLs: what they claim is checked before it is decoded, and limits hold before memory is spent."""

import io
import struct

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from tests.film_material import PHOTO, data_url, tone, wav
from visualizr import references

pytestmark = pytest.mark.unit

IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/svg+xml"})
MOST = 1_000_000


def encoded(kind: str, width: int = 40, height: int = 30, options: tuple[int, ...] = ()) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(kind, noise, options)[1])


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises that many pixels; nothing follows."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x06\x00\x00\x00"


def sounding(container: str, codec: str, seconds: float = 1.0, channels: str = "mono") -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000)
        stream.codec_context.layout = channels
        samples = tone(seconds).samples
        count = 2 if channels == "stereo" else 1
        for begin in range(0, len(samples), 960):
            block = np.repeat(samples[None, begin : begin + 960], count, axis=0)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=channels)
            frame.sample_rate, frame.pts = 48_000, begin
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("image/png", encoded(".png")),
        ("image/jpeg", encoded(".jpg")),
        ("image/jpeg", encoded(".jpg", options=(cv2.IMWRITE_JPEG_PROGRESSIVE, 1))),
        ("image/webp", encoded(".webp", options=(cv2.IMWRITE_WEBP_QUALITY, 50))),
        ("image/webp", encoded(".webp", options=(cv2.IMWRITE_WEBP_QUALITY, 101))),
    ],
    ids=["png", "jpeg", "progressive", "webp", "lossless"],
)
def test_sizes_are_read_without_decoding(media_type: str, data: bytes) -> None:
    assert references.size_of(media_type, data) == (40, 30)
    assert references.picture(data_url(media_type, data), IMAGES, MOST).data == data


def test_an_extended_webp() -> None:
    data = b"RIFF\0\0\0\0WEBPVP8X" + b"\x0a\0\0\0\0\0\0\0" + (4999).to_bytes(3, "little") + (2999).to_bytes(3, "little")
    assert references.size_of("image/webp", data) == (5000, 3000)


def test_a_real_photo() -> None:
    assert references.size_of("image/jpeg", PHOTO.read_bytes()) == (400, 400)


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(TooLarge):
        references.picture(data_url("image/png", png_of(100_000, 100_000)), IMAGES, MOST)


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"RIFF0000WEBPVP8 ", png_of(0, 5), b"<svg/>"])
def test_no_image_of_that_kind(media_type: str, data: bytes) -> None:
    with pytest.raises(InvalidInput):
        references.picture(data_url(media_type, data), IMAGES, MOST)


def test_kinds_that_are_not_taken() -> None:
    with pytest.raises(Unsupported, match="image/jpeg"):
        references.picture(data_url("image/gif", b"GIF89a"), IMAGES, MOST)
    with pytest.raises(Unsupported, match="audio/wav"):
        references.sound(data_url("audio/midi", b"MThd"), 9)


@pytest.mark.parametrize("url", ["data:image/png;base64,####", "data:image/png,abc", "https://example.org/a.png"])
def test_broken_urls(url: str) -> None:
    with pytest.raises(InvalidInput):
        references.picture(url, IMAGES, MOST)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["image/png", "image/jpeg", "image/webp"]), st.binary(max_size=60), st.integers(0, 40))
def test_damaged_headers_are_read_or_refused(media_type: str, damage: bytes, at: int) -> None:
    whole = {"image/png": png_of(3, 4), "image/jpeg": encoded(".jpg")[:200], "image/webp": encoded(".webp")[:60]}
    data = whole[media_type][:at] + damage + whole[media_type][at + len(damage) :]
    try:
        width, height = references.size_of(media_type, data)
    except InvalidInput:
        return
    assert width >= 1
    assert height >= 1


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("audio/wav", wav(tone(1.0).samples, 48_000)),
        ("audio/wav", wav(tone(1.0).samples[::2], 24_000)),
        ("audio/flac", sounding("flac", "flac")),
        ("audio/ogg", sounding("ogg", "libopus")),
        ("audio/ogg", sounding("ogg", "libopus", channels="stereo")),
        ("audio/mpeg", sounding("mp3", "libmp3lame")),
    ],
    ids=["wav", "24kHz", "flac", "opus", "stereo", "mp3"],
)
def test_sounds_become_mono_at_48_khz(media_type: str, data: bytes) -> None:
    sound = references.sound(data_url(media_type, data), 5)
    assert sound.rate == 48_000
    assert sound.samples.dtype == np.float32
    assert sound.seconds == pytest.approx(1.0, abs=0.06)
    expected = tone(1.0).samples
    begin = 2000 if media_type == "audio/mpeg" else 0  # an MP3 has a lead-in
    level = np.abs(sound.samples[begin : begin + 40_000]).mean()
    assert level == pytest.approx(np.abs(expected[:40_000]).mean(), rel=0.15)


def test_a_stream_that_does_not_know_its_length() -> None:
    data = bytearray(wav(tone(1.0).samples, 48_000))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert references.sound(data_url("audio/wav", bytes(data)), 5).seconds == pytest.approx(1.0, abs=0.01)


def test_too_long_a_sound() -> None:
    with pytest.raises(TooLarge, match="2 s"):
        references.sound(data_url("audio/wav", wav(tone(2.5).samples, 48_000)), 2)


@pytest.mark.parametrize("media_type", ["audio/wav", "audio/flac", "audio/ogg", "audio/mpeg"])
@pytest.mark.parametrize("data", [b"", b"hello", wav(tone(0.1).samples, 48_000)[:44], b"\0" * 5000])
def test_no_sound(media_type: str, data: bytes) -> None:
    with pytest.raises(InvalidInput):
        references.sound(data_url(media_type, data), 5)


def test_a_film_is_no_sound() -> None:
    """The media type chooses the demuxer, so that a playlist or a film cannot come in by another name."""
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    for intruder in (playlist, sounding("webm", "libopus"), sounding("mp4", "aac")):
        for media_type in references.SOUND_TYPES:
            with pytest.raises(InvalidInput):
                references.sound(data_url(media_type, intruder), 5)
