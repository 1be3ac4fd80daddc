"""What processes that died left in the store of voices is swept up; what others are at is let be."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatacter.chassis.errors import Unavailable
from chatacter.filestore import FileStore
from tests.tone_people import PHRASE
from vocalizr.cloning.records import ConsentRecord, Given, VoiceRecord
from vocalizr.cloning.store import VoiceStore
from vocalizr.cloning.sweeping import swept

pytestmark = pytest.mark.unit

OLD = time.time() - 7200
TENANT = "acme inc"


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(FileStore(tmp_path.as_uri(), "VOCALIZR_VOICES_URL"))


def voice(number: int) -> VoiceRecord:
    return VoiceRecord(
        id=f"voice_{number:032x}", kind="designed", name="Mine", language="en", made=Given(key="ann", at=1), blend={}
    )


def aged(root: Path) -> None:
    """Make all that is stored old."""
    for path in root.rglob("*"):
        os.utime(path, (OLD, OLD))


def kept(root: Path) -> Iterator[str]:
    return (str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file())


def test_what_was_begun_and_never_ended_goes_once_it_is_old(store: VoiceStore, tmp_path: Path) -> None:
    whole, begun, removed = voice(1), voice(2), voice(3)
    for each in (whole, begun, removed):
        store.put_likeness(TENANT, each.id, "xtts", b"learnt")
        store.put_voice(TENANT, each, [b"sample"])
    folder = tmp_path / "acme%20inc" / "voices"
    (folder / begun.id / "record.json").unlink()
    store.mark_removed(TENANT, "voices", removed.id)
    half = folder / whole.id / f"record.json.{'0' * 32}"
    half.write_bytes(b"{")
    everything = list(kept(tmp_path))
    assert store.swept(time.time() - 3600) == 0
    assert list(kept(tmp_path)) == everything
    aged(tmp_path)
    assert store.swept(time.time() - 3600) == 3
    assert {Path(path).parts[2] for path in kept(tmp_path)} == {whole.id}
    assert not half.exists()
    assert store.voice_with_likeness(TENANT, whole.id, "xtts") == (whole, b"learnt")
    assert [each.id for each in store.voices(TENANT)] == [whole.id]
    assert store.swept(time.time() - 3600) == 0


def test_a_consent_that_stands_is_let_be_however_old(store: VoiceStore, tmp_path: Path) -> None:
    said = {"phrase": PHRASE, "heard": PHRASE, "word_error_rate": 0.0, "recording_sha256": "0"}
    record = ConsentRecord(id=f"cons_{1:032x}", name="Ann", language="en", given=Given(key="ann", at=1), **said)
    store.put_consent(TENANT, record, b"recording")
    aged(tmp_path)
    assert store.swept(time.time()) == 0
    assert [each.id for each in store.consents(TENANT)] == [record.id]


def test_a_store_that_nobody_used_is_not_even_made(tmp_path: Path) -> None:
    assert VoiceStore(FileStore((tmp_path / "voices").as_uri(), "VOCALIZR_VOICES_URL")).swept(time.time()) == 0
    assert not (tmp_path / "voices").exists()


async def test_it_sweeps_again_and_again_also_after_the_store_was_away(caplog: pytest.LogCaptureFixture) -> None:
    class Away(VoiceStore):
        times = 0

        def __init__(self) -> None:
            self.third = asyncio.Event()
            self.loop = asyncio.get_running_loop()

        def swept(self, before: float) -> int:
            assert before < time.time()
            self.times += 1
            if self.times == 1:
                raise Unavailable("The store is away.")
            self.loop.call_soon_threadsafe(self.third.set) if self.times == 3 else None
            return 0

    away = Away()
    async with swept(away, 0.001):
        await asyncio.wait_for(away.third.wait(), 10)
    assert "could not be swept" in caplog.text
