"""The doors to voices of the users' own and to the consents behind them, in OpenAI's shapes."""

import asyncio
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import InvalidInput, Unsupported
from chatacter.chassis.streaming import unless_left
from chatacter.chassis.whose import WhoseDep
from chatacter.contracts.base import Strict
from chatacter.contracts.speech import Voice
from chatacter.contracts.voices import (
    MAX_RECORDING_BYTES,
    MAX_SAMPLES,
    ConsentPhrase,
    ConsentPhraseList,
    Label,
    Language,
    VoiceArchive,
    VoiceConsent,
    VoiceConsentDeleted,
    VoiceConsentList,
    VoiceConsentUpdate,
    VoiceDeleted,
    VoiceDesign,
)
from chatacter.serving.work import whole
from vocalizr.cloning.consent import PHRASES
from vocalizr.cloning.studios import Studios
from vocalizr.forms import FORM, FileField, checked, form_of, is_form

RECORDING: Final = FileField("recording", 1, MAX_RECORDING_BYTES)
SAMPLES: Final = FileField("audio_sample", MAX_SAMPLES, MAX_RECORDING_BYTES)

JSON: Final = "application/json"
ARCHIVE: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {JSON: {"schema": VoiceArchive.model_json_schema()}}}
}

NO_RECORDING: Final = "recording: send the consent as a sound file."
NO_PROMPT: Final = "type: voices cannot be made from a description here. Blend voices (`blend`), or clone one."
NO_CURSOR: Final = "after: there is no such consent."

ModelQuery = Annotated[
    str | None, Query(description="Which speech model of this process; absent: one that can do what is asked")
]


class ConsentForm(Strict):
    """The fields beside a consent's recording."""

    name: Label
    language: Language


class VoiceForm(Strict):
    """The fields beside a voice's samples."""

    name: Label
    consent: str
    type: Literal["audio_sample"] = "audio_sample"


def body(file: FileField, form: type[Strict], as_json: type[Strict] | None = None) -> dict[str, Any]:
    """Describe a form with files for OpenAPI, and the body as JSON where there is one too."""
    schema = form.model_json_schema()
    binary = {"type": "string", "format": "binary"}
    files: dict[str, Any] = binary if file.most == 1 else {"type": "array", "items": binary, "maxItems": file.most}
    shape = {
        **schema,
        "properties": {**schema["properties"], file.name: files},
        "required": [*schema["required"], file.name],
    }
    content: dict[str, Any] = {FORM: {"schema": shape}}
    if as_json is not None:
        content[JSON] = {"schema": as_json.model_json_schema()}
    return {"requestBody": {"required": True, "content": content}}


def cloning_router(studios: Studios) -> APIRouter:
    """Make the routes of the speech models' own voices."""
    router = APIRouter(tags=["voices"], dependencies=[Depends(scope("voices"))])
    add_consents(router, studios)
    add_voices(router, studios)
    add_moving(router, studios)
    return router


def add_consents(router: APIRouter, studios: Studios) -> None:
    """Add the doors to consents."""
    consents = studios.consents

    @router.get("/v1/audio/voice_consents/phrases")
    async def phrases(speech_model: ModelQuery = None) -> ConsentPhraseList:
        """List what has to be said to consent, in each language; refused where no voice can be cloned."""
        studios.cloning(speech_model).voices.require_cloning()
        return ConsentPhraseList(data=[ConsentPhrase(language=code, text=text) for code, text in PHRASES.items()])

    @router.post("/v1/audio/voice_consents", openapi_extra=body(RECORDING, ConsentForm))
    async def give(request: Request, asked: WhoseDep, speech_model: ModelQuery = None) -> VoiceConsent:
        """Consent that one's voice is cloned, by saying the phrase."""
        form = await form_of(request, RECORDING)
        fields = form.read_as(ConsentForm)
        if not form.files:
            raise InvalidInput(NO_RECORDING, param="recording")
        return await unless_left(
            request, studios.cloning(speech_model).given(asked, fields.name, fields.language, form.files[0])
        )

    @router.get("/v1/audio/voice_consents")
    async def listed(
        asked: WhoseDep, after: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> VoiceConsentList:
        """List the consents that stand, the newest first."""
        found = [record.shown() for record in await asyncio.to_thread(consents.standing, asked.tenant)]
        if after is not None:
            places = [place for place, each in enumerate(found, start=1) if each.id == after]
            if not places:
                raise InvalidInput(NO_CURSOR, param="after")
            found = found[places[0] :]
        page = found[:limit]
        ends = (page[0].id, page[-1].id) if page else (None, None)
        return VoiceConsentList(data=page, first_id=ends[0], last_id=ends[1], has_more=len(found) > limit)

    @router.get("/v1/audio/voice_consents/{consent_id}")
    async def get(consent_id: str, asked: WhoseDep) -> VoiceConsent:
        """Show a consent."""
        return (await asyncio.to_thread(consents.get, asked.tenant, consent_id)).shown()

    @router.post("/v1/audio/voice_consents/{consent_id}")
    async def rename(consent_id: str, change: VoiceConsentUpdate, asked: WhoseDep) -> VoiceConsent:
        """Give a consent another label."""
        return (await asyncio.to_thread(consents.rename, asked.tenant, consent_id, change.name)).shown()

    @router.delete("/v1/audio/voice_consents/{consent_id}")
    async def revoke(consent_id: str, asked: WhoseDep) -> VoiceConsentDeleted:
        """Revoke a consent; every voice that was cloned with it is gone at once, with all that was learnt."""
        await whole(lambda _: consents.revoke(asked.tenant, consent_id))
        return VoiceConsentDeleted(id=consent_id)


def typed(data: bytes) -> Any:
    """Return what kind of voice is asked for in JSON, whatever else is in it; None where it does not say."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return body.get("type") if isinstance(body, dict) else None


def require_no_prompt(kind: Any) -> None:
    """Refuse what OpenAI makes of a description."""
    if kind == "prompt":
        raise Unsupported(NO_PROMPT, param="type")


def add_voices(router: APIRouter, studios: Studios) -> None:
    """Add the doors to voices."""

    @router.post("/v1/audio/voices", openapi_extra=body(SAMPLES, VoiceForm, VoiceDesign))
    async def make(request: Request, asked: WhoseDep, speech_model: ModelQuery = None) -> Voice:
        """Clone a voice from samples, with its speaker's consent; or, as JSON, blend one of others."""
        if not is_form(request):
            data = await request.body()
            require_no_prompt(typed(data))
            design = checked(VoiceDesign, data)
            return await unless_left(request, studios.blending(speech_model).designed(asked, design))
        form = await form_of(request, SAMPLES)
        require_no_prompt(form.fields.get("type", ["audio_sample"])[0])
        fields = form.read_as(VoiceForm)
        return await unless_left(
            request, studios.cloning(speech_model).cloned(asked, fields.name, fields.consent, form.files)
        )

    @router.get("/v1/audio/voices/{voice_id}")
    async def get(voice_id: str, asked: WhoseDep) -> Voice:
        """Show a voice of one's own, or one that came with the model."""
        return await studios.voice(asked, voice_id)

    @router.delete("/v1/audio/voices/{voice_id}")
    async def delete(voice_id: str, asked: WhoseDep) -> VoiceDeleted:
        """Delete a voice of one's own; the consent to it stays."""
        await studios.delete(asked, voice_id)
        return VoiceDeleted(id=voice_id)


def add_moving(router: APIRouter, studios: Studios) -> None:
    """Add the doors by which voices move from one installation to another."""

    @router.get("/v1/audio/voices/{voice_id}/export", response_model=VoiceArchive)
    async def export(voice_id: str, asked: WhoseDep) -> Response:
        """Take a voice of one's own along, with the recordings and the consent that it was made of."""
        archive = await studios.taken(asked, voice_id)
        return Response(await asyncio.to_thread(archive.model_dump_json, exclude_none=True), media_type=JSON)

    @router.post("/v1/audio/voices/import", openapi_extra=ARCHIVE)
    async def put(request: Request, asked: WhoseDep, speech_model: ModelQuery = None) -> Voice:
        """Put down what `export` took along; consent and speaker are judged as for every other voice."""
        archive = await asyncio.to_thread(checked, VoiceArchive, await request.body())
        return await unless_left(request, studios.put(asked, archive, speech_model))
