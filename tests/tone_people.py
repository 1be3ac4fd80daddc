"""People whose voices are tones: a pitch is a person. They need no model, and any encoder can store them."""

from functools import cache

import numpy as np

from vocalizr.audio import encoder
from vocalizr.backend import Samples
from vocalizr.cloning.consent import PHRASES
from vocalizr.cloning.studios import Ears
from vocalizr.listening.fakes import FakeEmbedder, FakeTranscriber

RATE = 24000
PHRASE = PHRASES["en"]
ANN = 220.0
BOB = 330.0
AUDIO = "audio/wav"


def samples(pitch: float, seconds: float = 5.0, loudness: float = 0.3) -> Samples:
    """Words of half a second with pauses between them, over a very quiet room."""
    times = np.arange(round(seconds * RATE)) / RATE
    speaking = (times % 0.6 < 0.5) * np.minimum(1, (times % 0.6) * 50)
    room = np.random.default_rng(round(pitch)).standard_normal(times.size) * 1e-4
    return (loudness * np.sin(2 * np.pi * pitch * times) * speaking + room).astype(np.float32)


def encoded(sound: Samples, audio_format: str = "wav", rate: int = RATE) -> bytes:
    """A sound as a file."""
    coder = encoder(audio_format, rate)  # type: ignore[arg-type]
    return coder.encode(sound) + coder.finish()


@cache
def recorded(pitch: float, audio_format: str = "wav", seconds: float = 5.0) -> bytes:
    """Somebody's recording."""
    return encoded(samples(pitch, seconds), audio_format)


def ears(text: str = PHRASE) -> Ears:
    """Ears that hear the consent phrase, or what a test wants, and tell people apart."""
    return Ears(FakeTranscriber(text), FakeEmbedder())
