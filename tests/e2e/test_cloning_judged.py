"""Who consents, and to what, as the real models judge it: Kokoro's voices are the people, Whisper and GE2E listen."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from chatacter.models.store import ModelStore
from tests.listening import Listener, decoded
from tests.tone_people import AUDIO, encoded
from tests.vocalizr_server import vocalizr
from vocalizr.backend import Recording, Samples, Utterance
from vocalizr.backends.fake import FakeSpeech
from vocalizr.backends.kokoro.backend import KokoroSpeech
from vocalizr.backends.kokoro.model import SAMPLE_RATE, styles_of
from vocalizr.cloning.consent import PHRASES
from vocalizr.cloning.studios import Ears
from vocalizr.listening.ge2e import Ge2eSpeaker
from vocalizr.listening.sound import at_rate
from vocalizr.listening.speaker import likeness
from vocalizr.listening.whisper import WhisperTranscriber

pytestmark = pytest.mark.e2e

CONSENTS = "/v1/audio/voice_consents"
VOICES = "/v1/audio/voices"
STORY = "Would you care for a cup of black tea while we wait for the harbour lights to appear?"
DENIAL = "I am not the owner of this voice, and I agree that it is used to make a synthetic voice."

# The phrases in the languages for which Kokoro has voices, as they sound: it has no phonemizer for them here.
SOUNDS = {
    "es": ("ef_dora", "sˈoj el pɾopjetˈaɾjo ðe ˈesta βˈos i aθˈepto ke se ˈuse paɾa kɾeˈaɾ ˈuna βˈos sintˈetika."),
    "fr": ("ff_siwis", "ʒə sɥi lə pʁɔpʁijetˈɛʁ də sɛt vwˈa, e ʒaksˈɛpt kɛl sˈɛʁv a kʁeˈe yn vwˈa sɛ̃tetˈik."),
    "it": (
        "if_sara",
        "sˈono il propjetˈarjo di kwˈesta vˈotʃe e attʃˈetto ke vˈɛŋɡa uzˈata per kreˈare ˈuna vˈotʃe sintˈɛtika.",
    ),
    "pt": (
        "pf_dora",
        "sˈow u pɾopɾietˈaɾju dˈɛstɐ vˈɔs i asˈeytu ki ˈɛlɐ sˈeʒɐ uzˈadɐ pˈaɾɐ kɾiˈaɾ ˈumɐ vˈɔs sintˈɛtʃikɐ.",
    ),
}
DENIAL_IN_SPANISH = f"no {SOUNDS['es'][1]}"

Say = Callable[[str, str], Samples]


@pytest.fixture(scope="module")
def kokoro(models_home: Path) -> KokoroSpeech:
    backend = KokoroSpeech(ModelStore(models_home), threads=2)
    backend.load()
    return backend


@pytest.fixture(scope="module")
def say(kokoro: KokoroSpeech) -> Say:
    kept: dict[tuple[str, str], Samples] = {}

    def said(voice: str, text: str) -> Samples:
        if (voice, text) not in kept:
            chunks = kokoro.speak(Utterance(text, voice, 1.0, None, None), threading.Event())
            kept[voice, text] = np.concatenate([chunk.samples for chunk in chunks])
        return kept[voice, text]

    return said


@pytest.fixture(scope="module")
def ears(models_home: Path) -> Ears:
    pytest.importorskip("faster_whisper")
    store = ModelStore(models_home)
    return Ears(WhisperTranscriber(store, name="whisper-base", threads=2), Ge2eSpeaker(store))


@pytest.fixture
async def client(ears: Ears, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with vocalizr(FakeSpeech(cloning=True), ears=ears, vocalizr_voices_url=tmp_path.as_uri()) as found:
        found.timeout = httpx.Timeout(240)
        yield found


@pytest.mark.timeout(600)
async def test_the_speaker_and_the_words_decide(client: httpx.AsyncClient, say: Say) -> None:
    async def consented(voice: str, text: str) -> httpx.Response:
        sound = encoded(await asyncio.to_thread(say, voice, text), "flac", SAMPLE_RATE)
        form = {"name": voice, "language": "en-US"}
        return await client.post(CONSENTS, data=form, files={"recording": ("c.flac", sound, "audio/flac")})

    async def cloned(consent: str, sound: Samples) -> httpx.Response:
        files = {"audio_sample": ("s.wav", encoded(sound, rate=SAMPLE_RATE), AUDIO)}
        return await client.post(VOICES, data={"name": "Mine", "consent": consent}, files=files)

    given = await consented("af_heart", PHRASES["en"])
    assert given.status_code == 200, given.text
    consent = given.json()["id"]
    for text in (STORY, DENIAL):
        refused = await consented("af_heart", text)
        assert refused.status_code == 422, text
        assert PHRASES["en"] in refused.json()["error"]["message"]
    hers = await asyncio.to_thread(say, "af_heart", STORY)
    made = await cloned(consent, hers)
    assert made.status_code == 200, made.text
    for other in ("am_puck", "bf_emma"):
        refused = await cloned(consent, await asyncio.to_thread(say, other, STORY))
        assert refused.status_code == 422
        assert "does not sound like the one who consented" in refused.json()["error"]["message"]
    noise = np.random.default_rng(3).standard_normal(hers.size).astype(np.float32) * 0.05
    for spoilt, told in ((hers + noise, "noisy"), (np.clip(hers * 20, -1, 1), "clipped"), (hers[:24000], "Speak")):
        refused = await cloned(consent, spoilt.astype(np.float32))
        assert refused.status_code == 422
        assert told in refused.json()["error"]["message"]
    heard = await client.post(
        "/v1/audio/transcriptions",
        data={"model": "whisper-base", "response_format": "verbose_json", "timestamp_granularities[]": "word"},
        files={"file": ("s.wav", encoded(hers, rate=SAMPLE_RATE), AUDIO)},
    )
    assert heard.json()["language"] == "en"
    assert "cup" in heard.json()["text"]
    ends = [word["end"] for word in heard.json()["words"]]
    assert ends == sorted(ends)
    assert 0 < ends[-1] <= hers.size / SAMPLE_RATE + 0.1


@pytest.mark.timeout(600)
async def test_a_designed_voice_speaks_clearly_and_is_neither_of_its_parts(
    models_home: Path, ears: Ears, say: Say, listener: Listener, tmp_path: Path
) -> None:
    parts = ("af_heart", "am_michael")
    backend = KokoroSpeech(ModelStore(models_home), threads=2)
    async with vocalizr(backend, ears=ears, vocalizr_voices_url=tmp_path.as_uri()) as client:
        client.timeout = httpx.Timeout(240)
        blend = {"name": "Middle", "blend": {parts[0]: 1, parts[1]: 1}}
        voice = (await client.post(VOICES, json=blend)).json()
        assert (voice["kind"], voice["language"]) == ("designed", "en-US")
        body = {"model": "fake", "input": STORY, "voice": voice["id"], "response_format": "wav"}
        said = await client.post("/v1/audio/speech", json=body)
        assert said.status_code == 200, said.text
    samples, rate = decoded(said.content)
    assert await asyncio.to_thread(listener.word_error_rate, STORY, samples, rate) <= 0.15
    await asyncio.to_thread(ears.embedder.load)
    middle = await asyncio.to_thread(ears.embedder.embed, Recording(samples, rate))
    for part in parts:
        own = await asyncio.to_thread(ears.embedder.embed, Recording(say(part, STORY), SAMPLE_RATE))
        assert likeness(middle, own) < 0.95


@pytest.mark.timeout(600)
async def test_the_embedder_knows_a_voice_whatever_it_says_and_at_any_rate(ears: Ears, say: Say) -> None:
    await asyncio.to_thread(ears.embedder.load)

    def print_of(voice: str, text: str, rate: int = SAMPLE_RATE) -> np.ndarray:
        samples = at_rate(Recording(say(voice, text), SAMPLE_RATE), rate)
        return ears.embedder.embed(Recording(samples, rate))

    same = likeness(print_of("af_heart", STORY), print_of("af_heart", PHRASES["en"]))
    other = likeness(print_of("af_heart", STORY), print_of("am_puck", STORY))
    assert same > 0.83 > other
    assert likeness(print_of("af_heart", STORY), print_of("af_heart", STORY, 48000)) > 0.99


@pytest.mark.timeout(600)
async def test_consents_in_other_languages_are_heard_and_so_is_a_denial(
    client: httpx.AsyncClient, kokoro: KokoroSpeech, models_home: Path
) -> None:
    def sounding(voice: str, symbols: str) -> Samples:
        model, styles = kokoro._ready().model, styles_of(models_home / "kokoro-82m" / "voices" / f"{voice}.bin")
        known = "".join(symbol for symbol in symbols if symbol in model.symbols)
        return model.speak(known, styles, 0.95, threading.Event()).samples

    async def consented(language: str, symbols: str) -> httpx.Response:
        sound = encoded(await asyncio.to_thread(sounding, SOUNDS[language][0], symbols), rate=SAMPLE_RATE)
        form = {"name": language, "language": language}
        return await client.post(CONSENTS, data=form, files={"recording": ("c.wav", sound, AUDIO)})

    for language, (_, symbols) in SOUNDS.items():
        given = await consented(language, symbols)
        assert (given.status_code, given.json().get("language")) == (200, language), given.text
    refused = await consented("es", DENIAL_IN_SPANISH)
    assert refused.status_code == 422
    assert "deny" in refused.json()["error"]["message"]
