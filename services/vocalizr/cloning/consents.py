"""Consents: given by saying a phrase, and revoked at any time, for every replica at once."""

import hashlib
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from uuid import uuid4

from chatacter.chassis.errors import Cancelled, Conflict, InvalidInput, NotFound
from chatacter.contracts.voices import ConsentArchive
from vocalizr.cloning.consent import phrase_of, require_said
from vocalizr.cloning.quality import Demands, require_good
from vocalizr.cloning.records import ConsentRecord, Given
from vocalizr.cloning.store import VoiceStore
from vocalizr.listening.sound import decoded
from vocalizr.listening.transcriber import Hint, Transcriber

CONSENT: Final = "cons_"
MOST_CONSENTS: Final = 200
SPOKEN: Final = Demands(least=2.0, most=30.0)

UNKNOWN: Final = "There is no such consent, or it was revoked. GET /v1/audio/voice_consents lists those there are."
REVOKED: Final = (
    "recording: the consent that it holds was revoked here. Whoever consents again says the phrase once more, "
    "into a new recording."
)
STOPPED: Final = "The client left; nothing was kept."
FULL: Final = f"consents: at most {MOST_CONSENTS} at a time. Revoke one first."


class Consents:
    """The consents of every tenant. Every method blocks."""

    def __init__(self, store: VoiceStore, transcriber: Transcriber) -> None:
        self._store = store
        self._transcriber = transcriber

    def give(
        self, tenant: str, key: str, name: str, language: str, recording: bytes, cancelled: threading.Event
    ) -> ConsentRecord:
        """Store a consent whose recording is good and says the phrase. Raises `InvalidInput`, `Unsupported`.

        Without a transcriber nothing is believed: raises `Misconfigured`.
        """
        said = ConsentArchive(name=name, language=language, given_at=int(time.time()), recording=recording)
        record = self._judged(tenant, f"{CONSENT}{uuid4().hex}", key, said, cancelled)
        self.keep(tenant, record, recording)
        return record

    def brought(self, tenant: str, key: str, said: ConsentArchive, cancelled: threading.Event) -> ConsentRecord:
        """Judge a consent from elsewhere as one that is given here, and store nothing. One that stands here stays.

        It is called by what it is, so that one that comes twice is one. Raises what `give` raises.
        """
        digest = hashlib.sha256(f"{sha256_of(said.recording)}/{said.language}".encode()).hexdigest()
        consent_id = f"{CONSENT}{digest[:32]}"
        self._require_unrevoked(tenant, said.recording)
        known = next((one for one in self.standing(tenant) if same(one, said)), None)
        if known is not None:
            return known
        record = self._judged(tenant, consent_id, key, said, cancelled)
        return record.model_copy(update={"imported_at": int(time.time())})

    def keep(self, tenant: str, record: ConsentRecord, recording: bytes) -> None:
        """Store a consent that was judged. Raises `Conflict` where it was revoked meanwhile."""
        if self._store.marked_removed(tenant, "consents", record.id):
            self._store.remove(tenant, "consents", record.id)
        self._store.put_consent(tenant, record, recording)
        if self._store.revoked(tenant, record.recording_sha256):
            self._store.remove(tenant, "consents", record.id)
            raise Conflict(REVOKED, param="recording")

    def _judged(
        self, tenant: str, consent_id: str, key: str, said: ConsentArchive, cancelled: threading.Event
    ) -> ConsentRecord:
        code, phrase = phrase_of(said.language)
        if self._store.count(tenant, "consents") >= MOST_CONSENTS:
            raise InvalidInput(FULL)
        self._require_unrevoked(tenant, said.recording)
        sound = decoded(said.recording, longest=SPOKEN.most, param="recording")
        require_good(sound, SPOKEN, "recording")
        self._transcriber.load()
        # Not told what to expect: a transcriber that knows the phrase would hear it in anything.
        heard = self._transcriber.transcribe(sound, Hint(language=code), cancelled).text
        if cancelled.is_set():  # what was heard is the beginning alone
            raise Cancelled(STOPPED)
        return ConsentRecord(
            id=consent_id,
            name=said.name,
            language=said.language,
            given=Given(key=key, at=min(said.given_at, int(time.time()))),
            phrase=phrase,
            heard=heard,
            word_error_rate=require_said(heard, code),
            recording_sha256=sha256_of(said.recording),
        )

    def _require_unrevoked(self, tenant: str, recording: bytes) -> None:
        if self._store.revoked(tenant, sha256_of(recording)):
            raise Conflict(REVOKED, param="recording")

    def standing(self, tenant: str) -> Sequence[ConsentRecord]:
        """Return the consents that stand, the newest first."""
        return self._store.consents(tenant)

    def get(self, tenant: str, consent_id: str) -> ConsentRecord:
        """Return a consent that stands. Raises `NotFound`."""
        record = self._store.consent(tenant, consent_id)
        if record is None:
            raise NotFound(UNKNOWN, param="consent")
        return record

    def rename(self, tenant: str, consent_id: str, name: str) -> ConsentRecord:
        """Give a consent another label. Raises `NotFound`, also where it is revoked meanwhile: that stands."""
        renamed = self.get(tenant, consent_id).model_copy(update={"name": name})
        self._store.put_consent(tenant, renamed)
        if not self._store.marked_removed(tenant, "consents", consent_id):
            if self._store.has_recording(tenant, consent_id):
                return renamed
            self._store.remove(tenant, "consents", consent_id)
        raise NotFound(UNKNOWN, param="consent")

    def revoke(self, tenant: str, consent_id: str) -> None:
        """Take a consent back, with all others that the same recording gave.

        Raises `NotFound`; one whose removal broke off is removed to its end.

        That the recording counts no more is put down for good, so that no archive brings it back. The next writes end
        its voices on every replica. What was learnt of the speaker is removed after that, and the recording last, so
        that a broken-off removal can be repeated.
        """
        if not self._store.holds(tenant, "consents", consent_id):
            raise NotFound(UNKNOWN, param="consent")
        ended = [consent_id]
        with suppress(NotFound):  # a revocation that broke off put it down before it removed the recording
            said = sha256_of(self._store.consent_recording(tenant, consent_id))
            self._store.mark_revoked(tenant, said)
            ended += [other for other in self._store.consents_by(tenant, said) if other != consent_id]
        for each in ended:
            self._store.mark_removed(tenant, "consents", each)
        for voice in self._store.voices(tenant, removed=True):
            if voice.consent in ended:
                self._store.remove(tenant, "voices", voice.id)
        for each in reversed(ended):  # the one that was named last: by its recording the others are found again
            self._store.remove(tenant, "consents", each)


def same(one: ConsentRecord, said: ConsentArchive) -> bool:
    """Whether a consent is the one that was taken along, whatever it is called."""
    return one.recording_sha256 == sha256_of(said.recording) and one.language == said.language


def sha256_of(recording: bytes) -> str:
    """Return what a recording is told from others by."""
    return hashlib.sha256(recording).hexdigest()
