"""Voices taken along as files, and put down elsewhere as if they were made there.

Nothing in a file is believed. A consent is listened to and samples are compared with it as for every other voice, and
what a model learns of a speaker is learnt anew. A voice is called by what it is made of, so that one that is put down
twice is one, and none takes the place of another.
"""

import hashlib
import json
import threading
import time
from typing import Final

from chatacter.chassis.errors import InvalidInput, NotFound
from chatacter.contracts.speech import Voice
from chatacter.contracts.voices import ConsentArchive, VoiceArchive, VoiceDesign
from vocalizr.cloning.consents import Consents, sha256_of
from vocalizr.cloning.records import ConsentRecord, Given, VoiceRecord
from vocalizr.cloning.store import ID, VoiceStore
from vocalizr.cloning.voices import OWN, UNKNOWN, Origin, OwnVoices

NO_CONSENT: Final = (
    "consent: a cloned voice comes with the recorded consent of its speaker, and this archive holds none. "
    "Nothing of it was taken."
)
NO_BLEND: Final = "blend: a designed voice is made of a blend, and of nothing else."
ONLY_SAMPLES: Final = "blend: a cloned voice is made of samples, not of a blend."


class Moving:
    """Takes the voices of every tenant along, and puts them down for one model. Every method blocks."""

    def __init__(self, store: VoiceStore, consents: Consents, voices: OwnVoices) -> None:
        self._store = store
        self._consents = consents
        self._voices = voices

    def take(self, tenant: str, voice_id: str) -> VoiceArchive:
        """Return a voice with all that it was made of. Raises `NotFound`, also when its consent was revoked."""
        if not ID.fullmatch(voice_id):
            raise NotFound(UNKNOWN, param="voice")
        record = self._voices.record(tenant, voice_id)
        return VoiceArchive(
            id=record.id,
            kind=record.kind,
            name=record.name,
            created_at=record.made.at,
            blend=record.blend,
            consent=self._consent(tenant, record.consent) if record.consent else None,
            samples=tuple(self._store.samples(tenant, record)),
        )

    def known(self, tenant: str, archive: VoiceArchive) -> Voice | None:
        """Return a voice that is here already, under its own name or the one that it got here.

        Raises `InvalidInput` for one that cannot be put down anywhere.
        """
        require_whole(archive)
        for voice_id in (archive.id, name_of(archive)):
            record = self._store.voice(tenant, voice_id)
            if record is not None and self._content(tenant, record) == content_of(archive):
                return self._voices.get(tenant, voice_id)
        return None

    def put_designed(self, tenant: str, key: str, archive: VoiceArchive) -> Voice:
        """Put a designed voice down. Raises `InvalidInput` for a part that the model does not have."""
        design = VoiceDesign(name=archive.name, blend=archive.blend or {})
        return self._voices.design(tenant, design, self._origin(tenant, key, archive))

    def put_cloned(
        self, tenant: str, key: str, archive: VoiceArchive, consent: ConsentRecord, cancelled: threading.Event
    ) -> Voice:
        """Put a cloned voice down with its consent, which was judged. Raises as making it would, and keeps nothing."""
        said = archive.consent
        if said is None:
            raise InvalidInput(NO_CONSENT, param="consent")
        self._voices.require_room(tenant)
        origin = self._origin(tenant, key, archive)
        cloned = self._voices.likened(archive.name, consent, said.recording, archive.samples, origin, cancelled)
        new = self._store.consent(tenant, consent.id) is None
        if new:
            self._consents.keep(tenant, consent, said.recording)
        try:
            return self._voices.keep(tenant, cloned)
        except BaseException:
            if new:
                self._store.remove(tenant, "consents", consent.id)
            raise

    def _consent(self, tenant: str, consent_id: str) -> ConsentArchive:
        record = self._consents.get(tenant, consent_id)
        recording = self._store.consent_recording(tenant, consent_id)
        return ConsentArchive(name=record.name, language=record.language, given_at=record.given.at, recording=recording)

    def _origin(self, tenant: str, key: str, archive: VoiceArchive) -> Origin:
        """Name a voice. What a removal that broke off left under its name goes first."""
        name = name_of(archive)
        if self._store.marked_removed(tenant, "voices", name):
            self._store.remove(tenant, "voices", name)
        now = int(time.time())
        return Origin(name, Given(key=key, at=min(archive.created_at, now)), imported_at=now)

    def _content(self, tenant: str, record: VoiceRecord) -> str:
        """Say what a stored voice is made of."""
        consent = self._consents.get(tenant, record.consent) if record.consent else None
        said = (consent.recording_sha256, consent.language) if consent else None
        return content(record.name, record.blend, said, [sample.sha256 for sample in record.samples])


def require_whole(archive: VoiceArchive) -> None:
    """Refuse what is no voice. Raises `InvalidInput`."""
    if archive.kind == "designed" and (archive.blend is None or archive.consent or archive.samples):
        raise InvalidInput(NO_BLEND, param="blend")
    if archive.kind == "cloned" and archive.blend is not None:
        raise InvalidInput(ONLY_SAMPLES, param="blend")
    if archive.kind == "cloned" and archive.consent is None:
        raise InvalidInput(NO_CONSENT, param="consent")


def content_of(archive: VoiceArchive) -> str:
    """Say what a voice is made of."""
    said = (sha256_of(archive.consent.recording), archive.consent.language) if archive.consent else None
    return content(archive.name, archive.blend, said, [sha256_of(sample) for sample in archive.samples])


def content(name: str, blend: dict[str, float] | None, said: tuple[str, str] | None, samples: list[str]) -> str:
    """Write what makes a voice what it is, alike wherever it is."""
    return json.dumps([name, blend, said, samples], sort_keys=True)


def name_of(archive: VoiceArchive) -> str:
    """Return what a voice from elsewhere is called here."""
    return f"{OWN}{hashlib.sha256(content_of(archive).encode()).hexdigest()[:32]}"
