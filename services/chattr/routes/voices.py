"""OpenAI's doors to voices of one's own, to consents and to transcripts: Vocalizr's, for the caller's tenant.

Vocalizr keeps them and judges them; here the caller is known. What a client sends is passed on as it came, with the
tenant and the key's id beside it, which Vocalizr believes from a service inside alone.
"""

from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import Caller, scope
from chatacter.chassis.streaming import opened, unless_left
from chatacter.contracts.speech import Voice, VoiceList
from chatacter.contracts.voices import (
    ConsentPhraseList,
    VoiceArchive,
    VoiceConsent,
    VoiceConsentDeleted,
    VoiceConsentList,
    VoiceConsentUpdate,
    VoiceDeleted,
    VoiceDesign,
)
from chatacter.contracts.whose import CALLER_HEADER, TENANT_HEADER
from chattr.dependencies import InferDep, SpeakDep
from chattr.ports.media import Question
from chattr.routes.bodies import described
from chattr.routes.idempotency import HEADER, IdempotentRoute

voices = APIRouter(tags=["Voices"], dependencies=[Depends(scope("voices"))], route_class=IdempotentRoute)
listening = APIRouter(tags=["Speech"], dependencies=[Depends(scope("speech"))], route_class=IdempotentRoute)

FORM: Final = "multipart/form-data"
FILE: Final = {"type": "string", "format": "binary"}
PASSED_ON: Final = ("content-type", "accept")


def form(required: dict[str, Any], optional: dict[str, Any] | None = None, **also: Any) -> dict[str, Any]:
    """Describe a form for OpenAPI, and the other bodies that an address takes."""
    shape = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": shape}, **also}}}


TEXT: Final = {"type": "string"}
CONSENT: Final = form({"name": TEXT, "language": TEXT, "recording": FILE})
VOICE: Final = form(
    {"name": TEXT, "consent": TEXT, "audio_sample": {"type": "array", "items": FILE, "maxItems": 5}},
    {"type": {"const": "audio_sample"}},
    **{"application/json": {"schema": VoiceDesign.model_json_schema()}},
)
SOUND: Final = form(
    {"file": FILE, "model": TEXT},
    {
        "language": TEXT,
        "prompt": TEXT,
        "response_format": {"enum": ["json", "text", "srt", "verbose_json", "vtt"]},
        "temperature": {"type": "number", "minimum": 0, "maximum": 1},
        "timestamp_granularities[]": {"type": "array", "items": {"enum": ["word", "segment"]}},
    },
)


class Door:
    """Passes a request on to the Vocalizr of a speech model, as the caller's tenant."""

    def __init__(
        self,
        request: Request,
        caller: Caller,
        infer: InferDep,
        speak: SpeakDep,
        speech_model: Annotated[
            str | None, Query(description="Which speech model's server; the default's if absent")
        ] = None,
    ) -> None:
        self._request = request
        self._headers = {TENANT_HEADER: caller.tenant, CALLER_HEADER: caller.key_id}
        self._infer = infer
        self._model = speech_model or speak.model
        self._named = speech_model

    async def answer(self, path: str) -> Response:
        """Return what Vocalizr answers at a path. Raises what it says is wrong.

        A client that hangs up frees the place that it holds there; unless a repetition is to find the answer.
        """
        kept = {name: self._request.headers[name] for name in PASSED_ON if name in self._request.headers}
        if self._named is not None:
            path += f"{'&' if '?' in path else '?'}speech_model={quote(self._named, safe='')}"
        asked = Question(self._request.method, path, await self._request.body(), {**kept, **self._headers})
        work = self._asked(asked)
        free = self._request.method == "POST" and HEADER not in self._request.headers
        return await (unless_left(self._request, work) if free else work)

    async def _asked(self, asked: Question) -> Response:
        answer = await self._infer.ask(self._model, asked)
        return await opened(answer.chunks, answer.media_type, answer.headers)


DoorDep = Annotated[Door, Depends(Door)]


@voices.get("/v1/audio/voices")
async def list_voices(use_case: SpeakDep, caller: Caller) -> VoiceList:
    """List the voices that can be asked for: those that came with the models, and the tenant's own."""
    return await use_case.voices(caller.tenant)


@voices.post("/v1/audio/voices", response_model=Voice, openapi_extra=VOICE)
async def create_voice(door: DoorDep) -> Response:
    """Clone a voice with its speaker's consent, or blend one of others."""
    return await door.answer("/v1/audio/voices")


@voices.post("/v1/audio/voices/import", response_model=Voice, openapi_extra=described(VoiceArchive))
async def import_voice(door: DoorDep) -> Response:
    """Put down what `export` took along; consent and speaker are judged as for every other voice."""
    return await door.answer("/v1/audio/voices/import")


@voices.get("/v1/audio/voices/{voice_id}/export", response_model=VoiceArchive)
async def export_voice(voice_id: str, door: DoorDep) -> Response:
    """Take a voice of one's own along, with the recordings and the consent that it was made of."""
    return await door.answer(f"/v1/audio/voices/{quote(voice_id, safe='')}/export")


@voices.get("/v1/audio/voices/{voice_id}", response_model=Voice)
async def get_voice(voice_id: str, door: DoorDep) -> Response:
    """Show a voice."""
    return await door.answer(f"/v1/audio/voices/{quote(voice_id, safe='')}")


@voices.delete("/v1/audio/voices/{voice_id}", response_model=VoiceDeleted)
async def delete_voice(voice_id: str, door: DoorDep) -> Response:
    """Delete a voice of one's own."""
    return await door.answer(f"/v1/audio/voices/{quote(voice_id, safe='')}")


@voices.get("/v1/audio/voice_consents/phrases", response_model=ConsentPhraseList)
async def consent_phrases(door: DoorDep) -> Response:
    """List what has to be said to consent, in each language; refused where no voice can be cloned."""
    return await door.answer("/v1/audio/voice_consents/phrases")


@voices.post("/v1/audio/voice_consents", response_model=VoiceConsent, openapi_extra=CONSENT)
async def give_consent(door: DoorDep) -> Response:
    """Consent that one's voice is cloned, by saying the phrase."""
    return await door.answer("/v1/audio/voice_consents")


@voices.get("/v1/audio/voice_consents", response_model=VoiceConsentList)
async def list_consents(
    door: DoorDep, after: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Response:
    """List the consents that stand, the newest first."""
    return await door.answer(
        f"/v1/audio/voice_consents?limit={limit}" + (f"&after={quote(after, safe='')}" if after else "")
    )


@voices.get("/v1/audio/voice_consents/{consent_id}", response_model=VoiceConsent)
async def get_consent(consent_id: str, door: DoorDep) -> Response:
    """Show a consent."""
    return await door.answer(f"/v1/audio/voice_consents/{quote(consent_id, safe='')}")


@voices.post("/v1/audio/voice_consents/{consent_id}", response_model=VoiceConsent)
async def rename_consent(consent_id: str, body: VoiceConsentUpdate, door: DoorDep) -> Response:
    """Give a consent another label."""
    return await door.answer(f"/v1/audio/voice_consents/{quote(consent_id, safe='')}")


@voices.delete("/v1/audio/voice_consents/{consent_id}", response_model=VoiceConsentDeleted)
async def revoke_consent(consent_id: str, door: DoorDep) -> Response:
    """Revoke a consent; every voice that was cloned with it is gone at once."""
    return await door.answer(f"/v1/audio/voice_consents/{quote(consent_id, safe='')}")


@listening.post("/v1/audio/transcriptions", response_class=Response, openapi_extra=SOUND)
async def transcribe(door: DoorDep) -> Response:
    """Write down what is said in a recording."""
    return await door.answer("/v1/audio/transcriptions")


router = APIRouter()
router.include_router(voices)
router.include_router(listening)
