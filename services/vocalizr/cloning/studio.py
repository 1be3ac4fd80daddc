"""Voices of the users' own, beside the event loop: heavy work has a place at the model or at the transcriber."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.errors import NotFound, Unavailable
from chatacter.chassis.whose import Whose
from chatacter.contracts.speech import Voice
from chatacter.contracts.voices import VoiceArchive, VoiceConsent, VoiceDesign
from chatacter.serving.gate import Gate
from chatacter.serving.loading import Loading
from chatacter.serving.work import whole
from vocalizr.backend import SpeechBackend
from vocalizr.cloning.consents import Consents
from vocalizr.cloning.moving import Moving
from vocalizr.cloning.voices import Origin, OwnVoices, Speakable
from vocalizr.voices import found

ENDED: Final = "voice: it was deleted, or the consent to it revoked, while it was speaking."


@dataclass(frozen=True, slots=True)
class Studio:
    """Where voices are made and found. `gate` is the model's, `hearing` the transcriber's."""

    voices: OwnVoices
    moving: Moving
    consents: Consents
    backend: SpeechBackend
    loading: Loading
    gate: Gate
    hearing: Gate

    async def given(self, asked: Whose, name: str, language: str, recording: bytes) -> VoiceConsent:
        """Take a consent."""
        self.voices.require_cloning()

        def work(cancelled: threading.Event) -> VoiceConsent:
            return self.consents.give(asked.tenant, asked.key, name, language, recording, cancelled).shown()

        async with self.hearing.place():
            return await whole(work)

    async def designed(self, asked: Whose, design: VoiceDesign) -> Voice:
        """Blend a voice."""
        async with self.loading.used():
            return await whole(lambda _: self.voices.design(asked.tenant, design, Origin.here(asked.key)))

    async def cloned(self, asked: Whose, name: str, consent: str, samples: Sequence[bytes]) -> Voice:
        """Clone a voice."""
        self.voices.require_cloning()

        def work(cancelled: threading.Event) -> Voice:
            return self.voices.clone(asked.tenant, asked.key, name, consent, samples, cancelled)

        async with self.loading.used(), self.gate.place():
            return await whole(work)

    async def taken(self, asked: Whose, voice_id: str) -> VoiceArchive:
        """Take a voice of the tenant's own along. Raises `NotFound`."""
        return await asyncio.to_thread(self.moving.take, asked.tenant, voice_id)

    async def put(self, asked: Whose, archive: VoiceArchive) -> Voice:
        """Put a voice down that was taken along; one that is here already is told as it is."""
        known = await asyncio.to_thread(self.moving.known, asked.tenant, archive)
        if known is not None:
            return known
        if archive.consent is None:
            async with self.loading.used():
                return await whole(lambda _: self.moving.put_designed(asked.tenant, asked.key, archive))
        self.voices.require_cloning()
        said = archive.consent
        async with self.hearing.place():
            consent = await whole(lambda stop: self.consents.brought(asked.tenant, asked.key, said, stop))
        async with self.loading.used(), self.gate.place():
            return await whole(lambda stop: self.moving.put_cloned(asked.tenant, asked.key, archive, consent, stop))

    async def listed(self, tenant: str) -> Sequence[Voice]:
        """List the voices that came with the model, then the tenant's own."""
        async with self.loading.used():
            built_in = await asyncio.to_thread(self.backend.voices)
            return [*built_in, *await asyncio.to_thread(self.voices.listed, tenant)]

    async def built_in(self, voice_id: str) -> Voice:
        """Show a voice that came with the model. Raises `NotFound`."""
        async with self.loading.used():
            return found(await asyncio.to_thread(self.backend.voices), voice_id)

    async def own(self, asked: Whose, voice_id: str) -> Voice:
        """Show a voice of the tenant's own, whether this model can speak it or not. Raises `NotFound`."""
        return await asyncio.to_thread(self.voices.get, asked.tenant, voice_id)

    async def deleted(self, asked: Whose, voice_id: str) -> None:
        """Remove a voice of the tenant's own. Raises `NotFound`."""
        await whole(lambda _: self.voices.delete(asked.tenant, voice_id))

    async def require_standing(self, tenant: str, voice_id: str) -> None:
        """Raise `NotFound` once a voice was removed. Where the store is away it is let be; the next look tells."""
        try:
            await asyncio.to_thread(self.voices.record, tenant, voice_id)
        except NotFound as error:
            raise NotFound(ENDED, param="voice") from error
        except Unavailable:
            return

    async def speakable(self, tenant: str, voice_id: str) -> Speakable:
        """Find a tenant's own voice to speak in. Raises `NotFound`, `Unsupported`, `Busy` to learn it."""
        async with self.loading.used():
            known = await asyncio.to_thread(self.voices.speakable, tenant, voice_id)
            if known is not None:
                return known
            async with self.gate.place():
                return await whole(lambda _: self.voices.learnt(tenant, voice_id))
