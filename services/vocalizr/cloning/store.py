"""Where voices and consents lie: files under `VOCALIZR_VOICES_URL`, so that any replica can speak any voice.

    <tenant>/consents/<id>/record.json  recording
    <tenant>/voices/<id>/record.json    sample-1 … sample-5, likeness/<model>

A record is written last and removed first: what no record names is not there. Every method blocks.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, Literal, TypeVar

from pydantic import ValidationError

from chatacter.chassis.errors import Misconfigured, NotFound
from chatacter.filestore import FileStore, safe
from vocalizr.cloning.records import ConsentRecord, VoiceRecord

R = TypeVar("R", ConsentRecord, VoiceRecord)
Kind = Literal["consents", "voices"]

RECORD: Final = "record.json"
RECORDING: Final = "recording"
ID: Final = re.compile(r"(?:voice|cons)_[0-9a-f]{32}")
OTHER_VERSION: Final = "A stored voice was written by another version of Vocalizr. Run one version at a time."


class VoiceStore:
    """The voices and consents of every tenant. No path can be made without one."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    def consent(self, tenant: str, consent_id: str) -> ConsentRecord | None:
        """Return a consent, revoked ones too."""
        return self._record(tenant, "consents", consent_id, ConsentRecord)

    def consents(self, tenant: str) -> Sequence[ConsentRecord]:
        """Return all consents of a tenant, the newest first."""
        found = self._records(tenant, "consents", ConsentRecord)
        return sorted(found, key=lambda each: (each.given.at, each.id), reverse=True)

    def put_consent(self, tenant: str, record: ConsentRecord, recording: bytes | None = None) -> None:
        """Store a consent; without a recording its record alone, anew."""
        folder = self._folder(tenant, "consents", record.id)
        if recording is not None:
            self._files.open().write(f"{folder}/{RECORDING}", recording)
        self._files.open().write(f"{folder}/{RECORD}", record.model_dump_json().encode())

    def consent_recording(self, tenant: str, consent_id: str) -> bytes:
        """Return what was said. Raises `NotFound`."""
        return self._files.open().read(f"{self._folder(tenant, 'consents', consent_id)}/{RECORDING}")

    def voice(self, tenant: str, voice_id: str) -> VoiceRecord | None:
        """Return a voice."""
        return self._record(tenant, "voices", voice_id, VoiceRecord)

    def voices(self, tenant: str) -> Sequence[VoiceRecord]:
        """Return all voices of a tenant, the oldest first."""
        return sorted(self._records(tenant, "voices", VoiceRecord), key=lambda each: (each.made.at, each.id))

    def put_voice(self, tenant: str, record: VoiceRecord, samples: Sequence[bytes] = ()) -> None:
        """Store a voice."""
        folder = self._folder(tenant, "voices", record.id)
        for number, sample in enumerate(samples, start=1):
            self._files.open().write(f"{folder}/sample-{number}", sample)
        self._files.open().write(f"{folder}/{RECORD}", record.model_dump_json().encode())

    def samples(self, tenant: str, record: VoiceRecord) -> Iterator[bytes]:
        """Yield what a voice was cloned from. Raises `NotFound`."""
        folder = self._folder(tenant, "voices", record.id)
        for number in range(1, len(record.samples) + 1):
            yield self._files.open().read(f"{folder}/sample-{number}")

    def likeness(self, tenant: str, voice_id: str, model: str) -> bytes | None:
        """Return what makes a model speak in this voice, where it was worked out already."""
        try:
            return self._files.open().read(f"{self._folder(tenant, 'voices', voice_id)}/likeness/{safe(model)}")
        except NotFound:
            return None

    def put_likeness(self, tenant: str, voice_id: str, model: str, likeness: bytes) -> None:
        """Store it."""
        self._files.open().write(f"{self._folder(tenant, 'voices', voice_id)}/likeness/{safe(model)}", likeness)

    def remove(self, tenant: str, kind: Kind, record_id: str) -> None:
        """Remove a record, then all that lies beside it; what is left of an earlier attempt too."""
        folder = self._folder(tenant, kind, record_id)
        with suppress(NotFound):
            self._files.open().remove(f"{folder}/{RECORD}")
        self._files.remove_folder(folder)

    def count(self, tenant: str, kind: Kind) -> int:
        """Return how many there are, half-removed ones included."""
        return len(self._files.open().names(f"{safe(tenant)}/{kind}"))

    def _records(self, tenant: str, kind: Kind, form: type[R]) -> Iterator[R]:
        for name in self._files.open().names(f"{safe(tenant)}/{kind}"):
            record = self._record(tenant, kind, name, form)
            if record is not None:
                yield record

    def _record(self, tenant: str, kind: Kind, record_id: str, form: type[R]) -> R | None:
        if not ID.fullmatch(record_id):
            return None
        try:
            stored = self._files.open().read(f"{self._folder(tenant, kind, record_id)}/{RECORD}")
        except NotFound:
            return None
        try:
            return form.model_validate_json(stored)
        except ValidationError as error:
            raise Misconfigured(OTHER_VERSION) from error

    def _folder(self, tenant: str, kind: Kind, record_id: str) -> str:
        if not ID.fullmatch(record_id):
            raise ValueError("an id of a stored voice is made by us")
        return f"{safe(tenant)}/{kind}/{record_id}"
