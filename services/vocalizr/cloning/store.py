"""Where voices and consents lie: files under `VOCALIZR_VOICES_URL`, so that any replica can speak any voice.

    <tenant>/consents/<id>/record.json  recording, removed
    <tenant>/voices/<id>/record.json    sample-1 … sample-5, likeness/<model>, removed
    <tenant>/revoked/<sha256>           of a recording whose consent was revoked; it is never taken again

A record is written last: what no record names is not there. What is marked as removed is not there either; the mark is
a file of its own, which no writer of a record can undo, and goes when all else is gone. Every method blocks.
"""

import logging
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal, TypeVar, cast
from urllib.parse import unquote

from pydantic import ValidationError

from chatacter.chassis.errors import Misconfigured, NotFound
from chatacter.filestore import FileStore, safe
from vocalizr.cloning.records import ConsentRecord, VoiceRecord

logger = logging.getLogger(__name__)

R = TypeVar("R", ConsentRecord, VoiceRecord)
Kind = Literal["consents", "voices"]

RECORD: Final = "record.json"
RECORDING: Final = "recording"
LIKENESS: Final = "likeness"
REMOVED: Final = "removed"
# As `FileStore.write` names what it has not moved to its place yet.
HALF_WRITTEN: Final = re.compile(r"[^/]+/(?:consents|voices)/.+\.[0-9a-f]{32}")
ID: Final = re.compile(r"(?:voice|cons)_[0-9a-f]{32}")
OTHER_VERSION: Final = "A stored voice was written by another version of Vocalizr. Run one version at a time."


class VoiceStore:
    """The voices and consents of every tenant. No path can be made without one."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    def consent(self, tenant: str, consent_id: str) -> ConsentRecord | None:
        """Return a consent that stands."""
        return self._record(tenant, "consents", consent_id, ConsentRecord)

    def consents(self, tenant: str) -> Sequence[ConsentRecord]:
        """Return the consents of a tenant that stand, the newest first."""
        found = self._records(tenant, "consents", ConsentRecord)
        return sorted(found, key=lambda each: (each.given.at, each.id), reverse=True)

    def consents_by(self, tenant: str, recording_sha256: str) -> Sequence[str]:
        """Return the ids of all consents that one recording gave, those too whose removal has begun."""
        found = self._records(tenant, "consents", ConsentRecord, removed=True)
        return [each.id for each in found if each.recording_sha256 == recording_sha256]

    def put_consent(self, tenant: str, record: ConsentRecord, recording: bytes | None = None) -> None:
        """Store a consent; without a recording its record alone, anew."""
        folder = self._folder(tenant, "consents", record.id)
        if recording is not None:
            self._files.open().write(f"{folder}/{RECORDING}", recording)
        self._files.open().write(f"{folder}/{RECORD}", record.model_dump_json(exclude_none=True).encode())

    def consent_recording(self, tenant: str, consent_id: str) -> bytes:
        """Return what was said. Raises `NotFound`."""
        return self._files.open().read(f"{self._folder(tenant, 'consents', consent_id)}/{RECORDING}")

    def has_recording(self, tenant: str, consent_id: str) -> bool:
        """Whether what was said is still there."""
        return RECORDING in self._files.open().names(self._folder(tenant, "consents", consent_id))

    def mark_revoked(self, tenant: str, recording_sha256: str) -> None:
        """Put down for good that what was said in a recording does not hold any more."""
        self._files.open().write(self._revoked(tenant, recording_sha256), str(int(time.time())).encode())

    def revoked(self, tenant: str, recording_sha256: str) -> bool:
        """Whether the consent of a recording was revoked."""
        return bool(self._files.open().read_many([self._revoked(tenant, recording_sha256)]))

    def voice(self, tenant: str, voice_id: str) -> VoiceRecord | None:
        """Return a voice."""
        return self._record(tenant, "voices", voice_id, VoiceRecord)

    def voices(self, tenant: str, *, removed: bool = False) -> Sequence[VoiceRecord]:
        """Return all voices of a tenant, the oldest first; those whose removal has begun only if asked for."""
        return sorted(
            self._records(tenant, "voices", VoiceRecord, removed=removed), key=lambda each: (each.made.at, each.id)
        )

    def put_voice(self, tenant: str, record: VoiceRecord, samples: Sequence[bytes] = ()) -> None:
        """Store a voice."""
        folder = self._folder(tenant, "voices", record.id)
        for number, sample in enumerate(samples, start=1):
            self._files.open().write(f"{folder}/sample-{number}", sample)
        self._files.open().write(f"{folder}/{RECORD}", record.model_dump_json(exclude_none=True).encode())

    def samples(self, tenant: str, record: VoiceRecord) -> Iterator[bytes]:
        """Yield what a voice was cloned from. Raises `NotFound`."""
        folder = self._folder(tenant, "voices", record.id)
        for number in range(1, len(record.samples) + 1):
            yield self._files.open().read(f"{folder}/sample-{number}")

    def voice_with_likeness(self, tenant: str, voice_id: str, model: str) -> tuple[VoiceRecord | None, bytes | None]:
        """Return a voice, and what makes a model speak in it where it was worked out already; asked for in one go."""
        if not ID.fullmatch(voice_id):
            return None, None
        folder = self._folder(tenant, "voices", voice_id)
        paths = [f"{folder}/{RECORD}", f"{folder}/{REMOVED}", f"{folder}/{LIKENESS}/{safe(model)}"]
        found = self._files.open().read_many(paths)
        if paths[0] not in found or paths[1] in found:
            return None, None
        return read(found[paths[0]], VoiceRecord), found.get(paths[2])

    def put_likeness(self, tenant: str, voice_id: str, model: str, likeness: bytes) -> None:
        """Store it."""
        self._files.open().write(f"{self._folder(tenant, 'voices', voice_id)}/{LIKENESS}/{safe(model)}", likeness)

    def holds(self, tenant: str, kind: Kind, record_id: str) -> bool:
        """Whether anything lies under an id, be it what is left of a removal that broke off."""
        return ID.fullmatch(record_id) is not None and bool(
            self._files.open().names(self._folder(tenant, kind, record_id))
        )

    def mark_removed(self, tenant: str, kind: Kind, record_id: str) -> None:
        """End a record for every replica, before anything of it is removed."""
        mark = f"{self._folder(tenant, kind, record_id)}/{REMOVED}"
        self._files.open().write(mark, str(int(time.time())).encode())

    def marked_removed(self, tenant: str, kind: Kind, record_id: str) -> bool:
        """Whether a removal has begun and not ended."""
        return REMOVED in self._files.open().names(self._folder(tenant, kind, record_id))

    def remove(self, tenant: str, kind: Kind, record_id: str) -> None:
        """Remove all that lies under an id: marked first, the record after all else and the mark last.

        One that breaks off can be repeated, since something is left to name until the end.
        """
        folder = self._folder(tenant, kind, record_id)
        self.mark_removed(tenant, kind, record_id)
        self._files.remove_folder(f"{folder}/{LIKENESS}")
        others = [name for name in self._files.open().names(folder) if name not in {LIKENESS, RECORD, REMOVED}]
        for name in (*others, RECORD):
            with suppress(NotFound):
                self._files.open().remove(f"{folder}/{name}")
        self._files.remove_folder(folder)

    def count(self, tenant: str, kind: Kind) -> int:
        """Return how many records there are."""
        return len(self._stored(tenant, kind, self._files.open().names(f"{safe(tenant)}/{kind}")))

    def swept(self, before: float) -> int:
        """Remove what was written before a time and is no record's: begun and never ended, or left of a removal.

        Returns how many voices, consents and half-written files that were. A store that nobody used yet is let be.
        """
        if not self._files.connected:
            return 0
        half, parts = [], defaultdict[tuple[str, str, str], list[tuple[str, float]]](list)
        for path, at in self._files.all():
            tenant, kind, record_id, *rest = [*path.split("/"), "", "", ""]
            if HALF_WRITTEN.fullmatch(path) and at < before:
                half.append(path)
            elif kind in {"consents", "voices"} and ID.fullmatch(record_id):
                parts[tenant, kind, record_id].append((rest[0], at))
        for path in half:
            with suppress(NotFound):
                self._files.remove(path)
        left = [place for place, found in parts.items() if is_left(found, before)]
        for tenant, kind, record_id in left:
            self.remove(unquote(tenant), cast("Kind", kind), record_id)
        return len(half) + len(left)

    def _records(self, tenant: str, kind: Kind, form: type[R], *, removed: bool = False) -> Iterator[R]:
        """Yield the records that can be read; one that cannot must not hide the others."""
        found = self._stored(tenant, kind, self._files.open().names(f"{safe(tenant)}/{kind}"), removed=removed)
        for record_id, stored in found.items():
            try:
                yield form.model_validate_json(stored)
            except ValidationError:
                logger.warning("a stored voice or consent cannot be read", extra={"record": record_id})

    def _record(self, tenant: str, kind: Kind, record_id: str, form: type[R]) -> R | None:
        stored = self._stored(tenant, kind, [record_id]).get(record_id)
        return None if stored is None else read(stored, form)

    def _stored(self, tenant: str, kind: Kind, names: Sequence[str], *, removed: bool = False) -> Mapping[str, bytes]:
        """Return the records of some ids as they are stored; those that are marked as removed only if asked for."""
        folders = {name: self._folder(tenant, kind, name) for name in names if ID.fullmatch(name)}
        wanted = [f"{folder}/{name}" for folder in folders.values() for name in (RECORD, REMOVED)]
        found = self._files.open().read_many(wanted)
        return {
            name: found[f"{folder}/{RECORD}"]
            for name, folder in folders.items()
            if f"{folder}/{RECORD}" in found and (removed or f"{folder}/{REMOVED}" not in found)
        }

    def _revoked(self, tenant: str, recording_sha256: str) -> str:
        return f"{safe(tenant)}/revoked/{safe(recording_sha256)}"

    def _folder(self, tenant: str, kind: Kind, record_id: str) -> str:
        if not ID.fullmatch(record_id):
            raise ValueError("an id of a stored voice is made by us")
        return f"{safe(tenant)}/{kind}/{record_id}"


def read(stored: bytes, form: type[R]) -> R:
    """Read a record. Raises `Misconfigured` for one of another version."""
    try:
        return form.model_validate_json(stored)
    except ValidationError as error:
        raise Misconfigured(OTHER_VERSION) from error


def is_left(found: Sequence[tuple[str, float]], before: float) -> bool:
    """Whether files of one id, by name and when they were written, are what somebody left behind before a time."""
    names = {name for name, _ in found}
    return (RECORD not in names or REMOVED in names) and max(at for _, at in found) < before
