"""Consents and voices as they lie in the store: writers that meet, removals that break off, work that nobody awaits."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatacter.chassis.errors import Cancelled, Conflict, NotFound, Unavailable
from chatacter.contracts.voices import ConsentArchive
from chatacter.filestore import FileStore
from tests.tone_people import ANN, BOB, PHRASE, recorded
from vocalizr.backends.fake import FakeSpeech
from vocalizr.cloning.consents import Consents
from vocalizr.cloning.records import ConsentRecord
from vocalizr.cloning.store import VoiceStore
from vocalizr.cloning.voices import OwnVoices
from vocalizr.listening.fakes import FakeEmbedder, FakeTranscriber
from vocalizr.listening.transcriber import Transcript

pytestmark = pytest.mark.unit

TENANT = "acme"


class Files(FileStore):
    """A folder whose removals fail on demand."""

    def __init__(self, root: Path) -> None:
        super().__init__(root.as_uri(), "VOCALIZR_VOICES_URL")
        self.broken = ""

    def remove(self, path: str) -> None:
        if self.broken and path.endswith(self.broken):
            raise Unavailable("The store is away.")
        super().remove(path)


class Shelf:
    """Everything over one folder."""

    def __init__(self, root: Path, transcriber: FakeTranscriber | None = None) -> None:
        self.root = root
        self.files = Files(root)
        self.store = VoiceStore(self.files)
        self.backend = FakeSpeech(cloning=True)
        self.consents = Consents(self.store, transcriber or FakeTranscriber(PHRASE))
        self.voices = OwnVoices(self.store, self.consents, FakeEmbedder(), self.backend, "fake")

    def consent(self) -> str:
        return self.consents.give(TENANT, "ann", "Ann", "en", recorded(ANN), threading.Event()).id

    def voice(self, consent: str) -> str:
        return self.voices.clone(TENANT, "ann", "Mine", consent, [recorded(ANN)], threading.Event()).id

    def kept(self) -> list[Path]:
        """All that is stored but the marks of what was revoked, which stay."""
        return [path for path in self.root.rglob("*") if path.is_file() and path.parent.name != "revoked"]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def before(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, name: str, first: Callable[[], None]) -> None:
    """Do something once, right before the store's method is called."""
    method = getattr(shelf.store, name)

    def done(*args: Any) -> Any:
        monkeypatch.undo()
        first()
        return method(*args)

    monkeypatch.setattr(shelf.store, name, done)


def test_a_revocation_while_a_consent_is_renamed_stands(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    consent = shelf.consent()
    before(shelf, monkeypatch, "put_consent", lambda: shelf.consents.revoke(TENANT, consent))
    with pytest.raises(NotFound):
        shelf.consents.rename(TENANT, consent, "Annie")
    assert shelf.kept() == []


def test_a_revocation_that_has_only_begun_while_a_consent_is_renamed_stands(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = shelf.consent()
    voice = shelf.voice(consent)
    before(shelf, monkeypatch, "put_consent", lambda: shelf.store.mark_removed(TENANT, "consents", consent))
    with pytest.raises(NotFound):
        shelf.consents.rename(TENANT, consent, "Annie")
    with pytest.raises(NotFound):
        shelf.voices.speakable(TENANT, voice)
    shelf.consents.revoke(TENANT, consent)
    assert shelf.kept() == []


def test_a_revocation_ends_every_consent_that_the_same_recording_gave(shelf: Shelf) -> None:
    consent, twin = shelf.consent(), shelf.consent()
    other = shelf.consents.give(TENANT, "ann", "Bob", "en", recorded(BOB), threading.Event()).id
    mine, of_twin = shelf.voice(consent), shelf.voice(twin)
    shelf.consents.revoke(TENANT, consent)
    assert [each.id for each in shelf.consents.standing(TENANT)] == [other]
    for voice in (mine, of_twin):
        with pytest.raises(NotFound):
            shelf.voices.speakable(TENANT, voice)
    assert {path.parent.name for path in shelf.kept()} == {other}


def test_a_revocation_of_two_that_broke_off_is_repeated_to_its_end(shelf: Shelf) -> None:
    consent, twin = shelf.consent(), shelf.consent()
    voices = [shelf.voice(each) for each in (consent, twin)]
    shelf.files.broken = "sample-1"
    with pytest.raises(Unavailable):
        shelf.consents.revoke(TENANT, consent)
    for voice in voices:
        with pytest.raises(NotFound):
            shelf.voices.speakable(TENANT, voice)
    shelf.files.broken = ""
    shelf.consents.revoke(TENANT, consent)
    assert shelf.kept() == []


def test_a_revoked_recording_is_not_taken_by_a_consent_that_an_older_replica_left_standing(shelf: Shelf) -> None:
    consent = shelf.consents.get(TENANT, shelf.consent())
    shelf.store.mark_revoked(TENANT, consent.recording_sha256)
    said = ConsentArchive(name="Ann", language="en", given_at=1, recording=recorded(ANN))
    with pytest.raises(Conflict, match="was revoked here"):
        shelf.consents.brought(TENANT, "ann", said, threading.Event())


@pytest.mark.parametrize("broken", ["sample-1", "record.json"])
def test_a_removal_that_broke_off_is_repeated_to_its_end(shelf: Shelf, broken: str) -> None:
    voice = shelf.voice(shelf.consent())
    shelf.files.broken = broken
    with pytest.raises(Unavailable):
        shelf.voices.delete(TENANT, voice)
    with pytest.raises(NotFound):
        shelf.voices.speakable(TENANT, voice)
    assert shelf.store.count(TENANT, "voices") == 0
    shelf.files.broken = ""
    shelf.voices.delete(TENANT, voice)
    assert not [path for path in shelf.kept() if voice in path.parts]
    with pytest.raises(NotFound):
        shelf.voices.delete(TENANT, voice)


def test_what_is_learnt_of_a_voice_that_was_removed_meanwhile_is_not_kept(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = shelf.voice(shelf.consent())
    later = OwnVoices(shelf.store, shelf.consents, FakeEmbedder(), shelf.backend, "another")
    assert later.speakable(TENANT, voice) is None
    before(shelf, monkeypatch, "put_likeness", lambda: shelf.voices.delete(TENANT, voice))
    with pytest.raises(NotFound):
        later.learnt(TENANT, voice)
    assert not [path for path in shelf.kept() if voice in path.parts]


def test_a_consent_of_which_half_was_heard_is_not_kept(tmp_path: Path) -> None:
    class Left(FakeTranscriber):
        def transcribe(self, recording: Any, hint: Any, cancelled: threading.Event) -> Transcript:
            cancelled.set()
            return super().transcribe(recording, hint, cancelled)

    shelf = Shelf(tmp_path, Left(PHRASE))
    with pytest.raises(Cancelled):
        shelf.consent()
    assert shelf.kept() == []


def test_a_voice_that_nobody_awaits_is_not_kept(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    consent, left = shelf.consent(), threading.Event()
    conditioned = shelf.backend.conditioned

    def leaving(recordings: Any) -> bytes:
        left.set()
        return conditioned(recordings)

    monkeypatch.setattr(shelf.backend, "conditioned", leaving)
    with pytest.raises(Cancelled):
        shelf.voices.clone(TENANT, "ann", "Mine", consent, [recorded(ANN)], left)
    assert shelf.store.voices(TENANT) == []


def test_one_record_that_cannot_be_read_hides_no_other(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    odd, consent = shelf.consent(), shelf.consent()
    voice = shelf.voice(consent)
    (shelf.root / TENANT / "consents" / odd / "record.json").write_text('{"schema_version": 2}')
    assert [record.id for record in shelf.consents.standing(TENANT)] == [consent]
    assert [each.id for each in shelf.voices.listed(TENANT)] == [voice]
    assert "cannot be read" in caplog.text
    shelf.consents.revoke(TENANT, odd)
    assert shelf.kept() == [], "the other was given by the same recording"
    assert ConsentRecord.model_fields.keys().isdisjoint({"revoked"})


def test_a_store_that_fails_is_not_an_empty_one(shelf: Shelf) -> None:
    consent = shelf.consent()
    record = shelf.root / TENANT / "consents" / consent / "record.json"
    record.unlink()
    record.mkdir()
    with pytest.raises(Unavailable):
        shelf.consents.standing(TENANT)
