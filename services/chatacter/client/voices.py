"""Voices: which there are, those of one's own, also to be taken elsewhere, and the consents that clones hang on."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx

from chatacter.client.connection import Connection, Upload
from chatacter.client.errors import Refused
from chatacter.contracts.speech import Voice, VoiceList
from chatacter.contracts.voices import ConsentPhrase, ConsentPhraseList, VoiceConsent, VoiceConsentList

HOME: Final = "/v1/audio/voices"
CONSENTS: Final = "/v1/audio/voice_consents"


class Voices(Connection):
    """What is done with voices. `speech_model` names the model whose voices they are; None: the default's."""

    async def voice_list(self) -> VoiceList:
        """Return the voices that there are, one's own too, and what characters speak with that name no model."""
        return VoiceList.model_validate(await self._json("GET", HOME))

    async def speech_model(self) -> str:
        """Return the model that speaks here."""
        voices = await self.voice_list()
        model = voices.model or next((voice.model for voice in voices.data), None)
        if model is None:
            raise Refused("There is no voice here.", status=404, code="not_found")
        return model

    async def design_voice(self, name: str, blend: Mapping[str, float], speech_model: str | None) -> Voice:
        """Make a voice of others, each with its share."""
        body = {"name": name, "blend": dict(blend)}
        return Voice.model_validate(await self._json("POST", f"{HOME}{at(speech_model)}", body))

    async def clone_voice(self, name: str, consent: str, samples: Sequence[Upload], speech_model: str | None) -> Voice:
        """Make a voice of somebody's who consented."""
        files = [("audio_sample", each) for each in samples]
        fields = {"name": name, "consent": consent}
        return Voice.model_validate(await self._form(f"{HOME}{at(speech_model)}", fields, files))

    async def delete_voice(self, voice: str, speech_model: str | None) -> None:
        """Delete a voice of one's own."""
        async with self._guarded("DELETE", f"{HOME}/{voice}{at(speech_model)}"):
            pass

    async def voice_archive(self, voice: str, speech_model: str | None) -> dict[str, Any]:
        """Return a voice of one's own with all that it was made of."""
        return dict(await self._json("GET", f"{HOME}/{quote(voice, safe='')}/export{at(speech_model)}"))

    async def take_voice(self, archive: Any, speech_model: str | None) -> Voice:
        """Put a voice down, for this speech model where one is named; return it under the name that it has here."""
        return Voice.model_validate(await self._json("POST", f"{HOME}/import{at(speech_model)}", archive))

    async def consent_phrases(self, speech_model: str | None) -> list[ConsentPhrase]:
        """Return what has to be said to consent; refused where no voice can be cloned."""
        found = await self._json("GET", f"{CONSENTS}/phrases{at(speech_model)}")
        return ConsentPhraseList.model_validate(found).data

    async def consents(self, speech_model: str | None) -> list[VoiceConsent]:
        """Return the newest hundred consents."""
        found = await self._json("GET", f"{CONSENTS}{at(speech_model, limit='100')}")
        return VoiceConsentList.model_validate(found).data

    async def consent(self, name: str, language: str, recording: Upload, speech_model: str | None) -> VoiceConsent:
        """Consent that a voice is cloned, by a recording of the phrase."""
        fields = {"name": name, "language": language}
        made = await self._form(f"{CONSENTS}{at(speech_model)}", fields, [("recording", recording)])
        return VoiceConsent.model_validate(made)

    async def revoke(self, consent: str, speech_model: str | None) -> None:
        """Revoke a consent, with every voice that hangs on it."""
        async with self._guarded("DELETE", f"{CONSENTS}/{consent}{at(speech_model)}"):
            pass


def at(speech_model: str | None, **query: str) -> str:
    """Write the query that says whose voices are meant."""
    named = {**query, **({"speech_model": speech_model} if speech_model else {})}
    return f"?{httpx.QueryParams(named)}" if named else ""
