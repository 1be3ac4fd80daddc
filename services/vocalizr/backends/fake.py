"""A backend that needs no model: every letter is a short tone. It counts what it does."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from chatacter.chassis.errors import InvalidInput
from chatacter.contracts.speech import MAX_INPUT_CHARACTERS, Phoneme, Voice
from vocalizr.backend import NOTHING_TO_SAY, SpeechCapabilities, SpeechChunk, Utterance
from vocalizr.clauses import clauses
from vocalizr.settings import VocalizrSettings

RATE: Final = 24000
SECONDS_PER_LETTER: Final = 0.05
LOUDNESS: Final = 0.2


def at_once(chunk: int) -> None:
    """Wait for nothing before a chunk."""


class FakeSpeech:
    """Beeps. `before` is called in the thread before each chunk with its number: a test can hold the model there."""

    capabilities = SpeechCapabilities(
        languages=frozenset({"en"}),
        sample_rate=RATE,
        cloning=False,
        instructions=False,
        timings=True,
        speed=(0.25, 4.0),
        max_characters=MAX_INPUT_CHARACTERS,
    )

    def __init__(self, model: str = "fake", before: Callable[[int], None] = at_once) -> None:
        self._model = model
        self._before = before
        self.loaded = 0
        self.closed = 0
        self.begun = 0
        self.chunks = 0
        self.ended = 0

    def load(self) -> None:
        """Count."""
        self.loaded += 1

    def voices(self) -> Sequence[Voice]:
        """List two voices, a high and a low one."""
        return [
            Voice(id="high", name="High", model=self._model, language="en"),
            Voice(id="low", name="Low", model=self._model, language="en"),
        ]

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Beep clause by clause."""
        if not any(letter.isalnum() for letter in utterance.text):
            raise InvalidInput(NOTHING_TO_SAY, param="input")
        self.begun += 1
        clock = 0.0
        try:
            for number, clause in enumerate(clauses(utterance.text)):
                self._before(number)
                if cancelled.is_set():
                    return
                self.chunks += 1
                chunk = beeps(clause, utterance, clock)
                clock += chunk.samples.size / RATE
                yield chunk
        finally:
            self.ended += 1

    def close(self) -> None:
        """Count."""
        self.closed += 1


def beeps(clause: str, utterance: Utterance, clock: float) -> SpeechChunk:
    """Make a tone for each character of a clause, silence for what is not a letter."""
    length = round(RATE * SECONDS_PER_LETTER / utterance.speed)
    base = 440.0 if utterance.voice == "high" else 110.0
    times = np.arange(length) / RATE
    tones, phonemes = [], []
    for number, letter in enumerate(clause):
        pitch = base * 2 ** ((ord(letter) % 12) / 12)
        tones.append(np.sin(2 * np.pi * pitch * times) * np.hanning(length) * LOUDNESS * letter.isalnum())
        start = clock + number * length / RATE
        phonemes.append(Phoneme(symbol=letter, start=start, end=start + length / RATE))
    return SpeechChunk(np.concatenate(tones).astype(np.float32), tuple(phonemes))


def create(settings: VocalizrSettings) -> FakeSpeech:
    """Make the backend that `VOCALIZR_MODEL=fake` asks for."""
    return FakeSpeech(settings.served_name)
