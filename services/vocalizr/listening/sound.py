"""Uploaded sound, decoded. Nothing that a file claims of itself is trusted; only these formats are ever looked into.

FFmpeg is told the format, because left to guess it also takes playlists, which name other files and addresses.
"""

import io
from collections.abc import Iterator
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from vocalizr.backend import Recording

FORMATS: Final = "wav, mp3, flac, ogg, aac, webm, mp4"
MAX_RATE: Final = 192_000

UNKNOWN: Final = f"{{param}}: this is not sound in a form that is known here. Send one of {FORMATS}."
UNREADABLE: Final = "{param}: the file says that it is {kind} and cannot be decoded as that. Encode it anew."
NO_SOUND: Final = "{param}: there is no sound in this file."
LONG: Final = "{param}: it is longer than {seconds:g} seconds. Send at most that much."


def kind_of(data: bytes) -> str | None:
    """Name FFmpeg's demuxer for a file by how it begins, or None."""
    if data[:4] in {b"RIFF", b"RF64"} and data[8:12] == b"WAVE":
        return "wav"
    if data[:4] == b"fLaC":
        return "flac"
    if data[:4] == b"OggS":
        return "ogg"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if data[4:8] == b"ftyp":
        return "mp4"
    return framed_kind(data)


def framed_kind(data: bytes) -> str | None:
    """Tell MP3 and ADTS apart, whose files are frames with an ID3 tag before them or none."""
    if data[:3] == b"ID3" and len(data) > 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
        data = data[10 + size :] or data
        if data[:3] == b"ID3":
            return "mp3"
    if len(data) < 2 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    return "aac" if data[1] & 0x06 == 0 else "mp3"


def decoded(data: bytes, *, longest: float, param: str, rate: int | None = None) -> Recording:
    """Decode sound to one channel, at most `longest` seconds of it; at its own rate, or brought to `rate` on the way.

    What is only listened to wants a `rate`: a small file may have 192,000 samples a second, all of them kept otherwise.

    Raises `Unsupported` for another form, `InvalidInput` for one that is broken, `TooLarge` for more.
    """
    kind = kind_of(data)
    if kind is None:
        raise Unsupported(UNKNOWN.format(param=param), param=param)
    try:
        with av.open(io.BytesIO(data), "r", format=kind) as container:
            if not container.streams.audio:
                raise InvalidInput(NO_SOUND.format(param=param), param=param)
            own = container.streams.audio[0].codec_context.sample_rate
            if not 0 < own <= MAX_RATE:
                raise InvalidInput(UNREADABLE.format(param=param, kind=kind), param=param)
            rate = rate or own
            samples = gathered(mono(container, rate), round(longest * rate))
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise InvalidInput(UNREADABLE.format(param=param, kind=kind), param=param) from error
    if samples is None:
        raise TooLarge(LONG.format(param=param, seconds=longest), param=param)
    if not samples.size:
        raise InvalidInput(NO_SOUND.format(param=param), param=param)
    return Recording(np.nan_to_num(samples, copy=False), rate)


def mono(container: av.container.InputContainer, rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield the first stream's samples, its channels mixed into one."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    for frame in container.decode(audio=0):
        frame.pts = None
        for part in resampler.resample(frame):
            yield part.to_ndarray()[0]
    for part in resampler.resample(None):
        yield part.to_ndarray()[0]


def gathered(pieces: Iterator[NDArray[np.float32]], most: int) -> NDArray[np.float32] | None:
    """Join samples; None as soon as there are more than `most`: a small file can unfold into hours."""
    kept, total = [np.zeros(0, np.float32)], 0
    for piece in pieces:
        total += piece.size
        if total > most:
            return None
        kept.append(piece)
    return np.concatenate(kept)


def at_rate(recording: Recording, rate: int) -> NDArray[np.float32]:
    """Return a recording's samples at another rate."""
    if recording.rate == rate or not recording.samples.size:
        return recording.samples
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(recording.samples, dtype=np.float32).reshape(1, -1), format="flt", layout="mono"
    )
    frame.sample_rate = recording.rate
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])
