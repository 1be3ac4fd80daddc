"""The door to the transcriber, in OpenAI's shape."""

import threading
from typing import Any, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import InvalidInput, NotFound, Unsupported
from chatacter.chassis.streaming import unless_left
from chatacter.contracts.transcription import (
    MAX_FILE_BYTES,
    MAX_SECONDS,
    Transcription,
    TranscriptionRequest,
    TranscriptionVerbose,
)
from chatacter.serving.gate import Gate
from chatacter.serving.work import whole
from vocalizr.forms import FORM, FileField, form_of
from vocalizr.listening.answers import answer
from vocalizr.listening.sound import decoded
from vocalizr.listening.transcriber import RATE, Hint, Transcriber, Transcript

FILE: Final = FileField("file", 1, MAX_FILE_BYTES)
LISTS: Final = frozenset({"timestamp_granularities"})
# OpenAI's fields that ask for what Whisper cannot do here: said so, never ignored.
CANNOT: Final = frozenset(
    {"stream", "include", "chunking_strategy", "keywords", "languages", "known_speaker_names"}
    | {"known_speaker_references"}
)

NO_FILE: Final = "file: send the sound as a file."
NO_MODEL: Final = "model: there is no such transcriber here. Served: {served}."
UNSUPPORTED: Final = "{field}: this transcriber cannot do that; leave it out."
WORDS_NEED_VERBOSE: Final = "timestamp_granularities: they are told with response_format=verbose_json only."


def body() -> dict[str, Any]:
    """Describe the form for OpenAPI."""
    schema = TranscriptionRequest.model_json_schema()
    file = {"type": "string", "format": "binary"}
    shape = {**schema, "properties": {**schema["properties"], FILE.name: file}, "required": ["model", FILE.name]}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": shape}}}}


def listening_router(transcriber: Transcriber, gate: Gate) -> APIRouter:
    """Make the route of one transcriber."""
    router = APIRouter(tags=["speech"], dependencies=[Depends(scope("speech"))])

    @router.post(
        "/v1/audio/transcriptions",
        openapi_extra=body(),
        response_class=PlainTextResponse,
        responses={200: {"model": Transcription | TranscriptionVerbose}},
    )
    async def transcribe(request: Request) -> Response:
        """Write down what is said in a recording."""
        form = await form_of(request, FILE)
        for field in form.fields:
            if field in CANNOT and form.fields[field] != ["false"]:
                raise Unsupported(UNSUPPORTED.format(field=field), param=field)
        known = {name: values for name, values in form.fields.items() if name not in CANNOT}
        asked = type(form)(known, form.files).read_as(TranscriptionRequest, LISTS)
        if asked.model != transcriber.name:
            raise NotFound(NO_MODEL.format(served=transcriber.name), param="model")
        if "timestamp_granularities" in known and asked.response_format != "verbose_json":
            raise InvalidInput(WORDS_NEED_VERBOSE, param="timestamp_granularities")
        if not form.files:
            raise InvalidInput(NO_FILE, param=FILE.name)
        transcript = await unless_left(request, heard(transcriber, gate, form.files[0], hint_of(asked)))
        return answer(transcript, asked)

    return router


def hint_of(request: TranscriptionRequest) -> Hint:
    """Say what the request tells of the recording."""
    return Hint(request.language, request.prompt, request.temperature, words="word" in request.timestamp_granularities)


async def heard(transcriber: Transcriber, gate: Gate, data: bytes, hint: Hint) -> Transcript:
    """Decode and transcribe, in a place of the gate's. Raises `Misconfigured` where the model is not installed."""

    def work(cancelled: threading.Event) -> Transcript:
        recording = decoded(data, longest=MAX_SECONDS, param=FILE.name, rate=RATE)
        transcriber.load()
        return transcriber.transcribe(recording, hint, cancelled)

    async with gate.place():
        return await whole(work)
