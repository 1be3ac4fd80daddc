"""A character takes its own voice along: two installations, `chatacter export` and `chatacter import` between them."""

import asyncio
import io
import json
import wave
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chatacter.chassis.errors import InvalidInput
from chatacter.chat.moving import export, import_
from tests.fake_llm_server import FakeLLMServer
from tests.integration.test_own_voices import pitch_of
from tests.redis_server import started
from tests.served import served
from tests.service_process import ServiceProcess, running
from tests.tone_people import ANN, AUDIO, ears, recorded
from tests.vocalizr_server import until_answered, vocalizr_of
from vocalizr.backends.fake import FakeSpeech

pytestmark = pytest.mark.e2e

LINE = "The harbour lights are on, and the tea is ready."


def chattr(stack: ExitStack, folder: Path, llm: FakeLLMServer, vocalizr: str, model: str) -> ServiceProcess:
    """A Chattr of its own installation."""
    folder.mkdir(exist_ok=True)
    settings = {
        "RECORDS__URL": stack.enter_context(started()).url,
        "MODEL__URL": llm.url,
        "MODEL__NAME": "scripted",
        "VOCALIZR__URL": vocalizr,
        "VOCALIZR__MODEL": model,
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_VIDEO_GENERATION": "false",
        "ENABLE_UI": "false",
    }
    return stack.enter_context(running("chattr", folder, settings))


def ask(house: ServiceProcess, method: str, path: str, **named: Any) -> httpx.Response:
    return httpx.request(method, f"{house.url}{path}", timeout=120, **named)


def robin(house: ServiceProcess, voice: str) -> None:
    fields = {"id": "robin", "name": "Robin", "personality": "A gardener.", "voice": voice}
    assert ask(house, "POST", "/api/v1/characters", json=fields).is_success
    body = {"message": "Hello Robin.", "session_id": "s1", "character_id": "robin"}
    ask(house, "POST", "/api/v1/chat/message", json=body)


def spoken(house: ServiceProcess, model: str) -> httpx.Response:
    """What the character sounds like."""
    body = {"model": model, "input": LINE, "voice": "robin", "response_format": "wav"}
    return ask(house, "POST", "/v1/audio/speech", json=body)


def samples(sound: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(sound)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)


@pytest.fixture
def kokoros(llm_server: FakeLLMServer, models_home: Path, tmp_path: Path) -> Iterator[list[ServiceProcess]]:
    """Two installations that speak with Kokoro; yields their Chattrs."""
    with ExitStack() as stack:
        made = []
        for name in ("here", "there"):
            folder = tmp_path / name
            (folder / "home").mkdir(parents=True)
            (folder / "home" / "models").symlink_to(models_home)
            vocalizr = stack.enter_context(running("vocalizr", folder, {}))
            made.append(chattr(stack, folder, llm_server, vocalizr.url, "kokoro"))
        yield made


def test_a_voice_that_was_designed_of_kokoros_is_heard_elsewhere(kokoros: list[ServiceProcess], tmp_path: Path) -> None:
    here, there = kokoros
    blend = {"name": "Middle", "blend": {"af_heart": 3, "am_michael": 1}}
    voice = ask(here, "POST", "/v1/audio/voices", json=blend).json()["id"]
    robin(here, voice)
    file = tmp_path / "robin.zip"
    export("robin", file, url=here.url)
    import_(file, url=there.url)
    first, second = spoken(here, "kokoro"), spoken(there, "kokoro")
    assert second.status_code == 200, second.text
    heard, again = samples(first.content), samples(second.content)
    assert heard.size > 20_000
    assert np.corrcoef(heard, again)[0, 1] > 0.999, "the same words in the same voice"
    built_in = {"model": "kokoro", "input": LINE, "voice": "af_heart", "response_format": "wav"}
    other = samples(ask(there, "POST", "/v1/audio/speech", json=built_in).content)
    length = min(heard.size, other.size)
    assert np.corrcoef(heard[:length], other[:length])[0, 1] < 0.9, "and not one of those that it is made of"


@dataclass
class Cloning:
    """Two installations whose Vocalizrs clone voices of people who are tones; their Chattrs, and their stores."""

    here: ServiceProcess
    there: ServiceProcess
    root: Path

    def consented(self) -> str:
        files = {"recording": ("c.wav", recorded(ANN), AUDIO)}
        form = {"name": "Ann", "language": "en-US"}
        return str(ask(self.here, "POST", "/v1/audio/voice_consents", data=form, files=files).json()["id"])

    def cloned(self, consent: str) -> str:
        files = {"audio_sample": ("s.wav", recorded(ANN), AUDIO)}
        form = {"name": "Mine", "consent": consent}
        return str(ask(self.here, "POST", "/v1/audio/voices", data=form, files=files).json()["id"])

    def own(self, house: ServiceProcess) -> list[dict[str, Any]]:
        listed = ask(house, "GET", "/v1/audio/voices").json()["data"]
        return [each for each in listed if each["kind"] != "built_in"]


@pytest.fixture
async def cloning(llm_server: FakeLLMServer, tmp_path: Path) -> AsyncIterator[Cloning]:
    async with AsyncExitStack() as stack:
        processes, made = ExitStack(), []
        stack.push_async_callback(asyncio.to_thread, processes.close)
        for name in ("here", "there"):
            store = (tmp_path / name / "voices").as_uri()
            app = await asyncio.to_thread(vocalizr_of, FakeSpeech(cloning=True), ears(), vocalizr_voices_url=store)
            url = await stack.enter_async_context(served(app))
            async with httpx.AsyncClient(base_url=url) as waiting:
                await until_answered(waiting, "/readyz", "200")
            folder = tmp_path / f"chattr-{name}"
            made.append(await asyncio.to_thread(chattr, processes, folder, llm_server, url, "fake"))
        yield Cloning(made[0], made[1], tmp_path)


def changed(file: Path, target: Path, **fields: Any) -> Path:
    """Write an archive anew with another voice in it."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "voice.json":
                data = json.dumps({**json.loads(data), **fields}).encode()
            new.writestr(name, data)
    return target


async def test_a_cloned_voice_moves_with_its_consent_and_not_without_it(
    cloning: Cloning, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(moved, cloning, capsys)


def moved(cloning: Cloning, capsys: pytest.CaptureFixture[str]) -> None:
    here, there, file = cloning.here, cloning.there, cloning.root / "robin.zip"
    consent = cloning.consented()
    robin(here, cloning.cloned(consent))
    export("robin", file, url=here.url)

    forged = changed(file, cloning.root / "forged.zip", consent=None)
    with pytest.raises(InvalidInput, match=r"comes with the recorded consent of its speaker.*--without-voice"):
        import_(forged, url=there.url)
    assert cloning.own(there) == []
    assert ask(there, "GET", "/api/v1/characters/robin").status_code == 404, "nothing was put down"
    assert ask(there, "GET", "/api/v1/conversations").json()["data"] == []

    import_(file, url=there.url)
    (voice,) = cloning.own(there)
    assert ask(there, "GET", "/api/v1/characters/robin").json()["voice"] == voice["id"]
    (given,) = ask(there, "GET", "/v1/audio/voice_consents").json()["data"]
    assert (voice["kind"], voice["consent"], given["name"]) == ("cloned", given["id"], "Ann")
    heard = samples(spoken(there, "fake").content)
    assert heard.tolist() == samples(spoken(here, "fake").content).tolist()
    body = {"model": "fake", "input": "Hello.", "voice": "robin", "response_format": "pcm"}
    assert pitch_of(ask(there, "POST", "/v1/audio/speech", json=body).content) == pytest.approx(ANN, rel=0.05)

    ask(here, "DELETE", f"/v1/audio/voice_consents/{consent}")
    with pytest.raises(InvalidInput, match="was revoked here"):
        import_(file, url=here.url)
    export("robin", cloning.root / "again.zip", url=here.url)
    assert "left out voice voice_" in capsys.readouterr().err
    with zipfile.ZipFile(cloning.root / "again.zip") as archive:
        assert "voice.json" not in archive.namelist()

    ask(there, "DELETE", f"/v1/audio/voice_consents/{given['id']}")
    ask(there, "DELETE", "/api/v1/characters/robin")
    import_(file, url=there.url, without_voice=True)
    assert cloning.own(there) == []
    assert ask(there, "GET", "/api/v1/characters/robin").status_code == 200
