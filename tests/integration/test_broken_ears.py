"""Models that listen and whose files are broken: nothing is cloned, and it is said what to do."""

from pathlib import Path

import pytest

from chatacter.chassis.errors import Misconfigured
from chatacter.models.store import ModelStore
from tests.tone_people import ANN, AUDIO, PHRASE, recorded
from tests.vocalizr_server import vocalizr
from vocalizr.backends.fake import FakeSpeech
from vocalizr.cloning.studios import Ears
from vocalizr.listening.fakes import FakeEmbedder, FakeTranscriber
from vocalizr.listening.ge2e import Ge2eSpeaker
from vocalizr.listening.whisper import WhisperTranscriber

pytestmark = pytest.mark.integration


@pytest.fixture
def broken(models_home: Path, tmp_path: Path) -> ModelStore:
    """The models that listen, cut off in their middle."""
    for name, file in (("ge2e-speaker", "pretrained.pt"), ("whisper-base", "model.bin")):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        for whole in (models_home / name).iterdir():
            if whole.name != file:
                (folder / whole.name).symlink_to(whole)
        with (models_home / name / file).open("rb") as weights:
            (folder / file).write_bytes(weights.read(3000))
    return ModelStore(tmp_path / "models")


async def test_a_consent_that_cannot_be_heard_is_not_kept(broken: ModelStore, tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    ears = Ears(WhisperTranscriber(broken, name="whisper-base", threads=1), FakeEmbedder())
    root = tmp_path / "voices"
    async with vocalizr(FakeSpeech(cloning=True), ears=ears, vocalizr_voices_url=root.as_uri()) as client:
        files = {"recording": ("c.wav", recorded(ANN), AUDIO)}
        refused = await client.post("/v1/audio/voice_consents", data={"name": "A", "language": "en"}, files=files)
    assert (refused.status_code, "chatacter models verify whisper-base" in refused.text) == (503, True)
    assert [path for path in root.rglob("*") if path.is_file()] == []


async def test_a_voice_whose_speaker_cannot_be_told_is_not_kept(broken: ModelStore, tmp_path: Path) -> None:
    ears = Ears(FakeTranscriber(PHRASE), Ge2eSpeaker(broken))
    root = tmp_path / "voices"
    async with vocalizr(FakeSpeech(cloning=True), ears=ears, vocalizr_voices_url=root.as_uri()) as client:
        sound = ("c.wav", recorded(ANN), AUDIO)
        consent = await client.post(
            "/v1/audio/voice_consents", data={"name": "A", "language": "en"}, files={"recording": sound}
        )
        form = {"name": "A", "consent": consent.json()["id"]}
        refused = await client.post("/v1/audio/voices", data=form, files={"audio_sample": sound})
    assert (refused.status_code, "chatacter models verify ge2e-speaker" in refused.text) == (503, True)
    assert [path for path in root.rglob("record.json") if "voices" in path.relative_to(root).parts] == []


@pytest.mark.parametrize("size", [0, 10, 500, 2000])
def test_wherever_a_checkpoint_ends_too_soon_it_is_told(size: int, broken: ModelStore) -> None:
    file = broken.file("ge2e-speaker", "pretrained.pt")
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(Misconfigured, match="models install ge2e-speaker"):
        Ge2eSpeaker(broken).load()
