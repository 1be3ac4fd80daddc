"""A transcript in the forms in which OpenAI's clients ask for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.responses import PlainTextResponse, Response

from chatacter.contracts.transcription import (
    Duration,
    TranscriptFormat,
    Transcription,
    TranscriptionRequest,
    TranscriptionSegment,
    TranscriptionVerbose,
    TranscriptionWord,
)
from vocalizr.listening.transcriber import Transcript

JSON: Final = "application/json"


def answer(transcript: Transcript, request: TranscriptionRequest) -> Response:
    """Write a transcript as it was asked for."""
    if request.response_format == "json":
        plain = Transcription(text=transcript.text, usage=Duration(seconds=transcript.seconds))
        return Response(plain.model_dump_json(), media_type=JSON)
    if request.response_format == "verbose_json":
        told = verbose(transcript, request.timestamp_granularities)
        return Response(told.model_dump_json(exclude_none=True), media_type=JSON)
    return PlainTextResponse(TEXTS[request.response_format](transcript))


def verbose(transcript: Transcript, granularities: Sequence[str]) -> TranscriptionVerbose:
    """Tell everything that is known."""
    segments = [
        TranscriptionSegment(
            id=number,
            seek=each.seek,
            start=each.start,
            end=each.end,
            text=each.text,
            tokens=list(each.tokens),
            temperature=each.temperature,
            avg_logprob=each.avg_logprob,
            compression_ratio=each.compression_ratio,
            no_speech_prob=each.no_speech_prob,
        )
        for number, each in enumerate(transcript.passages)
    ]
    words = [
        TranscriptionWord(word=word.word, start=word.start, end=word.end)
        for each in transcript.passages
        for word in each.words
    ]
    return TranscriptionVerbose(
        language=transcript.language,
        duration=transcript.seconds,
        text=transcript.text,
        segments=segments if "segment" in granularities else None,
        words=words if "word" in granularities else None,
        usage=Duration(seconds=transcript.seconds),
    )


def srt(transcript: Transcript) -> str:
    """Write SubRip subtitles."""
    return "".join(
        f"{number}\n{clock(each.start, ',')} --> {clock(each.end, ',')}\n{each.text.strip()}\n\n"
        for number, each in enumerate(transcript.passages, start=1)
    )


def vtt(transcript: Transcript) -> str:
    """Write WebVTT. Source: W3C WebVTT."""
    cues = (
        f"{clock(each.start, '.')} --> {clock(each.end, '.')}\n{each.text.strip().replace('-->', '->')}\n\n"
        for each in transcript.passages
    )
    return "WEBVTT\n\n" + "".join(cues)


def clock(seconds: float, point: str) -> str:
    """Write a time as hours, minutes, seconds and thousandths."""
    thousandths = max(0, round(seconds * 1000))
    whole, rest = divmod(thousandths, 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{rest:03}"


TEXTS: Final[Mapping[TranscriptFormat, Callable[[Transcript], str]]] = {
    "text": lambda transcript: f"{transcript.text}\n",
    "srt": srt,
    "vtt": vtt,
}
