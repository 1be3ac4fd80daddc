"""Kokoro through the door of a real process: understood, even, timed, early."""

import base64
import json
import logging
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chatacter.models.store import ModelStore
from tests.listening import Listener, Samples, decoded
from tests.service_process import running
from vocalizr.backend import Utterance
from vocalizr.backends.kokoro.backend import KokoroSpeech

pytestmark = pytest.mark.e2e

# Shown by `pytest -o log_cli=true --log-cli-level=INFO`.
measured = logging.getLogger("measured")

RATE = 24000
SENTENCES = [
    "The storm rolled in from the western sea, and every lantern on the airship began to sway.",
    "Hold on tight, my friend, because the captain has never lost a passenger yet!",
    "Would you rather read the record, or listen to the wind in the old trees?",
    "Doctor Watson paid twelve dollars for the apples that he had used to feed his horse.",
]
TEXT = " ".join(SENTENCES)
TWELVE_WORDS = "Of course I remember you, and I kept the old map safe."


@pytest.fixture(scope="module")
def door(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = {"CHATACTER_HOME": str(models_home.parent)}
    with (
        running("vocalizr", tmp_path_factory.mktemp("vocalizr"), settings) as service,
        httpx.Client(base_url=service.url, timeout=120, trust_env=False) as client,
    ):
        yield client


def body(text: str, voice: str = "af_heart", **more: Any) -> dict[str, Any]:
    return {"model": "kokoro", "input": text, "voice": voice, "response_format": "pcm", **more}


def samples_of(content: bytes) -> Samples:
    return np.frombuffer(content, "<i2").astype(np.float32) / 32768


@pytest.mark.parametrize("voice", ["af_heart", "am_michael", "bf_emma", "bm_george"])
def test_it_is_understood(door: httpx.Client, listener: Listener, voice: str) -> None:
    began = time.monotonic()
    answer = door.post("/v1/audio/speech", json=body(TEXT, voice))
    took = time.monotonic() - began
    samples = samples_of(answer.raise_for_status().content)
    errors = listener.word_error_rate(TEXT, samples, RATE)
    loudness = 20 * np.log10(np.sqrt(np.mean(samples**2)))
    measured.info("%s: WER %.3f, RTF %.2f, %.1f dBFS", voice, errors, took * RATE / samples.size, loudness)
    assert errors <= 0.15
    assert -32 < loudness < -14
    assert np.abs(samples).max() <= 1


def test_numbers_are_read_as_people_say_them(door: httpx.Client, listener: Listener) -> None:
    answer = door.post("/v1/audio/speech", json=body("Dr. Smith paid $12.50 on March 3rd at 3:45 pm."))
    heard = listener.heard(samples_of(answer.raise_for_status().content), RATE)
    heard = heard.lower()
    assert "smith" in heard
    assert ("12" in heard and "50" in heard) or "twelve dollars and fifty cents" in heard
    assert "march 3" in heard or "march third" in heard
    assert "3:45" in heard or "3.45" in heard or "three forty" in heard


@pytest.mark.parametrize("audio_format", ["mp3", "opus", "aac", "flac", "wav"])
def test_every_format_is_understood(door: httpx.Client, listener: Listener, audio_format: str) -> None:
    answer = door.post("/v1/audio/speech", json=body(SENTENCES[1], response_format=audio_format))
    samples, rate = decoded(answer.raise_for_status().content)
    assert listener.word_error_rate(SENTENCES[1], samples, rate) <= 0.15


def test_pauses_are_short_and_joins_are_silent(door: httpx.Client) -> None:
    answer = door.post("/v1/audio/speech", json=body(TEXT, stream_format="sse", timings=True))
    *deltas, done = (json.loads(line[6:]) for line in answer.raise_for_status().text.splitlines() if line)
    pieces = [samples_of(base64.b64decode(delta["audio"])) for delta in deltas if delta["audio"]]
    phonemes = [phoneme for delta in deltas for phoneme in delta["phonemes"]]
    samples = np.concatenate(pieces)

    seconds = samples.size / RATE
    assert phonemes[-1]["end"] == pytest.approx(seconds, abs=1e-6)
    assert done["usage"]["audio_milliseconds"] == round(seconds * 1000)
    assert all(abs(one["end"] - two["start"]) < 1e-9 for one, two in pairwise(phonemes))

    joins = np.cumsum([piece.size for piece in pieces])[:-1]
    steps = np.abs(np.diff(samples))
    assert max(steps[join - 120 : join + 120].max() for join in joins) < 0.02

    loud = np.flatnonzero(np.abs(samples) > 0.01)
    assert loud[0] / RATE < 0.1
    assert 0.1 < (samples.size - loud[-1]) / RATE < 0.4
    pauses = np.diff(loud) / RATE
    measured.info("%d pieces, longest pause %.2f s", len(pieces), pauses.max())
    assert pauses.max() < 0.7


def test_the_first_sound_is_early(door: httpx.Client) -> None:
    """Well before the whole; the seconds themselves belong to the benchmarks, on a machine that does nothing else."""
    began = time.monotonic()
    with door.stream("POST", "/v1/audio/speech", json=body(TWELVE_WORDS)) as answer:
        pieces = answer.iter_bytes()
        next(pieces)
        first = time.monotonic() - began
        assert sum(len(piece) for piece in pieces) > RATE
    whole = time.monotonic() - began
    measured.info("first sound of twelve words after %.2f s, the last after %.2f s", first, whole)
    assert first < 0.75 * whole


def test_sigterm_lets_running_speech_end(models_home: Path, tmp_path: Path) -> None:
    with (
        running("vocalizr", tmp_path, {"CHATACTER_HOME": str(models_home.parent)}) as service,
        httpx.Client(base_url=service.url, timeout=120, trust_env=False) as client,
        client.stream("POST", "/v1/audio/speech", json=body(TEXT)) as answer,
    ):
        pieces = answer.iter_bytes()
        heard = len(next(pieces))
        service.process.terminate()
        heard += sum(len(piece) for piece in pieces)
        assert heard / 2 / RATE > 15
        client.close()
        assert service.process.wait(30) in {0, -signal.SIGTERM}


def test_a_clause_that_is_not_wanted_any_more_is_given_up(models_home: Path) -> None:
    backend = KokoroSpeech(ModelStore(models_home), threads=1)
    backend.load()
    text = "and then another word " * 9
    began = time.monotonic()
    whole = list(backend.speak(Utterance(text, "af_heart", 1.0, None, None), threading.Event()))
    alone = time.monotonic() - began
    cancelled = threading.Event()
    timer = threading.Timer(0.3, cancelled.set)
    began = time.monotonic()
    timer.start()
    heard = list(backend.speak(Utterance(text, "af_heart", 1.0, None, None), cancelled))
    took = time.monotonic() - began
    timer.join()
    measured.info("%.2f s alone, %.2f s when cancelled after 0.3 s", alone, took)
    assert len(heard) < len(whole)
    assert took < alone / 2
