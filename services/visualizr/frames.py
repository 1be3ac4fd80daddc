"""Encoding: pictures and a sound into one file, in sync, marked as synthetic."""

import io
import struct
from collections.abc import Mapping
from fractions import Fraction
from types import TracebackType
from typing import Final, Self

import av
import cv2
import numpy as np
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from chatacter.chassis import provenance
from chatacter.contracts.video import VideoFormat
from visualizr import encoders
from visualizr.backend import Rendition, Sound
from visualizr.renditions import Reel
from visualizr.settings import Mp4Encoder

SOUND_RATE: Final = 48_000
SOUND_BLOCK: Final = 960
"""Samples handed over at once: one Opus frame of 20 ms."""

SOUND_CODECS: Final[Mapping[VideoFormat, str]] = {"webm": "libopus", "mp4": "aac"}
MUXING: Final[Mapping[VideoFormat, dict[str, str]]] = {"webm": {}, "mp4": {"movflags": "+use_metadata_tags"}}
SOUND_BITS: Final = 64_000
XMP_BOX: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


class Recorder:
    """Records frames of one size at a steady rate, and the sound that belongs to them, into memory.

    Used as a context: leaving it lets go of the encoders whether or not the recording was finished.
    """

    def __init__(
        self,
        output_format: VideoFormat,
        size: tuple[int, int],
        fps: int,
        sound: Sound | None,
        threads: int,
        mp4: Mp4Encoder = "auto",
    ) -> None:
        self._format = output_format
        self._width, self._height = size
        self._fps = fps
        self._sound = sound
        self._threads = threads
        self._mp4 = mp4
        self.encoder = ""
        """What writes the pictures, once the recording has begun."""
        self._file = io.BytesIO()
        self._frames = 0
        self._heard = 0
        self._reel = Reel()

    def __enter__(self) -> Self:
        self.encoder = encoders.chosen(self._format, (self._width, self._height), self._mp4)
        self._container = av.open(self._file, "w", format=self._format, options=MUXING[self._format])
        self._container.metadata.update(provenance.METADATA)
        video = self._container.add_stream(self.encoder, rate=self._fps)
        assert isinstance(video, VideoStream)
        self._video = video
        self._video.width, self._video.height = self._width, self._height
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = Fraction(1, self._fps)
        self._video.codec_context.gop_size = self._fps * 4
        self._video.codec_context.options = encoders.options(self.encoder, (self._width, self._height), self._threads)
        self._track: AudioStream | None = None
        if self._sound is not None:
            track = self._container.add_stream(SOUND_CODECS[self._format], rate=SOUND_RATE)
            assert isinstance(track, AudioStream)
            track.codec_context.layout = AudioLayout("mono")
            track.bit_rate = SOUND_BITS
            self._track = track
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Add the next frame: uint8 [height, width, 4], blue first; and the sound that is heard while it is seen."""
        planes = cv2.cvtColor(frame, cv2.COLOR_BGRA2YUV_I420)
        picture = av.VideoFrame.from_ndarray(planes.astype(np.uint8, copy=False), format="yuv420p")
        picture.pts = self._frames
        picture.time_base = Fraction(1, self._fps)
        self._container.mux(self._video.encode(picture))
        self._frames += 1
        self._reel.add(frame)
        self._hear(self._frames * SOUND_RATE // self._fps)

    def _hear(self, until: int) -> None:
        """Encode the sound up to a sample, in whole blocks, so that both tracks stay side by side in the file."""
        if self._track is None or self._sound is None:
            return
        samples = self._sound.samples
        while self._heard < min(until, len(samples)):
            block = samples[self._heard : self._heard + SOUND_BLOCK]
            piece = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None, :]), format="fltp", layout="mono")
            piece.sample_rate = SOUND_RATE
            piece.pts = self._heard
            piece.time_base = Fraction(1, SOUND_RATE)
            self._container.mux(self._track.encode(piece))
            self._heard += len(block)

    def finish(self) -> tuple[bytes, float]:
        """End the recording; return the file and its length in seconds. Call it once, within the context."""
        self._hear(len(self._sound.samples) if self._sound else 0)
        self._container.mux(self._video.encode(None))
        if self._track is not None:
            self._container.mux(self._track.encode(None))
        self._container.close()
        heard = self._sound.seconds if self._sound else 0.0
        data = self._file.getvalue()
        return mp4_marked(data) if self._format == "mp4" else data, max(self._frames / self._fps, heard)

    def renditions(self) -> tuple[Rendition, ...]:
        """Make the film's small forms from the frames that were added."""
        return self._reel.renditions()


def mp4_marked(data: bytes) -> bytes:
    """Put the XMP packet at the end of an MP4. Source: XMP specification, part 3, section 1.2.7 (a `uuid` box)."""
    return data + struct.pack(">I", 24 + len(provenance.XMP)) + b"uuid" + XMP_BOX + provenance.XMP
