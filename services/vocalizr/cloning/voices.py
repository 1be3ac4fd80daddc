"""Voices of the users' own: made, listed, removed, and found for those who speak."""

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast
from uuid import uuid4

from chatacter.chassis.errors import Cancelled, Conflict, InvalidInput, NotFound, Unsupported
from chatacter.contracts.speech import Voice
from chatacter.contracts.voices import MAX_SAMPLES, VoiceDesign
from vocalizr.backend import Blending, Recording, SpeechBackend
from vocalizr.cloning.consents import STOPPED, Consents
from vocalizr.cloning.quality import Demands, require_good
from vocalizr.cloning.records import ConsentRecord, Given, SampleRecord, VoiceRecord
from vocalizr.cloning.store import VoiceStore
from vocalizr.listening.sound import decoded
from vocalizr.listening.speaker import SpeakerEmbedder, likeness

OWN: Final = "voice_"
MOST_VOICES: Final = 200
SAMPLE: Final = Demands(least=3.0, most=60.0)
# Two recordings are of one speaker from this likeness on: docs/adr/0028.
SAME_SPEAKER: Final = 0.83

UNKNOWN: Final = "voice: there is no such voice. GET /v1/audio/voices lists those there are."
NOT_OWN: Final = "voice: only voices of your own can be deleted; their ids begin with voice_."
NO_CLONING: Final = (
    "This model ({model}) cannot speak in another's voice: cloning needs the GPU backend (XTTS). "
    "Voices can be designed here where GET /v1/audio/voices lists some to blend."
)
NOT_SPOKEN: Final = (
    "voice: it is cloned, and this model ({model}) has voices of its own only. Ask for a model that clones: "
    "GET /v1/audio/voices names the model of each voice."
)
NOT_BLENDED: Final = (
    "voice: it is a blend of voices that this model ({model}) does not have. Ask for the model that it was designed "
    "for: GET /v1/audio/voices names the model of each voice."
)
NO_BLENDING: Final = "This model ({model}) has no voices that can be blended; Kokoro has."
NO_SUCH_PART: Final = "blend: there is no voice {unknown}. This model has: {known}."
NUMBER_OF_SAMPLES: Final = f"audio_sample: send 1 to {MAX_SAMPLES} recordings."
ANOTHER: Final = (
    "{param}: its speaker does not sound like the one who consented (likeness {found:.2f}, {needed:.2f} is needed). "
    "Record the sample and the consent with the same voice, and with the same microphone."
)
REVOKED: Final = "consent: it was revoked while the voice was being made; nothing was kept."
FULL: Final = f"voices: at most {MOST_VOICES} at a time. Delete one first."


@dataclass(frozen=True, slots=True)
class Speakable:
    """A voice of somebody's own, and what makes the model speak in it."""

    voice: Voice
    likeness: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """What a new voice is called, by whom it was made and when; `imported_at` is told of one from elsewhere."""

    id: str
    made: Given
    imported_at: int | None = None

    @classmethod
    def here(cls, key: str) -> "Origin":
        """A voice that is made here and now."""
        return cls(f"{OWN}{uuid4().hex}", Given(key=key, at=int(time.time())))


@dataclass(frozen=True, slots=True)
class Cloned:
    """A cloned voice that is yet to be stored, and what the model learnt."""

    record: VoiceRecord
    learnt: bytes
    samples: Sequence[bytes]


class OwnVoices:
    """The voices of every tenant, as one model speaks them. Every method blocks."""

    def __init__(
        self, store: VoiceStore, consents: Consents, embedder: SpeakerEmbedder, backend: SpeechBackend, model: str
    ) -> None:
        self._store = store
        self._consents = consents
        self._embedder = embedder
        self._backend = backend
        self._model = model
        self._learning = threading.Lock()

    def require_cloning(self) -> None:
        """Raise `Unsupported` where no voice can be cloned: nothing of a speaker is stored for nothing."""
        if not self._backend.capabilities.cloning:
            raise Unsupported(NO_CLONING.format(model=self._model))

    def require_room(self, tenant: str) -> None:
        """Raise `InvalidInput` where a tenant has as many voices as it may."""
        if self._store.count(tenant, "voices") >= MOST_VOICES:
            raise InvalidInput(FULL)

    def listed(self, tenant: str) -> Sequence[Voice]:
        """Return the voices that this model can speak."""
        standing = {record.id for record in self._consents.standing(tenant)}
        parts = self._parts()
        return [
            self._shown(record)
            for record in self._store.voices(tenant)
            if self._can(record, parts) and (record.consent is None or record.consent in standing)
        ]

    def get(self, tenant: str, voice_id: str) -> Voice:
        """Return a voice. Raises `NotFound`, also when its consent was revoked."""
        return self._shown(self.record(tenant, voice_id))

    def speakable(self, tenant: str, voice_id: str) -> Speakable | None:
        """Return a voice to speak in. Raises `NotFound`, or `Unsupported` where this model cannot.

        None where what makes the model speak in it is yet to be `learnt`.
        Nothing is kept in memory: a voice that was removed at another replica is gone here too, with what was learnt.
        """
        stored, known = self._store.voice_with_likeness(tenant, voice_id, self._learnt_as)
        record = self._standing(tenant, stored)
        if not self._can(record, self._parts()):
            reason = NOT_SPOKEN if record.kind == "cloned" else NOT_BLENDED
            raise Unsupported(reason.format(model=self._model), param="voice")
        return None if known is None else Speakable(self._shown(record), known)

    def learnt(self, tenant: str, voice_id: str) -> Speakable:
        """Work out what makes the model speak in a voice, one at a time. It is the model's work: have a place there."""
        with self._learning:
            known = self.speakable(tenant, voice_id)
            if known is not None:
                return known
            record = self.record(tenant, voice_id)
            return Speakable(self._shown(record), self._learnt(tenant, record))

    def design(self, tenant: str, design: VoiceDesign, origin: Origin) -> Voice:
        """Make a voice out of others. Raises `InvalidInput` for a part that the model does not have."""
        if not self._backend.capabilities.blending:
            raise Unsupported(NO_BLENDING.format(model=self._model))
        self.require_room(tenant)
        languages = {voice.id: voice.language for voice in self._backend.voices()}
        for part in design.blend:
            if part not in languages:
                raise InvalidInput(NO_SUCH_PART.format(unknown=part, known=", ".join(languages)), param="blend")
        made = VoiceRecord(
            id=origin.id,
            kind="designed",
            name=design.name,
            language=languages[max(design.blend, key=lambda part: design.blend[part])],
            made=origin.made,
            blend=dict(design.blend),
            imported_at=origin.imported_at,
        )
        self._put(tenant, made, self._learnt_of_blend(made))
        return self._shown(made)

    def clone(
        self, tenant: str, key: str, name: str, consent_id: str, samples: Sequence[bytes], cancelled: threading.Event
    ) -> Voice:
        """Make a voice of somebody who consented to it.

        Raises `NotFound` for the consent, `InvalidInput` for a sample that is not good enough or of another speaker,
        and `Misconfigured` where speakers cannot be told apart: without that nothing is cloned.
        """
        self.require_cloning()
        self.require_room(tenant)
        consent = self._consents.get(tenant, consent_id)
        said = self._store.consent_recording(tenant, consent.id)
        return self.keep(tenant, self.likened(name, consent, said, samples, Origin.here(key), cancelled))

    def likened(
        self,
        name: str,
        consent: ConsentRecord,
        said: bytes,
        samples: Sequence[bytes],
        origin: Origin,
        cancelled: threading.Event,
    ) -> Cloned:
        """Learn a voice from samples of the speaker who consented, and store nothing. Raises as `clone` does."""
        if not 1 <= len(samples) <= MAX_SAMPLES:
            raise InvalidInput(NUMBER_OF_SAMPLES, param="audio_sample")
        recordings = [sample_of(data, number, len(samples)) for number, data in enumerate(samples, start=1)]
        alike = self._compared(said, recordings)
        made = VoiceRecord(
            id=origin.id,
            kind="cloned",
            name=name,
            language=consent.language,
            made=origin.made,
            consent=consent.id,
            samples=tuple(map(sample_record, samples, recordings, alike)),
            imported_at=origin.imported_at,
        )
        learnt = self._backend.conditioned(recordings)
        if cancelled.is_set():
            raise Cancelled(STOPPED)
        return Cloned(made, learnt, samples)

    def keep(self, tenant: str, cloned: Cloned) -> Voice:
        """Store a cloned voice. Raises `Conflict` where its consent was revoked meanwhile."""
        made = cloned.record
        self._put(tenant, made, cloned.learnt, cloned.samples)
        try:
            self._consents.get(tenant, made.consent or "")
        except NotFound as error:
            self._store.remove(tenant, "voices", made.id)
            raise Conflict(REVOKED, param="consent") from error
        return self._shown(made)

    def delete(self, tenant: str, voice_id: str) -> None:
        """Remove a voice and what was learnt for it. Raises `NotFound`; one that broke off is removed to its end."""
        if not self._store.holds(tenant, "voices", voice_id):
            raise NotFound(UNKNOWN if voice_id.startswith(OWN) else NOT_OWN, param="voice")
        self._store.remove(tenant, "voices", voice_id)

    def _put(self, tenant: str, made: VoiceRecord, learnt: bytes, samples: Sequence[bytes] = ()) -> None:
        """Store a voice whole, or nothing of it."""
        try:
            self._store.put_likeness(tenant, made.id, self._learnt_as, learnt)
            self._store.put_voice(tenant, made, samples)
        except BaseException:
            self._store.remove(tenant, "voices", made.id)
            raise

    def _compared(self, consent: bytes, recordings: Sequence[Recording]) -> list[float]:
        """Return how alike each sample's speaker is to the consent's. Raises `InvalidInput` for another's."""
        self._embedder.load()
        speaker = self._embedder.embed(decoded(consent, longest=SAMPLE.most, param="consent"))
        found = [likeness(speaker, self._embedder.embed(recording)) for recording in recordings]
        for number, each in enumerate(found, start=1):
            if not each >= SAME_SPEAKER:  # true also of what is no number
                param = named(number, len(found))
                raise InvalidInput(ANOTHER.format(param=param, found=each, needed=SAME_SPEAKER), param="audio_sample")
        return found

    def _learnt(self, tenant: str, record: VoiceRecord) -> bytes:
        """Work out, once for this model, what another model's replica or an older one did not store."""
        if record.kind == "designed":
            made = self._learnt_of_blend(record)
        else:
            samples = list(self._store.samples(tenant, record))
            made = self._backend.conditioned([sample_of(data, n, len(samples)) for n, data in enumerate(samples, 1)])
        self._store.put_likeness(tenant, record.id, self._learnt_as, made)
        if self._store.voice(tenant, record.id) is None:  # removed meanwhile, and this came after
            self._store.remove(tenant, "voices", record.id)
            raise NotFound(UNKNOWN, param="voice")
        return made

    def _learnt_of_blend(self, record: VoiceRecord) -> bytes:
        return cast("Blending", self._backend).blended(record.blend or {})

    @property
    def _learnt_as(self) -> str:
        """The name under which is stored what this model learns; with other weights it is another one."""
        learns = self._backend.capabilities.learns
        return f"{self._model}@{learns}" if learns else self._model

    def _parts(self) -> frozenset[str]:
        """Return the voices that can be blended."""
        if not self._backend.capabilities.blending:
            return frozenset()
        return frozenset(voice.id for voice in self._backend.voices())

    def _can(self, record: VoiceRecord, parts: frozenset[str]) -> bool:
        if record.kind == "cloned":
            return self._backend.capabilities.cloning
        return self._backend.capabilities.blending and (record.blend or {}).keys() <= parts

    def record(self, tenant: str, voice_id: str) -> VoiceRecord:
        """Return what is stored of a voice. Raises `NotFound`, also when its consent was revoked."""
        return self._standing(tenant, self._store.voice(tenant, voice_id))

    def _standing(self, tenant: str, record: VoiceRecord | None) -> VoiceRecord:
        if record is None:
            raise NotFound(UNKNOWN, param="voice")
        if record.consent is not None:
            try:
                self._consents.get(tenant, record.consent)
            except NotFound as error:
                raise NotFound(UNKNOWN, param="voice") from error
        return record

    def _shown(self, record: VoiceRecord) -> Voice:
        return Voice(
            id=record.id,
            name=record.name,
            model=self._model,
            language=record.language,
            kind=record.kind,
            type="blend" if record.kind == "designed" else "audio_sample",
            created_at=record.made.at,
            consent=record.consent,
            blend=record.blend,
        )


def sample_of(data: bytes, number: int, of: int) -> Recording:
    """Decode a sample that is good enough. Raises `InvalidInput`, with what to change."""
    param = named(number, of)
    recording = decoded(data, longest=SAMPLE.most, param=param)
    require_good(recording, SAMPLE, param)
    return recording


def sample_record(data: bytes, sound: Recording, alike: float) -> SampleRecord:
    """Describe a sample for the record."""
    return SampleRecord(
        sha256=hashlib.sha256(data).hexdigest(), seconds=sound.samples.size / sound.rate, likeness=alike
    )


def named(number: int, of: int) -> str:
    """Name a sample in sentences: by its place where there are several."""
    return "audio_sample" if of == 1 else f"audio_sample {number} of {of}"
