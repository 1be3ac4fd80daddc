"""The studios of one process: one a model, over one store and one pair of ears."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.errors import NotFound
from chatacter.chassis.whose import Whose
from chatacter.contracts.speech import Voice
from chatacter.contracts.voices import VoiceArchive
from chatacter.filestore import FileStore
from chatacter.models.store import ModelStore
from chatacter.serving.gate import Gate
from chatacter.serving.service import Place
from vocalizr.backend import SpeechBackend, SpeechCapabilities
from vocalizr.cloning.consents import Consents
from vocalizr.cloning.moving import Moving
from vocalizr.cloning.store import VoiceStore
from vocalizr.cloning.studio import Studio
from vocalizr.cloning.sweeping import swept
from vocalizr.cloning.voices import OWN, OwnVoices
from vocalizr.listening.ge2e import Ge2eSpeaker
from vocalizr.listening.speaker import SpeakerEmbedder
from vocalizr.listening.transcriber import Transcriber
from vocalizr.listening.whisper import WhisperTranscriber
from vocalizr.settings import VocalizrSettings

NO_MODEL: Final = "speech_model: there is no such model here. Served: {served}."


@dataclass(frozen=True, slots=True)
class Ears:
    """What listens: to what is said, and to who says it."""

    transcriber: Transcriber
    embedder: SpeakerEmbedder


def ears_of(settings: VocalizrSettings) -> Ears:
    """Make the ears that the settings name. They are loaded when they are first needed."""
    models = ModelStore(settings.models_dir)
    transcriber = WhisperTranscriber(
        models,
        name=settings.vocalizr_transcriber,
        threads=settings.vocalizr_threads,
        side_by_side=settings.vocalizr_listening_concurrency,
    )
    return Ears(transcriber, Ge2eSpeaker(models))


def store_of(settings: VocalizrSettings) -> VoiceStore:
    """Make the store that the settings name. It is opened when it is first needed."""
    return VoiceStore(FileStore(settings.voices_root, "VOCALIZR_VOICES_URL"))


@asynccontextmanager
async def kept(ears: Ears, store: VoiceStore) -> AsyncIterator[None]:
    """Sweep the store for the length of the block; at its end close the ears."""
    async with swept(store):
        try:
            yield
        finally:
            await asyncio.to_thread(ears.transcriber.close)
            await asyncio.to_thread(ears.embedder.close)


class Studios:
    """Finds the model that a request about voices concerns: the one it names, else one that can do what is asked."""

    def __init__(
        self,
        settings: VocalizrSettings,
        ears: Ears,
        store: VoiceStore,
        backends: Mapping[str, SpeechBackend],
        places: Sequence[Place],
    ) -> None:
        self.hearing = Gate(settings.vocalizr_listening_concurrency, settings.vocalizr_queue)
        self.consents = Consents(store, ears.transcriber)
        self._by_name: dict[str, Studio] = {}
        for place in places:
            backend = backends[place.model]
            voices = OwnVoices(store, self.consents, ears.embedder, backend, place.model)
            moving = Moving(store, self.consents, voices)
            self._by_name[place.model] = Studio(
                voices, moving, self.consents, backend, place.loading, place.gate, self.hearing
            )

    def named(self, model: str) -> Studio:
        """Return a model's studio. Raises `NotFound` with the models that are served."""
        if model not in self._by_name:
            raise NotFound(NO_MODEL.format(served=", ".join(self._by_name)), param="speech_model")
        return self._by_name[model]

    def cloning(self, model: str | None) -> Studio:
        """Return where voices are cloned: at the named model, else at one that clones, else at the first."""
        return self._able(model, lambda capable: capable.cloning)

    def blending(self, model: str | None) -> Studio:
        """Return where voices are designed."""
        return self._able(model, lambda capable: capable.blending)

    async def voice(self, asked: Whose, voice_id: str) -> Voice:
        """Show one voice, as a model that can speak it does. Raises `NotFound`."""
        if voice_id.startswith(OWN):
            kind = (await next(iter(self._by_name.values())).own(asked, voice_id)).kind
            return await (self.cloning if kind == "cloned" else self.blending)(None).own(asked, voice_id)
        told: NotFound | None = None
        for studio in self._by_name.values():
            try:
                return await studio.built_in(voice_id)
            except NotFound as error:
                told = error
        raise told or NotFound(NO_MODEL.format(served="none"))

    async def delete(self, asked: Whose, voice_id: str) -> None:
        """Remove a voice of one's own, whichever model speaks it. Raises `NotFound`."""
        await next(iter(self._by_name.values())).deleted(asked, voice_id)

    async def taken(self, asked: Whose, voice_id: str) -> VoiceArchive:
        """Take a voice of one's own along, whichever model speaks it. Raises `NotFound`."""
        return await next(iter(self._by_name.values())).taken(asked, voice_id)

    async def put(self, asked: Whose, archive: VoiceArchive, model: str | None) -> Voice:
        """Put a voice down at the named model, else at one that can speak it."""
        studio = self.blending(model) if archive.kind == "designed" else self.cloning(model)
        return await studio.put(asked, archive)

    def _able(self, model: str | None, able: Callable[[SpeechCapabilities], bool]) -> Studio:
        if model is not None:
            return self.named(model)
        studios = list(self._by_name.values())
        return next((each for each in studios if able(each.backend.capabilities)), studios[0])
