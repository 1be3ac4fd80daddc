"""Voices of one's own through Chattr: OpenAI's client, keys of two tenants, two Chattrs before two Vocalizrs."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI, NotFoundError, PermissionDeniedError, UnprocessableEntityError
from pydantic import SecretStr

from chatacter.chassis.app import Service, build
from chatacter.chassis.auth import new_key
from chatacter.chassis.health import Health
from chatacter.chassis.settings import ServiceSettings
from chatacter.chassis.telemetry import telemetry_of
from chattr.adapters.by_model import speakers
from chattr.adapters.fakes.cache import FakeIdempotency
from chattr.adapters.fakes.casting import FakeCasting
from chattr.adapters.fakes.demand import FakeDemand
from chattr.routes import media, voices
from chattr.usecases.infer import Infer
from chattr.usecases.speak import Speak
from tests.served import served
from tests.tone_people import ANN, AUDIO, BOB, PHRASE, recorded
from tests.vocalizr_server import until_answered, vocalizr_of
from vocalizr.backend import Recording
from vocalizr.backends.fake import FakeSpeech
from vocalizr.cloning.studios import Ears
from vocalizr.listening.fakes import FakeEmbedder, FakeTranscriber
from vocalizr.listening.transcriber import Hint, Transcript

pytestmark = pytest.mark.integration

ANN_SECRET, ANN_KEY = new_key("ann", "acme", ["voices", "speech"])
EVE_SECRET, EVE_KEY = new_key("eve", "evil", ["voices", "speech"])
DUMB_SECRET, DUMB_KEY = new_key("dumb", "acme", ["speech"])
INSIDE = SecretStr("inside-token")


def chattr_of(keys: Path, state: Mapping[str, Any]) -> FastAPI:
    """The doors that concern voices; it reads the keys' file, so it is made off the event loop."""
    settings = ServiceSettings.read(service_token=INSIDE, api_keys_file=keys, require_api_key=True)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        yield state

    service = Service(
        name="chattr",
        title="Chatacter",
        version="1",
        health=Health(),
        lifespan=lifespan,
        routers=[media.router, voices.router],
        telemetry=telemetry_of("chattr", settings),
    )
    return build(service, settings)


class Patient(FakeTranscriber):
    """Listens to Bob's recordings, known by their length, until nobody wants to know any more."""

    begun = threading.Event()
    ended = threading.Event()

    def __init__(self) -> None:
        super().__init__(PHRASE)

    def transcribe(self, recording: Recording, hint: Hint, cancelled: threading.Event) -> Transcript:
        if recording.samples.size > 6 * recording.rate:
            self.begun.set()
            if cancelled.wait(20):
                self.ended.set()
        return super().transcribe(recording, hint, cancelled)


class Town:
    """Two Chattrs; each meets a Vocalizr of its own, and these share nothing but the store."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = urls

    def client(self, secret: str, replica: int = 0) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.urls[replica]}/v1", api_key=secret, max_retries=0)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([key.model_dump(mode="json") for key in (ANN_KEY, EVE_KEY, DUMB_KEY)]))
    store = (tmp_path / "voices").as_uri()
    async with AsyncExitStack() as stack:
        urls = []
        for _ in range(2):
            backend = FakeSpeech(cloning=True)
            inner = {"vocalizr_voices_url": store, "service_token": INSIDE, "require_api_key": True}
            app = await asyncio.to_thread(vocalizr_of, backend, Ears(Patient(), FakeEmbedder()), **inner)
            behind = await stack.enter_async_context(served(app))
            async with httpx.AsyncClient(base_url=behind) as waiting:
                await until_answered(waiting, "/readyz", "200")
            speaker = await stack.enter_async_context(speakers(behind, {}, model="fake", token=INSIDE))
            demand = FakeDemand()
            state = {
                "speak": Speak(speaker, FakeCasting(), demand, model="fake", seconds=30),
                "infer": Infer({"speech": speaker}, demand, seconds=30),
                "idempotency": FakeIdempotency(),
            }
            urls.append(await stack.enter_async_context(served(await asyncio.to_thread(chattr_of, keys, state))))
        yield Town(urls)


async def consented(client: AsyncOpenAI) -> str:
    recording = ("consent.wav", recorded(ANN), AUDIO)
    return (await client.audio.voice_consents.create(name="Ann", language="en-US", recording=recording)).id


async def test_a_voice_s_whole_life_by_openai_s_client(town: Town) -> None:
    here, there = town.client(ANN_SECRET), town.client(ANN_SECRET, 1)
    eve = town.client(EVE_SECRET, 1)
    async with here, there, eve:
        consent = await consented(here)
        assert [each.id async for each in there.audio.voice_consents.list()] == [consent]
        assert (await there.audio.voice_consents.update(consent, name="Annie")).name == "Annie"
        with pytest.raises(UnprocessableEntityError, match="does not sound like the one who consented"):
            await there.audio.voices.create(name="Bob", consent=consent, audio_sample=("b.wav", recorded(BOB), AUDIO))
        sample = ("a.flac", recorded(ANN, "flac"), "audio/flac")
        voice = await there.audio.voices.create(name="Mine", consent=consent, audio_sample=sample)
        assert (voice.object, voice.type, voice.name) == ("audio.voice", "audio_sample", "Mine")
        said = await here.audio.speech.create(model="fake", voice={"id": voice.id}, input="Hi.", response_format="pcm")
        assert len(said.content) > 1000

        with pytest.raises(NotFoundError):
            await eve.audio.speech.create(model="fake", voice=voice.id, input="Hi.")
        with pytest.raises(NotFoundError):
            await eve.audio.voices.delete(voice.id)
        with pytest.raises(NotFoundError):
            await eve.audio.voice_consents.delete(consent)
        with pytest.raises(NotFoundError):
            await eve.audio.voices.create(name="Stolen", consent=consent, audio_sample=sample)
        assert [each async for each in eve.audio.voice_consents.list()] == []

        assert (await here.audio.voice_consents.delete(consent)).deleted
        for client in (here, there):
            with pytest.raises(NotFoundError):
                await client.audio.speech.create(model="fake", voice=voice.id, input="Hi.")
            with pytest.raises(NotFoundError):
                await client.audio.voice_consents.retrieve(consent)


async def test_lists_show_what_is_built_in_designed_and_cloned(town: Town) -> None:
    async with town.client(ANN_SECRET) as client, httpx.AsyncClient(base_url=town.urls[1]) as web:
        mine = {"authorization": f"Bearer {ANN_SECRET}"}
        blend = {"name": "Middle", "blend": {"high": 1, "low": 1}}
        designed = (await web.post("/v1/audio/voices", json=blend, headers=mine)).json()
        sample = ("a.wav", recorded(ANN), AUDIO)
        cloned = await client.audio.voices.create(name="Mine", consent=await consented(client), audio_sample=sample)
        listed = (await web.get("/v1/audio/voices", headers=mine)).json()["data"]
        kinds = {each["id"]: each["kind"] for each in listed}
        assert kinds == {"high": "built_in", "low": "built_in", designed["id"]: "designed", cloned.id: "cloned"}
        theirs = (await web.get("/v1/audio/voices", headers={"authorization": f"Bearer {EVE_SECRET}"})).json()["data"]
        assert {each["kind"] for each in theirs} == {"built_in"}
        forged = {"x-chatacter-tenant": "acme", "authorization": f"Bearer {EVE_SECRET}"}
        assert (await web.get(f"/v1/audio/voices/{cloned.id}", headers=forged)).status_code == 404
        phrases = (await web.get("/v1/audio/voice_consents/phrases", headers=mine)).json()["data"]
        assert {"language": "en", "text": PHRASE} in phrases


async def test_the_scope_is_asked_for(town: Town) -> None:
    async with town.client(DUMB_SECRET) as client:
        with pytest.raises(PermissionDeniedError):
            await consented(client)
        with pytest.raises(PermissionDeniedError):
            await client.audio.voices.delete("voice_" + "0" * 32)
        heard = await client.audio.transcriptions.create(model="fake-ears", file=("a.wav", recorded(ANN), AUDIO))
        assert heard.text == PHRASE
        words = await client.audio.transcriptions.create(
            model="fake-ears",
            file=("a.wav", recorded(ANN), AUDIO),
            response_format="verbose_json",
            timestamp_granularities=["word"],
        )
        assert words.words is not None
        assert words.words[0].word == "I"
        with pytest.raises(NotFoundError, match="Served: fake-ears"):
            await client.audio.transcriptions.create(model="whisper-1", file=("a.wav", recorded(ANN), AUDIO))


async def test_who_hangs_up_frees_the_transcriber_for_the_next(town: Town) -> None:
    mine = {"authorization": f"Bearer {ANN_SECRET}"}
    async with httpx.AsyncClient(base_url=town.urls[0], headers=mine) as web:

        async def asked(seconds: float) -> httpx.Response:
            files = {"file": ("a.wav", recorded(BOB, seconds=seconds), AUDIO)}
            return await web.post("/v1/audio/transcriptions", data={"model": "fake-ears"}, files=files, timeout=10)

        listening = asyncio.create_task(asked(8.0))
        assert await asyncio.to_thread(Patient.begun.wait, 10)
        listening.cancel()
        assert await asyncio.to_thread(Patient.ended.wait, 10)
        assert (await asked(5.0)).json()["text"] == PHRASE
