"""Lips that match: a film of real speech is decoded, the mouth is measured in its pixels and held against the phonemes.

The measure knows nothing of the renderer's tables: how open a sound is, is said again here, in four steps.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from chatacter.contracts.speech import Phoneme
from chatacter.models.store import ModelStore
from tests.film_material import PHOTO, PORTRAITS, Seen, data_url, events, film_in, watched, wav
from tests.service_process import ServiceProcess, running
from visualizr import references
from visualizr.backends.portrait import listening, visemes
from visualizr.backends.portrait.face import FaceFinder
from visualizr.backends.portrait.svg import read_artwork
from vocalizr.backend import Utterance
from vocalizr.backends.kokoro.backend import KokoroSpeech

pytestmark = pytest.mark.e2e

TEXT = "The storm rolled in from the western sea, and every lantern on my airship began to sway. Would you like to fly?"
FPS = 25
LATE = round(0.3 * FPS)

OPENNESS = {
    **dict.fromkeys("ɑæaIW", 1.0),
    **dict.fromkeys("ʌɔɛəɐɜAOYᵊ", 0.65),
    **dict.fromkeys("ɪiʊuᵻɹlhkɡŋ", 0.35),
    **dict.fromkeys("tdnszʃʒʧʤθðjwfvɾT", 0.2),
}


@dataclass(frozen=True)
class Speech:
    """Real speech with its timings."""

    sound: bytes
    seconds: float
    phonemes: tuple[Phoneme, ...]

    def openness(self, frames: int) -> NDArray[np.float64]:
        """How open the mouth should be in each frame, without any smoothing. A stress mark belongs to its vowel."""
        times = (np.arange(frames) + 0.5) / FPS
        wanted = np.zeros(frames)
        stressed: float | None = None
        for phoneme in self.phonemes:
            if phoneme.symbol in "ˈˌ":
                stressed = phoneme.start
                continue
            start = phoneme.start if stressed is None else stressed
            wanted[(times >= start) & (times < phoneme.end)] = OPENNESS.get(phoneme.symbol, 0.0)
            stressed = None
        return wanted

    def voiced(self, frames: int) -> NDArray[np.float64]:
        """How loud its vowels are in each frame, heard in the sound itself: it knows nothing of the timings."""
        sound = references.sound(data_url("audio/wav", self.sound), 60)
        loud = listening.loudness(sound) * (1 - listening.timbre(sound)[0])
        return np.interp((np.arange(frames) + 0.5) / FPS * visemes.TRACK_HZ, np.arange(len(loud)), loud)


@pytest.fixture(scope="module")
def speech(models_home: Path) -> Speech:
    backend = KokoroSpeech(ModelStore(models_home), threads=2)
    backend.load()
    chunks = list(backend.speak(Utterance(TEXT, "af_heart", 1.0, None, None), threading.Event()))
    backend.close()
    samples = np.concatenate([chunk.samples for chunk in chunks])
    rate = backend.capabilities.sample_rate
    phonemes = tuple(phoneme for chunk in chunks for phoneme in chunk.phonemes)
    return Speech(wav(samples, rate), len(samples) / rate, phonemes)


@pytest.fixture(scope="module")
def visualizr(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    settings = {"CHATACTER_HOME": str(models_home.parent), "VISUALIZR_THREADS": "2"}
    with running("visualizr", tmp_path_factory.mktemp("visualizr"), settings) as process:
        yield process


def filmed(visualizr: ServiceProcess, picture: str, speech: Speech, *, timed: bool = True) -> Seen:
    body = {
        "model": "portrait",
        "image_reference": picture,
        "audio_reference": data_url("audio/wav", speech.sound),
        "phonemes": [phoneme.model_dump() for phoneme in speech.phonemes] if timed else None,
        "fps": FPS,
        "seed": 11,
    }
    answer = httpx.post(f"{visualizr.url}/v1/video/generations", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return watched(film_in(events(answer)))


def drawn_mouth(name: str) -> Callable[[Seen], NDArray[np.float64]]:
    """Measure the dark inside of a drawn mouth: its area around the rig's mouth, wherever the head has moved it."""

    def measure(seen: Seen) -> NDArray[np.float64]:
        rig = read_artwork((PORTRAITS / f"{name}.svg").read_bytes()).rig.mouth
        scale = seen.frames.shape[1] / 1024
        room = 0.02 * seen.frames.shape[1]  # the head sways by less
        rows = slice(int((rig.y - 15) * scale - room), int((rig.y + rig.open) * scale + room))
        columns = slice(int((rig.x - rig.width / 2) * scale - room), int((rig.x + rig.width / 2) * scale + room))
        inside = np.array(rig.inside_colour, float)
        patch = seen.frames[:, rows, columns].astype(float)
        return (np.abs(patch - inside).max(axis=3) < 40).sum(axis=(1, 2)).astype(float)

    return measure


def seen_by_the_mesh(models_home: Path) -> Callable[[Seen], NDArray[np.float64]]:
    """Measure a face's mouth by the face mesh: from lip to lip, as a part of the face's height."""

    def measure(seen: Seen) -> NDArray[np.float64]:
        finder = FaceFinder(ModelStore(models_home))
        finder.load()
        opened = []
        for frame in seen.frames:
            points = finder.largest(frame)
            face = np.linalg.norm(points[152] - points[10])
            opened.append(np.linalg.norm(points[13] - points[14]) / face)
        return np.array(opened)

    return measure


def match(opened: NDArray[np.float64], wanted: NDArray[np.float64], lag: int) -> float:
    """Correlate; a positive lag lets the picture come that many frames after the sound."""
    if lag > 0:
        opened, wanted = opened[lag:], wanted[:-lag]
    elif lag < 0:
        opened, wanted = opened[:lag], wanted[-lag:]
    return float(np.corrcoef(opened, wanted)[0, 1])


@pytest.fixture(params=["ada", "leonardo", "mira", "iris", "photo"])
def subject(request: pytest.FixtureRequest, models_home: Path) -> tuple[str, Callable[[Seen], NDArray[np.float64]]]:
    if request.param == "photo":
        return data_url("image/jpeg", PHOTO.read_bytes()), seen_by_the_mesh(models_home)
    svg = (PORTRAITS / f"{request.param}.svg").read_bytes()
    return data_url("image/svg+xml", svg), drawn_mouth(request.param)


def test_lips_match_the_phonemes(
    subject: tuple[str, Callable[[Seen], NDArray[np.float64]]],
    visualizr: ServiceProcess,
    speech: Speech,
) -> None:
    picture, measure = subject
    seen = filmed(visualizr, picture, speech)
    assert seen.shown == pytest.approx(speech.seconds, abs=0.2)
    assert seen.heard == pytest.approx(speech.seconds, abs=0.2)
    opened = measure(seen)
    wanted = speech.openness(len(opened))
    found = {lag: match(opened, wanted, lag) for lag in (-LATE, -2, -1, 0, 1, 2, LATE)}
    heard = {lag: match(opened, speech.voiced(len(opened)), lag) for lag in (-LATE, 0, LATE)}
    assert found[0] >= 0.6
    assert max(found[LATE], found[-LATE]) < found[0] - 0.2
    assert max(heard[LATE], heard[-LATE]) < heard[0]


def test_timings_fit_the_sound(speech: Speech) -> None:
    """The speech service's timings, held against the sound they belong to; lips can be no better than these."""
    frames = round(speech.seconds * FPS)
    wanted, heard = speech.openness(frames), speech.voiced(frames)
    found = {lag: match(wanted, heard, lag) for lag in range(-4, 5)}
    assert max(found, key=lambda lag: found[lag]) == 0


def test_without_timings_the_lips_follow_the_sound(visualizr: ServiceProcess, speech: Speech) -> None:
    picture = data_url("image/svg+xml", (PORTRAITS / "ada.svg").read_bytes())
    opened = drawn_mouth("ada")(filmed(visualizr, picture, speech, timed=False))
    heard = speech.voiced(len(opened))
    assert match(opened, heard, 0) > 0.7
    assert max(match(opened, heard, LATE), match(opened, heard, -LATE)) < match(opened, heard, 0) - 0.2


def test_two_films_at_once_and_none_waits_for_the_other_forever(visualizr: ServiceProcess, speech: Speech) -> None:
    picture = data_url("image/svg+xml", (PORTRAITS / "mira.svg").read_bytes())

    async def both() -> list[Seen]:
        return await asyncio.gather(*(asyncio.to_thread(filmed, visualizr, picture, speech) for _ in range(2)))

    first, second = asyncio.run(both())
    assert np.array_equal(first.frames, second.frames)
