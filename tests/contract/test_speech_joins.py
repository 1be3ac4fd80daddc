"""Where pieces of speech meet, and texts as long as a chapter: no click, even loudness, bounded memory, sound early."""

import threading
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from chatacter.models.store import ModelStore
from chatacter.serving.batching import Made, untold
from vocalizr.backend import NothingToSay, Samples, SpeechBackend, Utterance
from vocalizr.backends.bark.backend import BarkSpeech
from vocalizr.backends.coqui.backend import CoquiSpeech
from vocalizr.backends.kokoro.backend import KokoroSpeech
from vocalizr.settings import VocalizrSettings
from vocalizr.together import together

pytestmark = pytest.mark.contract

PARAGRAPH = (
    "The storm rolled in from the western sea. Every lantern on the airship began to sway, and nobody spoke. "
    "Hold on tight, my friend! Would you rather listen to the wind, or to the captain? He has never lost a passenger. "
)
CHAPTER = PARAGRAPH * 60
# Of full scale: sixteen steps of 16 bits, far under what is heard as a click.
STEP = 0.0005
# Decibels that a piece may be louder or softer than the middle one: questions and whispers differ, levels must not.
UNEVEN = 6.0


@pytest.fixture(scope="module")
def kokoro(models_home: Path) -> SpeechBackend:
    backend = KokoroSpeech(ModelStore(models_home), threads=1)
    backend.load()
    return backend


def coqui(weights: Path) -> CoquiSpeech:
    settings = VocalizrSettings(
        vocalizr_model="coqui", vocalizr_weights=str(weights), vocalizr_seed=7, vocalizr_threads=1
    )
    backend = CoquiSpeech(settings, "")
    backend.load()
    return backend


def bark(weights: Path) -> BarkSpeech:
    settings = VocalizrSettings(
        vocalizr_model="bark", vocalizr_weights=str(weights), vocalizr_seed=7, vocalizr_threads=1
    )
    backend = BarkSpeech(settings)
    backend.load()
    return backend


@pytest.fixture(scope="module")
def vits(tiny_vits: Path) -> SpeechBackend:
    return together(coqui(tiny_vits), untold)


@pytest.fixture(params=["kokoro", "vits"])
def backend(request: pytest.FixtureRequest) -> SpeechBackend:
    found: SpeechBackend = request.getfixturevalue(request.param)
    return found


def utterance(backend: SpeechBackend, text: str) -> Utterance:
    return Utterance(text, backend.voices()[0].id, 1.0, None, None)


def loudness(samples: Samples) -> float:
    """In decibels of full scale, of what is not silence."""
    heard = samples[np.abs(samples) > 0.002]
    return float(20 * np.log10(np.sqrt(np.mean(heard**2))))


def test_pieces_meet_without_a_click_at_an_even_loudness_with_a_pause(backend: SpeechBackend) -> None:
    chunks = [chunk.samples for chunk in backend.speak(utterance(backend, PARAGRAPH), threading.Event())]
    assert len(chunks) >= 5
    whole = np.concatenate(chunks)
    for end in np.cumsum([chunk.size for chunk in chunks])[:-1]:
        assert abs(whole[end] - whole[end - 1]) <= STEP
        around = np.abs(whole[end - 32 : end + 32])
        assert np.abs(np.diff(around)).max() <= 20 * STEP
    assert abs(whole[0]) <= STEP >= abs(whole[-1])
    levels = [loudness(chunk) for chunk in chunks]
    assert max(abs(level - np.median(levels)) for level in levels) <= UNEVEN, levels
    rate = backend.capabilities.sample_rate
    for chunk in chunks:  # each ends with the silence that its mark asks for, none with a long one
        silent = chunk.size - 1 - np.flatnonzero(np.abs(chunk) > 0.002)[-1]
        assert 0.04 <= silent / rate <= 0.45


@pytest.mark.parametrize("model", ["xtts", "bark"])
def test_sentences_that_are_drawn_code_by_code_meet_without_a_click(model: str, request: pytest.FixtureRequest) -> None:
    """Between chunks of a sentence of XTTS there is none by `test_xtts_together`: they are the sound in one go."""
    weights = request.getfixturevalue(f"tiny_{model}")
    speaking: CoquiSpeech | BarkSpeech = coqui(weights) if model == "xtts" else bark(weights)
    sounds = []
    for piece in speaking.pieces(utterance(speaking, "Nobody spoke. Hold on tight, my friend! Would you listen?")):
        made = speaking.speak_together([piece], [threading.Event()])
        sounds.append(np.concatenate([each.result.samples for each in made if isinstance(each, Made)]))
    assert len(sounds) >= 2
    for sound in sounds:  # random weights may be hardly louder than a step: their own loudest is what counts
        loudest = np.abs(sound).max()
        assert loudest > 2 * STEP
        assert np.abs(sound[[0, -1]]).max() <= STEP * loudest
    for one, other in pairwise(sounds):
        around = np.concatenate([one[-4:], other[:4]])  # where it has hardly begun to rise, within 5 ms
        assert np.abs(np.diff(around)).max() <= 0.05 * max(np.abs(one).max(), np.abs(other).max())


def test_a_chapter_is_spoken_in_bounded_memory_and_heard_at_once(vits: SpeechBackend) -> None:
    """All of it would be 30 MB and more; what is held at a time is a few pieces."""
    list(vits.speak(utterance(vits, PARAGRAPH), threading.Event()))
    tracemalloc.start()
    began, first, samples = time.perf_counter(), 0.0, 0
    try:
        for chunk in vits.speak(utterance(vits, CHAPTER), threading.Event()):
            first = first or time.perf_counter() - began
            samples += chunk.samples.size
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(CHAPTER) > 12_000
    assert samples * 4 > 30e6
    assert most < 10e6
    assert first < 0.1 * (time.perf_counter() - began)


@pytest.mark.parametrize(("model", "reads"), [("vits", "text_to_ids"), ("xtts", "encode")])
def test_a_chapter_is_read_as_it_is_spoken(
    model: str, reads: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 200,000 characters some sentences before the first sound; all where there is nothing to say, and no sound."""
    backend = coqui(request.getfixturevalue(f"tiny_{model}"))
    tokenizer = backend._ready()[0]._model.tokenizer  # type: ignore[attr-defined]
    read, reading = [], getattr(tokenizer, reads)
    monkeypatch.setattr(tokenizer, reads, lambda text, **more: read.append(len(text)) or reading(text, **more))
    text = PARAGRAPH * (200_000 // len(PARAGRAPH))
    speaking = together(backend, untold).speak(utterance(backend, text), threading.Event())
    next(speaking)
    assert 0 < sum(read) < 1000
    speaking.close()  # type: ignore[attr-defined]
    with pytest.raises(NothingToSay):
        next(together(backend, untold).speak(utterance(backend, "?! " * 70_000), threading.Event()))
