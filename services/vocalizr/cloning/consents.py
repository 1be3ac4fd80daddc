"""Consents: given by saying a phrase, and revoked at any time, for every replica at once."""

import hashlib
import threading
import time
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from chatacter.chassis.errors import Cancelled, InvalidInput, NotFound
from vocalizr.cloning.consent import phrase_of, require_said
from vocalizr.cloning.quality import Demands, require_good
from vocalizr.cloning.records import ConsentRecord, Given
from vocalizr.cloning.store import VoiceStore
from vocalizr.listening.sound import decoded
from vocalizr.listening.transcriber import Hint, Transcriber

MOST_CONSENTS: Final = 200
SPOKEN: Final = Demands(least=2.0, most=30.0)

UNKNOWN: Final = "There is no such consent, or it was revoked. GET /v1/audio/voice_consents lists those there are."
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
        code, phrase = phrase_of(language)
        if self._store.count(tenant, "consents") >= MOST_CONSENTS:
            raise InvalidInput(FULL)
        sound = decoded(recording, longest=SPOKEN.most, param="recording")
        require_good(sound, SPOKEN, "recording")
        self._transcriber.load()
        # Not told what to expect: a transcriber that knows the phrase would hear it in anything.
        heard = self._transcriber.transcribe(sound, Hint(language=code), cancelled).text
        if cancelled.is_set():  # what was heard is the beginning alone
            raise Cancelled(STOPPED)
        wrong = require_said(heard, code)
        record = ConsentRecord(
            id=f"cons_{uuid4().hex}",
            name=name,
            language=language,
            given=Given(key=key, at=int(time.time())),
            phrase=phrase,
            heard=heard,
            word_error_rate=wrong,
            recording_sha256=hashlib.sha256(recording).hexdigest(),
        )
        self._store.put_consent(tenant, record, recording)
        return record

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
        """Take a consent back. Raises `NotFound`; one whose removal broke off is removed to its end.

        The first write ends its voices on every replica. What was learnt of the speaker is removed after that, and the
        recording last, so that a broken-off removal can be repeated.
        """
        if not self._store.holds(tenant, "consents", consent_id):
            raise NotFound(UNKNOWN, param="consent")
        self._store.mark_removed(tenant, "consents", consent_id)
        for voice in self._store.voices(tenant):
            if voice.consent == consent_id:
                self._store.remove(tenant, "voices", voice.id)
        self._store.remove(tenant, "consents", consent_id)
