"""The doors of speech in OpenAI's shapes: the sound as it is made, and the voices."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import ChatacterError, InvalidInput
from chatacter.chassis.problems import openai_body
from chatacter.chassis.provenance import HEADERS
from chatacter.chassis.streaming import SSE, ClosingStream, opened, sse, unless_left
from chatacter.chassis.whose import WhoseDep
from chatacter.contracts.speech import (
    MEDIA_TYPES,
    SpeechDelta,
    SpeechDone,
    SpeechRequest,
    SpeechUsage,
    VoiceList,
)
from vocalizr.backend import Utterance
from vocalizr.several import Speakers
from vocalizr.synthesize import Sound, Synthesizer

UNTOLD = "timings: they are told with stream_format=sse only."
SOUND_RESPONSE = {
    200: {
        "description": "The sound as it is made, or server-sent events with `stream_format=sse`",
        "content": {**{media_type: {} for media_type in MEDIA_TYPES.values()}, SSE: {}},
    }
}


def speech_router(speakers: Speakers) -> APIRouter:
    """Make the routes of the speech models."""
    router = APIRouter(tags=["speech"])

    @router.post(
        "/v1/audio/speech",
        dependencies=[Depends(scope("speech"))],
        response_class=Response,
        responses=SOUND_RESPONSE,  # type: ignore[arg-type]
    )
    async def speech(request: SpeechRequest, raw: Request, asked: WhoseDep) -> Response:
        """Say a text. The sound streams as it is made."""
        return await unless_left(raw, answered(speakers.named(request), request, asked.tenant))

    @router.get("/v1/audio/voices", dependencies=[Depends(scope("voices"))])
    async def voices(asked: WhoseDep) -> VoiceList:
        """List the voices that can be asked for: those that came with the models, and one's own."""
        return await speakers.voices(asked.tenant)

    return router


async def answered(synthesizer: Synthesizer, request: SpeechRequest, tenant: str) -> ClosingStream:
    """Check the request, wait for the first sound, then open the stream."""
    if request.timings and request.stream_format != "sse":
        raise InvalidInput(UNTOLD, param="timings")
    utterance = await synthesizer.checked(request, tenant)
    sounds = synthesizer.sounds(utterance, request.response_format, tenant)
    if request.stream_format == "sse":
        return await opened(events(sounds, utterance, timings=request.timings), SSE, HEADERS)
    return await opened(data(sounds), MEDIA_TYPES[request.response_format], HEADERS)


async def data(sounds: AsyncGenerator[Sound]) -> AsyncGenerator[bytes]:
    """Yield the bytes; an encoder that still waits for a full frame sends nothing."""
    async with aclosing(sounds):
        async for sound in sounds:
            if sound.data:
                yield sound.data


async def events(sounds: AsyncGenerator[Sound], utterance: Utterance, *, timings: bool) -> AsyncGenerator[bytes]:
    """Yield OpenAI's speech events. What fails after the first sound is told in an event of its own."""
    seconds = 0.0
    begun = False
    async with aclosing(sounds):
        try:
            async for sound in sounds:
                seconds += sound.seconds
                delta = SpeechDelta(
                    audio=base64.b64encode(sound.data).decode(),
                    phonemes=list(sound.phonemes) if timings else None,
                )
                begun = True
                yield event(delta.model_dump_json(exclude_none=True))
        except ChatacterError as error:
            if not begun:
                raise
            yield sse(orjson.dumps({"type": "error", **openai_body(error).model_dump()}))
            return
    usage = SpeechUsage(input_characters=len(utterance.text), audio_milliseconds=round(seconds * 1000))
    yield event(SpeechDone(usage=usage).model_dump_json())


def event(line: str) -> bytes:
    """Write one server-sent event."""
    return sse(line.encode())
