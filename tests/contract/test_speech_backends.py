"""What holds for every speech backend: the fake, another Vocalizr, Kokoro, and tiny ones of Coqui and Bark."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI

from chatacter.chassis.errors import InvalidInput, Unsupported
from chatacter.models.store import ModelStore
from chatacter.serving.batching import untold
from chatacter.serving.work import streamed
from tests.served import served
from vocalizr.app import application
from vocalizr.backend import Recording, SpeechBackend, SpeechChunk, Utterance
from vocalizr.backends.bark.backend import BarkSpeech
from vocalizr.backends.coqui.backend import CoquiSpeech, create
from vocalizr.backends.fake import FakeSpeech, FakeTogether
from vocalizr.backends.kokoro.backend import KokoroSpeech
from vocalizr.backends.remote import RemoteSpeech
from vocalizr.settings import VocalizrSettings
from vocalizr.together import InCompany, together

pytestmark = pytest.mark.contract

TEXT = "Hello there, my old friend. The ship sails at dawn. Will you come along?"


MODELS = ("kokoro", "vits", "xtts", "bark")


@dataclass
class Case:
    """A loaded backend."""

    backend: SpeechBackend

    async def speak(self, text: str = TEXT, speed: float = 1.0) -> list[SpeechChunk]:
        """All chunks of a text in the first voice."""
        voice = (await asyncio.to_thread(self.backend.voices))[0]
        utterance = Utterance(text, voice.id, speed, None, None)
        async with aclosing(streamed(partial(self.backend.speak, utterance))) as chunks:
            return [chunk async for chunk in chunks]

    async def like(self, recordings: Sequence[Recording]) -> bytes:
        """What makes the model speak like the recordings."""
        return await asyncio.to_thread(self.backend.conditioned, recordings)

    async def cloned(self, likeness: bytes) -> np.ndarray:
        """The sound of a short text in a cloned voice."""
        utterance = Utterance("The same words.", "mine", 1.0, None, None, likeness)
        async with aclosing(streamed(partial(self.backend.speak, utterance))) as chunks:
            return np.concatenate([chunk.samples async for chunk in chunks])

    async def samples(self, text: str = TEXT, speed: float = 1.0) -> int:
        """How long a text is."""
        return sum(chunk.samples.size for chunk in await self.speak(text, speed))


@pytest.fixture(scope="module")
def kokoro(models_home: Path) -> KokoroSpeech:
    backend = KokoroSpeech(ModelStore(models_home), threads=2)
    backend.load()
    return backend


@pytest.fixture(scope="module")
def vits(tiny_vits: Path) -> CoquiSpeech:
    return coqui("coqui", tiny_vits)


@pytest.fixture(scope="module")
def xtts(tiny_xtts: Path) -> CoquiSpeech:
    return coqui("xtts", tiny_xtts)


@pytest.fixture(scope="module")
def bark(tiny_bark: Path) -> BarkSpeech:
    settings = VocalizrSettings(
        vocalizr_model="bark", vocalizr_weights=str(tiny_bark), vocalizr_seed=7, vocalizr_threads=1
    )
    backend = BarkSpeech(settings)
    backend.load()
    return backend


def coqui(model: str, weights: Path) -> CoquiSpeech:
    """A loaded model of Coqui's; with a seed, because sampled speech is of another length each time."""
    settings = VocalizrSettings(
        vocalizr_model=model, vocalizr_weights=str(weights), vocalizr_seed=7, vocalizr_threads=1
    )
    backend = create(settings)
    backend.load()
    return backend


@pytest.fixture
def other_vocalizr() -> FastAPI:
    """Another Vocalizr, for the remote backend to ask."""
    return application(VocalizrSettings(vocalizr_model="fake", enable_metrics=False), FakeSpeech())


@pytest.fixture(params=["fake", "fake-cloning", "fake-together", "fake in company", "remote", *MODELS])
def named(request: pytest.FixtureRequest) -> tuple[str, SpeechBackend | None]:
    """A backend's name, with the backend where it is a model that is loaded once."""
    return request.param, request.getfixturevalue(request.param) if request.param in MODELS else None


@pytest.fixture
async def case(named: tuple[str, SpeechBackend | None], other_vocalizr: FastAPI) -> AsyncIterator[Case]:
    name, model = named
    if model is not None:
        # What speaks together is served in batches; what holds for it alone is asked of `fake-together`.
        yield Case(together(model, untold))
    elif name == "fake-together":
        yield Case(FakeTogether())
    elif name == "fake in company":
        yield Case(InCompany(FakeTogether(), untold))
    elif name in {"fake", "fake-cloning"}:
        yield Case(FakeSpeech(cloning=name == "fake-cloning"))
    else:
        async with served(other_vocalizr) as url:
            backend = await asyncio.to_thread(loaded, url)
            yield Case(backend)
            await asyncio.to_thread(backend.close)


def loaded(url: str) -> RemoteSpeech:
    """A remote backend that has learned its voices."""
    settings = VocalizrSettings(vocalizr_model="remote", vocalizr_remote_url=f"{url}/v1", vocalizr_remote_model="fake")
    backend = RemoteSpeech(settings)
    backend.load()
    return backend


async def test_voices_are_named_and_in_a_language_that_it_speaks(case: Case) -> None:
    voices = await asyncio.to_thread(case.backend.voices)
    assert len({voice.id for voice in voices}) == len(voices) > 0
    assert {voice.language for voice in voices} <= case.backend.capabilities.languages


async def test_sound_is_mono_within_full_scale_and_comes_in_pieces(case: Case) -> None:
    chunks = await case.speak()
    assert len(chunks) > 1
    for chunk in chunks:
        assert chunk.samples.dtype == np.float32
        assert chunk.samples.ndim == 1
        assert np.isfinite(chunk.samples).all()
        assert np.abs(chunk.samples).max(initial=0) <= 1
    rate = case.backend.capabilities.sample_rate
    assert 2 < sum(chunk.samples.size for chunk in chunks) / rate < 10


async def test_timings_are_promised_and_kept_or_neither(case: Case) -> None:
    chunks = await case.speak()
    phonemes = [phoneme for chunk in chunks for phoneme in chunk.phonemes]
    if not case.backend.capabilities.timings:
        assert phonemes == []
        return
    clock = 0.0
    for chunk in chunks:
        assert chunk.phonemes[0].start == pytest.approx(clock)
        clock += chunk.samples.size / case.backend.capabilities.sample_rate
        assert chunk.phonemes[-1].end == pytest.approx(clock)
    assert all(one.end == pytest.approx(other.start) for one, other in pairwise(phonemes))


async def test_faster_is_shorter(case: Case) -> None:
    slowest, fastest = case.backend.capabilities.speed
    if slowest == fastest:
        return
    assert await case.samples("A short text.", fastest) < await case.samples("A short text.", slowest)


@pytest.mark.parametrize("text", ["…", "😀 😀", "- - -"])
async def test_a_text_without_a_sound_is_refused_before_any_chunk(case: Case, text: str) -> None:
    with pytest.raises(InvalidInput):
        await case.speak(text)


async def test_cancelled_before_it_begins_nothing_is_said(case: Case) -> None:
    def speak(cancelled: threading.Event) -> list[SpeechChunk]:
        voice = case.backend.voices()[0]
        return list(case.backend.speak(Utterance(TEXT, voice.id, 1.0, None, None), cancelled))

    cancelled = threading.Event()
    cancelled.set()
    assert await asyncio.to_thread(speak, cancelled) == []


async def test_cancelled_in_the_middle_it_ends(case: Case) -> None:
    voice = (await asyncio.to_thread(case.backend.voices))[0]
    whole = len(await case.speak())
    heard = 0
    cancelled = threading.Event()

    def speak() -> int:
        count = 0
        for _ in case.backend.speak(Utterance(TEXT, voice.id, 1.0, None, None), cancelled):
            count += 1
            cancelled.set()
        return count

    heard = await asyncio.to_thread(speak)
    assert heard == 1 < whole


async def test_two_at_once_are_as_one_after_the_other(case: Case) -> None:
    alone = await case.samples("The same words.")
    assert await asyncio.gather(case.samples("The same words."), case.samples("The same words.")) == [alone, alone]


def hummed(pitch: float, seconds: float = 4.0, rate: int = 22050) -> Recording:
    """Somebody who hums: a tone with overtones, in syllables."""
    times = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * pitch * harmonic * times) / harmonic for harmonic in range(1, 6))
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * times)
    return Recording((0.2 * tone * syllables).astype(np.float32), rate)


async def test_it_speaks_like_a_recording_or_says_that_it_cannot(case: Case) -> None:
    low, high = hummed(110.0), hummed(260.0)
    if not case.backend.capabilities.cloning:
        with pytest.raises(Unsupported):
            await case.like([low])
        return
    as_low, as_high = await case.like([low]), await case.like([high])
    assert await case.like([low]) == as_low != as_high
    one, other = await case.cloned(as_low), await case.cloned(as_high)
    assert one.size != other.size or not np.allclose(one, other)


async def test_several_recordings_of_several_rates_make_one_likeness(case: Case) -> None:
    if not case.backend.capabilities.cloning:
        return
    likeness = await case.like([hummed(110.0), hummed(130.0, rate=44100)])
    assert (await case.cloned(likeness)).size


async def test_no_recording_or_a_silent_one_is_nobody(case: Case) -> None:
    if not case.backend.capabilities.cloning:
        return
    for nobody in ([], [Recording(np.zeros(22050, dtype=np.float32), 22050)]):
        with pytest.raises(InvalidInput):
            await case.like(nobody)


@pytest.mark.parametrize(
    "make",
    [
        FakeSpeech,
        lambda: RemoteSpeech(VocalizrSettings(vocalizr_remote_url="http://127.0.0.1:9/v1")),
        lambda: KokoroSpeech(ModelStore(Path("nowhere")), threads=1),
        lambda: create(VocalizrSettings(vocalizr_model="coqui", chatacter_home=Path("nowhere"))),
        lambda: BarkSpeech(VocalizrSettings(vocalizr_model="bark", chatacter_home=Path("nowhere"))),
    ],
    ids=["fake", "remote", "kokoro", "coqui", "bark"],
)
def test_what_was_never_loaded_can_be_closed(make: Callable[[], SpeechBackend]) -> None:
    backend = make()
    before = backend.capabilities
    backend.close()
    backend.close()
    assert backend.capabilities == before
