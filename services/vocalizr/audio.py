"""Sound, encoded as it is made: WAV, PCM, MP3, Opus, AAC, FLAC. The one place where speech is marked as synthetic."""

import struct
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.provenance import COMMENT, GENERATOR, METADATA
from chatacter.contracts.speech import AudioFormat
from vocalizr.backend import Samples

SixteenBits = NDArray[np.int16]

UNKNOWN_LENGTH: Final = 0xFFFFFFFF
Codec = Literal["libmp3lame", "libopus", "aac", "flac"]
OPUS_RATES: Final = (8000, 12000, 16000, 24000, 48000)


class Encoder(Protocol):
    """Takes samples in [-1, 1] as they come and gives back bytes as they are ready; the file's head comes first."""

    def encode(self, samples: Samples) -> bytes:
        """Return what can be sent now; it may be nothing."""
        ...

    def finish(self) -> bytes:
        """Return the rest."""
        ...


Encoding = Callable[[AudioFormat, int], Encoder]
"""Makes an encoder for mono sound of so many samples a second."""


def encoder(audio_format: AudioFormat, rate: int) -> Encoder:
    """Make an encoder for mono sound of `rate` samples a second."""
    if audio_format == "pcm":
        return PcmEncoder()
    if audio_format == "wav":
        return WavEncoder(rate)
    return ContainerEncoder(CONTAINERS[audio_format], rate)


def sixteen_bits(samples: Samples) -> SixteenBits:
    """Round samples to 16 bits; what is louder than full scale is clipped."""
    rounded: SixteenBits = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    return rounded


class PcmEncoder:
    """Signed 16-bit little-endian samples and nothing else, as OpenAI's `pcm`."""

    def encode(self, samples: Samples) -> bytes:
        """Return the samples' bytes."""
        return sixteen_bits(samples).tobytes()

    def finish(self) -> bytes:
        """Return nothing."""
        return b""


class WavEncoder:
    """RIFF/WAVE whose length fields say "unknown", as players of streams expect; the mark is in its INFO list."""

    def __init__(self, rate: int) -> None:
        self._head = wav_head(rate)

    def encode(self, samples: Samples) -> bytes:
        """Return the samples' bytes, after the head the first time."""
        head, self._head = self._head, b""
        return head + sixteen_bits(samples).tobytes()

    def finish(self) -> bytes:
        """Return the head if there was no sound at all."""
        head, self._head = self._head, b""
        return head


def wav_head(rate: int) -> bytes:
    """Write the head of a 16-bit mono WAV of unknown length. Source: Microsoft RIFF specification, WAVE and INFO."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    info = b"INFO" + info_item(b"ICMT", COMMENT) + info_item(b"ISFT", GENERATOR)
    listed = struct.pack("<4sI", b"LIST", len(info)) + info
    return (
        struct.pack("<4sI4s", b"RIFF", UNKNOWN_LENGTH, b"WAVE")
        + form
        + listed
        + struct.pack("<4sI", b"data", UNKNOWN_LENGTH)
    )


def info_item(name: bytes, text: str) -> bytes:
    """Write one item of an INFO list: zero-terminated, padded to an even length."""
    value = text.encode() + b"\0"
    return struct.pack("<4sI", name, len(value)) + value + b"\0" * (len(value) % 2)


class Container:
    """How FFmpeg calls one format, and how it is told to stream it."""

    def __init__(self, name: str, codec: Codec, sample_format: str, bit_rate: int, options: Mapping[str, str]) -> None:
        self.name = name
        self.codec = codec
        self.sample_format = sample_format
        self.bit_rate = bit_rate
        self.options = dict(options)


CONTAINERS: Final[Mapping[AudioFormat, Container]] = {
    "mp3": Container("mp3", "libmp3lame", "fltp", 64_000, {"write_xing": "0", "id3v2_version": "4"}),
    "opus": Container("ogg", "libopus", "flt", 32_000, {"page_duration": "100000"}),
    "aac": Container("adts", "aac", "fltp", 64_000, {"write_id3v2": "1"}),
    "flac": Container("flac", "flac", "s16", 0, {}),
}


class Sink:
    """A file that is only ever written to; without `seek`, FFmpeg writes heads that need no going back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep the bytes until they are taken."""
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class ContainerEncoder:
    """Any format that FFmpeg muxes, at the sound's own rate where the codec has it, else at 24 kHz."""

    def __init__(self, container: Container, rate: int) -> None:
        self._sink = Sink()
        self._rate = rate
        self._pts = 0
        self._output = av.open(self._sink, "w", format=container.name, options=container.options)
        self._output.metadata.update(METADATA)
        out_rate = 24000 if container.codec == "libopus" and rate not in OPUS_RATES else rate
        self._stream = self._output.add_stream(container.codec, rate=out_rate, layout="mono")
        if container.bit_rate:
            self._stream.bit_rate = container.bit_rate
        self._stream.metadata.update(METADATA)
        self._resampler = av.AudioResampler(format=container.sample_format, layout="mono", rate=out_rate)

    def encode(self, samples: Samples) -> bytes:
        """Return the frames that are full."""
        if samples.size:
            frame = av.AudioFrame.from_ndarray(sixteen_bits(samples).reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = self._rate
            frame.pts = self._pts
            self._pts += samples.size
            for part in self._resampler.resample(frame):
                self._output.mux(self._stream.encode(part))
        return self._sink.take()

    def finish(self) -> bytes:
        """Return the frames that were still waiting, and the file's end."""
        for part in self._resampler.resample(None):
            self._output.mux(self._stream.encode(part))
        self._output.mux(self._stream.encode(None))
        self._output.close()
        return self._sink.take()
