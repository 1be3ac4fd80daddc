"""Voices of the users' own when what they hang on changes: other weights, a removal in the middle of a sentence."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_own_voices import CONSENTS, TENANT, VOICES, Replicas, pitch_of
from tests.tone_people import ANN, ears
from tests.vocalizr_server import Held, vocalizr
from tests.waiting import until
from vocalizr.backends.fake import FakeSpeech, pitched

pytestmark = pytest.mark.integration


async def test_with_other_weights_a_voice_is_learnt_anew(tmp_path: Path) -> None:
    """As where an XTTS that was trained further takes the old one's place under its name."""

    class Retrained(FakeSpeech):
        def __init__(self, learns: str) -> None:
            super().__init__(cloning=True)
            self.capabilities = replace(self.capabilities, learns=learns)

        def conditioned(self, recordings: Any) -> bytes:
            octave = 2.0 if self.capabilities.learns == "second" else 1.0
            return pitched(octave * ANN)

    voice, heard = "", []
    for learns in ("first", "second", "first"):
        store = (tmp_path / "voices").as_uri()
        async with vocalizr(Retrained(learns), ears=ears(), vocalizr_voices_url=store) as client:
            replicas = Replicas(client, client, tmp_path / "voices")
            voice = voice or (await replicas.clone(await replicas.consented())).json()["id"]
            heard.append(pitch_of((await replicas.say(client, voice)).content))
    assert heard == pytest.approx([ANN, 2 * ANN, ANN], rel=0.05)


@pytest.mark.parametrize("what", ["voice", "consent"])
async def test_a_voice_that_is_removed_while_it_speaks_falls_silent(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vocalizr.synthesize.LOOK", 0.0)
    speaking = Held(cloning=True)
    store = (tmp_path / "voices").as_uri()
    async with (
        vocalizr(speaking, ears=ears(), vocalizr_voices_url=store) as one,
        vocalizr(FakeSpeech(cloning=True), ears=ears(), vocalizr_voices_url=store) as other,
    ):
        replicas = Replicas(one, other, tmp_path / "voices")
        consent = await replicas.consented()
        voice = (await replicas.clone(consent)).json()["id"]
        body = {"model": "fake", "input": "One. " * 30, "voice": voice, "stream_format": "sse"}
        saying = asyncio.create_task(one.post("/v1/audio/speech", json=body, headers=TENANT))
        speaking.may.release(2)
        await until(lambda: speaking.reached == 2)
        address = f"{VOICES}/{voice}" if what == "voice" else f"{CONSENTS}/{consent}"
        assert (await other.delete(address, headers=TENANT)).status_code == 200
        speaking.may.release(100)
        last = json.loads((await saying).text.strip().splitlines()[-1].removeprefix("data: "))
        assert (last["type"], last["error"]["code"]) == ("error", "not_found")
        assert "while it was speaking" in last["error"]["message"]
        assert speaking.chunks < 10, "the model stopped"
