"""A voice cloned by the real architecture: two Vocalizrs over one store, judged by the real ears, spoken by either."""

import asyncio
import shutil
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chatacter.models.store import ModelStore
from tests import tiny_speech
from tests.tone_people import AUDIO, encoded
from tests.vocalizr_server import vocalizr
from vocalizr.backend import Utterance
from vocalizr.backends.coqui.backend import create_xtts
from vocalizr.backends.kokoro.backend import KokoroSpeech
from vocalizr.backends.kokoro.model import SAMPLE_RATE
from vocalizr.cloning.consent import PHRASES
from vocalizr.cloning.studios import Ears
from vocalizr.listening.ge2e import Ge2eSpeaker
from vocalizr.listening.whisper import WhisperTranscriber
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.e2e

CONSENTS = "/v1/audio/voice_consents"
VOICES = "/v1/audio/voices"
STORY = "Would you care for a cup of black tea while we wait for the harbour lights to appear?"
OTHER = "The rain has stopped at last, so we could walk down to the old bridge and back before supper."


@pytest.fixture(scope="module")
def sayings(models_home: Path) -> dict[str, bytes]:
    """Kokoro's voices are the people."""
    people = KokoroSpeech(ModelStore(models_home), threads=2)
    people.load()

    def said(voice: str, text: str) -> bytes:
        chunks = people.speak(Utterance(text, voice, 1.0, None, None), threading.Event())
        return encoded(np.concatenate([chunk.samples for chunk in chunks]), "flac", SAMPLE_RATE)

    spoken = {"consent": said("af_heart", PHRASES["en"]), "stranger": said("am_puck", STORY)}
    return {**spoken, "one": said("af_heart", STORY), "two": said("af_heart", OTHER)}


class House:
    """Vocalizrs over one store."""

    def __init__(self, stack: AsyncExitStack, ears: Ears, root: Path) -> None:
        self._stack = stack
        self._ears = ears
        self.root = root

    async def replica(self, weights: Path) -> httpx.AsyncClient:
        """Open one more, with a model of its own."""
        told = VocalizrSettings(vocalizr_model="xtts", vocalizr_weights=str(weights), vocalizr_threads=1)
        where = {"vocalizr_voices_url": self.root.as_uri(), "accept_model_licenses": ("CPML",)}
        client = await self._stack.enter_async_context(vocalizr(create_xtts(told), ears=self._ears, **where))
        client.timeout = httpx.Timeout(240)
        return client

    def learnt(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.parent.name == "likeness"]


def trained_further(weights: Path, folder: Path) -> Path:
    """The same model, but for what listens to speakers."""
    torch = tiny_speech.mended()
    shutil.copytree(weights, folder)
    content = torch.load(folder / "model.pth", weights_only=True)
    heard = next(name for name in content["model"] if "conditioning_encoder" in name and name.endswith("weight"))
    content["model"][heard] *= -1
    torch.save(content, folder / "model.pth")
    return folder


async def said(client: httpx.AsyncClient, voice: str, **more: Any) -> httpx.Response:
    body = {"model": "fake", "voice": voice, "input": "Good evening.", "response_format": "pcm", "seed": 3, **more}
    return await client.post("/v1/audio/speech", json=body)


@pytest.mark.timeout(600)
async def test_any_replica_speaks_it_other_weights_learn_it_anew_and_none_speaks_once_it_is_revoked(
    models_home: Path, sayings: dict[str, bytes], tiny_xtts: Path, tmp_path: Path
) -> None:
    pytest.importorskip("faster_whisper")
    store = ModelStore(models_home)
    ears = Ears(WhisperTranscriber(store, name="whisper-base", threads=2), Ge2eSpeaker(store))
    async with AsyncExitStack() as stack:
        house = House(stack, ears, tmp_path / "voices")
        one, other = await house.replica(tiny_xtts), await house.replica(tiny_xtts)
        recording = {"recording": ("c.flac", sayings["consent"], AUDIO)}
        given = await one.post(CONSENTS, data={"name": "Ann", "language": "en-US"}, files=recording)
        assert given.status_code == 200, given.text
        form = {"name": "Ann", "consent": given.json()["id"]}
        stranger = [("audio_sample", ("s.flac", sayings["stranger"], AUDIO))]
        refused = await other.post(VOICES, data=form, files=stranger)
        assert (refused.status_code, "does not sound like" in refused.text) == (422, True)
        samples = [("audio_sample", ("s.flac", sayings[name], AUDIO)) for name in ("one", "two")]
        made = await other.post(VOICES, data=form, files=samples)
        assert made.status_code == 200, made.text
        voice = made.json()["id"]
        heard = (await said(one, voice)).content
        assert heard == (await said(other, voice)).content != (await said(one, "Ana Florence")).content
        (first,) = house.learnt()
        before = first.read_bytes()

        new = await house.replica(await asyncio.to_thread(trained_further, tiny_xtts, tmp_path / "further"))
        anew = await said(new, voice, language="en-GB")
        assert (anew.status_code, anew.content != heard) == (200, True)
        (second,) = [path for path in house.learnt() if path != first]
        assert (first.read_bytes(), second.read_bytes() != before) == (before, True)
        assert (await said(other, voice)).content == heard, "the old weights speak with what they learnt"

        assert (await other.delete(f"{CONSENTS}/{form['consent']}")).status_code == 200
        assert [(await said(client, voice)).status_code for client in (one, other, new)] == [404, 404, 404]
        assert [path.parent.name for path in house.root.rglob("*") if path.is_file()] == ["revoked"]
