"""Transcripts between processes: OpenAI's `POST /v1/audio/transcriptions`.

Source: OpenAI API reference, "Create transcription". Fields of OpenAI's that are not here are refused, not ignored.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from chatacter.contracts.base import Strict

MAX_FILE_BYTES: Final = 25 * 1024 * 1024
# What two cores hear within REQUEST_TIMEOUT as it is set by default, with room for a request that waits before.
MAX_SECONDS: Final = 600.0

TranscriptFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]


class TranscriptionRequest(Strict):
    """The fields beside the file."""

    model: str
    language: Annotated[str | None, Field(min_length=2, max_length=35)] = None
    prompt: Annotated[str | None, StringConstraints(max_length=2000)] = None
    response_format: TranscriptFormat = "json"
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.0
    timestamp_granularities: Annotated[tuple[Literal["word", "segment"], ...], Field(max_length=2)] = ("segment",)


class Duration(Strict):
    """What a transcript is counted in."""

    type: Literal["duration"] = "duration"
    seconds: float


class Transcription(Strict):
    """`response_format=json`."""

    text: str
    usage: Duration


class TranscriptionWord(Strict):
    """One word; times in seconds."""

    word: str
    start: float
    end: float


class TranscriptionSegment(Strict):
    """One passage; times in seconds."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class TranscriptionVerbose(Strict):
    """`response_format=verbose_json`; `words` and `segments` as `timestamp_granularities` asks for them."""

    task: Literal["transcribe"] = "transcribe"
    language: str = Field(description="ISO 639-1")
    duration: float
    text: str
    segments: list[TranscriptionSegment] | None = None
    words: list[TranscriptionWord] | None = None
    usage: Duration
