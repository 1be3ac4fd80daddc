"""Every field of a speech request at every backend: obeyed, or refused by its name; none is passed over in silence."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pytest

from chatacter.contracts.speech import SpeechRequest
from chatacter.models.store import ModelStore
from tests.served import served
from tests.vocalizr_server import vocalizr
from vocalizr.app import application
from vocalizr.backend import SpeechBackend, SpeechCapabilities
from vocalizr.backends.bark.backend import BarkSpeech
from vocalizr.backends.coqui.backend import create
from vocalizr.backends.fake import FakeSpeech, FakeTogether
from vocalizr.backends.kokoro.backend import KokoroSpeech
from vocalizr.backends.remote import RemoteSpeech
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.contract

BACKENDS: Final = ("fake", "fake-together", "remote", "kokoro", "vits", "xtts", "bark")
# What every backend obeys, and where that is tested beside the contract suite of backends.
EVERYBODY: Final = {"model", "input", "voice", "response_format", "stream_format"}
# A value that means something, and whether a backend can do it.
ASKED: Final[dict[str, tuple[Any, Callable[[SpeechCapabilities], bool]]]] = {
    "speed": (0.9, lambda can: can.speed[0] <= 0.9),
    "language": ("en", lambda can: any(tag.startswith("en") for tag in can.languages)),
    "instructions": ("Whisper.", lambda can: can.instructions),
    "timings": (True, lambda can: can.timings),
    "seed": (7, lambda can: can.seeds),
}
NOBODY: Final = {"language": "xx", "emotion": "joy", "pitch": 2, "style": "news", "volume": 2, "lang_code": "b"}


def stay() -> None:
    """Neither load nor close what the module has loaded."""


@pytest.fixture(scope="module", params=BACKENDS)
def standing(request: pytest.FixtureRequest, models_home: Path) -> SpeechBackend | None:
    """A backend that is loaded; None for one that asks another server."""
    name = request.param
    if name == "remote":
        return None
    if name.startswith("fake"):
        return FakeSpeech() if name == "fake" else FakeTogether()
    if name == "kokoro":
        found: SpeechBackend = KokoroSpeech(ModelStore(models_home), threads=1)
    else:
        weights = str(request.getfixturevalue(f"tiny_{name}"))
        settings = VocalizrSettings(vocalizr_model=name, vocalizr_weights=weights, vocalizr_threads=1)
        found = BarkSpeech(settings) if name == "bark" else create(settings)
    found.load()
    found.load = found.close = stay  # type: ignore[method-assign]
    return found


@pytest.fixture
async def door(standing: SpeechBackend | None) -> AsyncIterator[tuple[httpx.AsyncClient, SpeechCapabilities]]:
    """Vocalizr around the backend."""
    async with AsyncExitStack() as stack:
        backend = standing
        if backend is None:
            settings = VocalizrSettings(vocalizr_model="fake", enable_metrics=False)
            other = await asyncio.to_thread(application, settings, FakeSpeech())
            url = await stack.enter_async_context(served(other))
            given = {"vocalizr_remote_url": f"{url}/v1", "vocalizr_remote_model": "fake"}
            backend = RemoteSpeech(VocalizrSettings(vocalizr_model="remote", **given))
        client = await stack.enter_async_context(vocalizr(backend, accept_model_licenses=("CPML",)))
        client.timeout = httpx.Timeout(60)
        yield client, backend.capabilities


async def said(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    voice = (await client.get("/v1/audio/voices")).json()["data"][0]["id"]
    body = {"model": "fake", "input": "Well, hello.", "voice": voice, "response_format": "pcm", **fields}
    return await client.post("/v1/audio/speech", json=body)


def test_no_field_is_forgotten_here() -> None:
    assert set(SpeechRequest.model_fields) == EVERYBODY | set(ASKED)


async def test_what_a_model_can_is_done_and_what_it_cannot_is_refused(
    door: tuple[httpx.AsyncClient, SpeechCapabilities],
) -> None:
    client, can = door
    for field, (value, able) in ASKED.items():
        answer = await said(client, **{field: value}, stream_format="sse" if field == "timings" else "audio")
        if able(can):
            assert answer.status_code == 200, (field, answer.text)
            assert field != "timings" or '"phonemes"' in answer.text
        else:
            assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
    for field, value in NOBODY.items():
        answer = await said(client, **{field: value})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
    unheard = await said(client, timings=True)
    assert (unheard.status_code, unheard.json()["error"]["param"]) == (422, "timings")


async def test_a_seed_sounds_the_same_each_time_and_another_one_not(
    door: tuple[httpx.AsyncClient, SpeechCapabilities],
) -> None:
    client, can = door
    if not can.seeds:
        return
    one, again, other = [(await said(client, seed=seed)).content for seed in (7, 7, 8)]
    assert one == again != other
    for answer in await asyncio.gather(*(said(client, seed=7) for _ in range(2))):
        beside, alone = (np.frombuffer(sound, "<i2").astype(int) for sound in (answer.content, one))
        assert np.abs(beside - alone).max() <= 2  # in company it is rounded otherwise
