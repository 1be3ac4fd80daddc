"""Voices: which there are, made of others or cloned from somebody who consents, heard, chosen, taken back."""

import asyncio
import base64
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

import orjson

from chatacter.client.api import Api
from chatacter.client.connection import Upload
from chatacter.client.errors import ClientError
from chatacter.contracts.speech import MEDIA_TYPES, Voice, VoiceList
from chatacter.contracts.voices import VoiceConsent
from chattr.ui import words
from chattr.ui.seat import Seat
from chattr.ui.turn import AUDIO_FORMAT, data_url

# What a voice says so that one knows how it sounds, by the language that it speaks.
SAMPLES: Final = {
    "en": "Good evening. The lamps are lit, and there is time for a story.",
    "de": "Guten Abend. Die Lampen brennen, und es ist Zeit für eine Geschichte.",
    "es": "Buenas noches. Las lámparas están encendidas, y hay tiempo para una historia.",
    "fr": "Bonsoir. Les lampes sont allumées, et nous avons le temps d'une histoire.",
    "it": "Buonasera. Le lampade sono accese, e c'è tempo per una storia.",
    "pt": "Boa noite. As lâmpadas estão acesas, e há tempo para uma história.",
    "hi": "नमस्ते। दीये जल रहे हैं, और कहानी के लिए समय है।",
    "ja": "こんばんは。明かりが灯り、物語の時間です。",
    "zh": "晚上好。灯亮了，现在是讲故事的时间。",
}
TRIED: Final = "Heard once"
CHOSEN: Final = "{name} speaks with {voice} from now on."
MADE: Final = "{voice} is there. Listen to it, or choose it for {name}."
AGREED: Final = "{name}'s consent is kept. Now add recordings of the same voice."

Shown = dict[str, Any]


class Studio:
    """One thing that is done in the sheet; `shown` describes to the browser what is there then."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._shown: Shown = {"told": "", "good": False, "sound": "", "made": "", "agreed": ""}
        self._voices = VoiceList(data=[])
        self._cloner: str | None = None
        self._refused = ""

    async def do(self, deed: str, event: Any) -> Shown:
        """Do it; what went wrong is told in a sentence."""
        try:
            async with self._seat.api() as api:
                self._voices = await api.voice_list()
                await self._find_cloner(api)
                try:
                    await self._do(api, deed, event)
                except ClientError as error:
                    self._shown["told"] = words.told_of(error)
                if deed not in {"hear", "try"}:
                    self._voices = await api.voice_list()
                await self._show(api)
        except ClientError as error:
            self._shown |= {"told": words.told_of(error), "away": True}
        return {**self._shown, "at": time.time(), "deed": deed}

    async def _do(self, api: Api, deed: str, event: Any) -> None:
        if deed == "hear":
            await self._hear(api, str(event.voice))
        elif deed == "try":
            await self._try(api, blend_of(event))
        elif deed == "design":
            self._made(await api.design_voice(str(event.name), blend := blend_of(event), self._model_of(blend)))
        elif deed == "delete":
            await api.delete_voice(str(event.voice), self._voice(str(event.voice)).model)
        elif deed == "use":
            await self._use(api, self._voice(str(event.voice)))
        else:
            await self._clone(api, deed, event)

    async def _clone(self, api: Api, deed: str, event: Any) -> None:
        if deed == "consent":
            (recording,) = uploads(event)
            agreed = await api.consent(str(event.name), str(event.language), recording, self._cloner)
            self._tell(AGREED.format(name=agreed.name), agreed=agreed.id)
        elif deed == "clone":
            self._made(await api.clone_voice(str(event.name), str(event.consent), uploads(event), self._cloner))
        elif deed == "revoke":
            await api.revoke(str(event.consent), self._cloner)

    async def _hear(self, api: Api, voice_id: str) -> None:
        voice = self._voice(voice_id)
        text = SAMPLES.get(voice.language.partition("-")[0].lower(), SAMPLES["en"])
        spoken = api.speak(text, voice=voice.id, model=voice.model, audio_format=AUDIO_FORMAT)
        async with aclosing(spoken) as chunks:
            self._shown["sound"] = data_url(b"".join([chunk async for chunk in chunks]), MEDIA_TYPES[AUDIO_FORMAT])

    async def _try(self, api: Api, blend: dict[str, float]) -> None:
        """Hear a blend that nobody has decided to keep."""
        made = await api.design_voice(TRIED, blend, self._model_of(blend))
        self._voices.data.append(made)
        try:
            await self._hear(api, made.id)
        finally:
            self._voices.data.remove(made)
            await asyncio.shield(api.delete_voice(made.id, made.model))

    async def _use(self, api: Api, voice: Voice) -> None:
        who = self._seat.character
        if who is None:
            return
        found, etag = await api.character(who.id)
        chosen = {"voice": voice.id, "speech_model": named_model(voice, self._voices)}
        await api.replace_character({**found, **chosen}, etag)
        await self._seat.recast(who.id)
        self._tell(CHOSEN.format(name=who.name, voice=voice.name))

    async def _find_cloner(self, api: Api) -> None:
        """Find the model that clones; where there is none, why the characters' own does not."""
        models = [*dict.fromkeys([self._voices.model, *(voice.model for voice in self._voices.data)])]
        self._shown["phrases"] = []
        for model in filter(None, models):
            try:
                phrases = await api.consent_phrases(model)
            except ClientError as error:
                self._refused = self._refused or words.told_of(error)
                continue
            self._cloner, self._refused = model, ""
            self._shown["phrases"] = [each.model_dump() for each in phrases]
            return

    async def _show(self, api: Api) -> None:
        who = self._seat.character
        consents = await api.consents(self._cloner) if self._cloner else []
        found, _ = await api.character(who.id) if who else ({}, "")
        self._shown |= {
            "name": who.name if who else "",
            "chosen": found.get("voice"),
            "refused": self._refused,
            "voices": [described(voice) for voice in self._voices.data],
            "consents": [self._described(consent) for consent in consents],
            "asleep": "\n".join(self._voices.away.values()),
        }

    def _described(self, consent: VoiceConsent) -> Shown:
        hanging = [voice.name for voice in self._voices.data if voice.consent == consent.id]
        return {**consent.model_dump(), "voices": hanging}

    def _made(self, voice: Voice) -> None:
        who = self._seat.character
        self._tell(MADE.format(voice=voice.name, name=who.name if who else "a character"), made=voice.id)

    def _tell(self, sentence: str, **more: str) -> None:
        self._shown |= {"told": sentence, "good": True, **more}

    def _voice(self, voice_id: str) -> Voice:
        for voice in self._voices.data:
            if voice.id == voice_id:
                return voice
        raise ClientError(words.NO_SUCH_VOICE)

    def _model_of(self, blend: dict[str, float]) -> str | None:
        return self._voice(next(iter(blend))).model if blend else None


def named_model(voice: Voice, voices: VoiceList) -> str | None:
    """Return the speech model that a character has to name with this voice; None where it is everybody's."""
    return None if voice.model == voices.model else voice.model


def described(voice: Voice) -> Shown:
    """Describe a voice to the browser."""
    return voice.model_dump(include={"id", "name", "model", "language", "kind", "blend", "consent"})


def blend_of(event: Any) -> dict[str, float]:
    """Read a blend: voices, each with its share."""
    return {str(name): float(share) for name, share in orjson.loads(str(event.blend)).items() if float(share) > 0}


def uploads(event: Any) -> Sequence[Upload]:
    """Read recordings as the browser sends them."""
    sent = orjson.loads(str(event.recordings))
    return [(str(each["name"]), base64.b64decode(each["data"]), str(each["type"])) for each in sent]
