"""Vocalizr over HTTP."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from aiohttp import ClientResponse
from pydantic import SecretStr, TypeAdapter, ValidationError

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError
from chatacter.contracts.speech import SpeechDelta, SpeechDone, SpeechRequest, Voice, VoiceList
from chatacter.contracts.whose import TENANT_HEADER
from chattr.adapters.predictor_http import JSON, Place, PredictorHttp
from chattr.ports.media import Listing

SPEECH: Final = "/v1/audio/speech"
DELTA: Final = TypeAdapter(SpeechDelta)
DONE: Final = TypeAdapter(SpeechDone)


class VocalizrHttp(PredictorHttp):
    """A `Speaker`, and an `Inference`."""

    def __init__(self, url: str, *models: str, token: SecretStr | None = None, silence: float | None = None) -> None:
        super().__init__(Place.of("Vocalizr", url, *models), token=token, silence=silence)

    async def speak(self, request: SpeechRequest, deadline: Deadline, tenant: str) -> AsyncGenerator[bytes]:
        """Yield encoded sound as it is made."""
        body = request.model_dump_json(exclude_none=True).encode()
        response = await self._speaking(body, deadline, tenant)
        async with aclosing(self.chunks(response)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def speech_events(
        self, request: SpeechRequest, deadline: Deadline, tenant: str
    ) -> AsyncGenerator[SpeechDelta | SpeechDone]:
        """Yield sound with what belongs to it."""
        asked = request.model_copy(update={"stream_format": "sse"})
        body = asked.model_dump_json(exclude_none=True).encode()
        response = await self._speaking(body, deadline, tenant)
        async with aclosing(self.events(response)) as events:
            async for data in events:
                if data == b"[DONE]":
                    continue
                event = self._event(data)
                yield event
                if isinstance(event, SpeechDone):
                    return
        raise self.broke_off()

    async def _speaking(self, body: bytes, deadline: Deadline, tenant: str) -> ClientResponse:
        headers = {**JSON, TENANT_HEADER: tenant}
        return await self.opened("POST", SPEECH, deadline, body=body, headers=headers, endless=True)

    def _event(self, data: bytes) -> SpeechDelta | SpeechDone:
        value = self.parsed(data)
        try:
            done = isinstance(value, dict) and value.get("type") == "speech.audio.done"
            return DONE.validate_python(value) if done else DELTA.validate_python(value)
        except ValidationError as error:
            raise self.unreadable() from error

    async def voices(self, deadline: Deadline, tenant: str) -> Listing[Voice]:
        """Return the voices that a tenant can ask for."""
        try:
            told = await self.json("/v1/audio/voices", deadline, headers={TENANT_HEADER: tenant})
            return Listing(VoiceList.model_validate(told).data)
        except ValidationError:
            return Listing(unknown=self.unreadable())
        except ChatacterError as error:
            return Listing(unknown=error)
