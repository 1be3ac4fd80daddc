"""A backend that needs no model: every letter is a short tone. It counts what it does, and can hum like a recording."""

import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from chatacter.chassis.errors import InvalidInput, Unsupported
from chatacter.contracts.speech import MAX_INPUT_CHARACTERS, Phoneme, Voice
from chatacter.serving.batching import Made
from vocalizr.backend import (
    NO_CLONING,
    NOTHING_TO_SAY,
    NothingToSay,
    Piece,
    Recording,
    SpeechCapabilities,
    SpeechChunk,
    Together,
    Utterance,
)
from vocalizr.clauses import clauses
from vocalizr.settings import VocalizrSettings
from vocalizr.together import alone

RATE: Final = 24000
SECONDS_PER_LETTER: Final = 0.05
LOUDNESS: Final = 0.2
HIGH: Final = 440.0
LOW: Final = 110.0
# No voice is lower; what hums below it is the room.
LOWEST: Final = 50.0
ABLE: Final = Together(pieces=16, symbols=4096)


def at_once(chunk: int) -> None:
    """Wait for nothing before a chunk."""


class FakeSpeech:
    """Beeps. `before` is called in the thread before each chunk with its number: a test can hold the model there."""

    def __init__(self, model: str = "fake", before: Callable[[int], None] = at_once, *, cloning: bool = False) -> None:
        self.capabilities = SpeechCapabilities(
            languages=frozenset({"en"}),
            sample_rate=RATE,
            cloning=cloning,
            instructions=False,
            timings=True,
            speed=(0.25, 4.0),
            max_characters=MAX_INPUT_CHARACTERS,
            blending=True,
        )
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
            raise NothingToSay(NOTHING_TO_SAY, param="input")
        self.begun += 1
        pitch = pitch_of(utterance)
        clock = 0.0
        try:
            for number, clause in enumerate(clauses(utterance.text)):
                self._before(number)
                if cancelled.is_set():
                    return
                self.chunks += 1
                chunk = beeps(clause, pitch, utterance.speed, clock)
                clock += chunk.samples.size / RATE
                yield chunk
        finally:
            self.ended += 1

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Return the pitch that is loudest in the recordings. Raises `Unsupported` unless it was made for cloning."""
        if not self.capabilities.cloning:
            raise Unsupported(NO_CLONING)
        if not any(recording.samples.any() for recording in recordings):
            raise InvalidInput("The recordings are silent.")
        return pitched(float(np.mean([loudest_pitch(recording) for recording in recordings])))

    def blended(self, shares: Mapping[str, float]) -> bytes:
        """Return the mean pitch of its voices."""
        pitches = [HIGH if name == "high" else LOW for name in shares]
        return pitched(float(np.average(pitches, weights=list(shares.values()))))

    def close(self) -> None:
        """Count."""
        self.closed += 1


class FakeTogether(FakeSpeech):
    """Beeps for several at once; `before` is called before each batch with the number of its first piece.

    `batches` holds the pieces of each, in letters.
    """

    def __init__(
        self,
        model: str = "fake",
        before: Callable[[int], None] = at_once,
        *,
        able: Together = ABLE,
    ) -> None:
        super().__init__(model, before)
        self.capabilities = replace(self.capabilities, together=able)
        self.batches: list[list[int]] = []

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Beep clause by clause."""
        return alone(self, utterance, cancelled)

    def pieces(self, utterance: Utterance) -> Sequence[Piece]:
        """Cut at clauses."""
        if not any(letter.isalnum() for letter in utterance.text):
            raise NothingToSay(NOTHING_TO_SAY, param="input")
        self.begun += 1
        return [
            Piece(number, len(clause), (clause, utterance)) for number, clause in enumerate(clauses(utterance.text))
        ]

    def speak_together(
        self, pieces: Sequence[Piece], cancelled: Sequence[threading.Event]
    ) -> Iterator[Made[SpeechChunk]]:
        """Beep all of them."""
        self.batches.append([piece.symbols for piece in pieces])
        self._before(pieces[0].number)
        for number, piece in enumerate(pieces):
            if not cancelled[number].is_set():
                clause, utterance = piece.content
                self.chunks += 1
                yield Made(number, beeps(clause, pitch_of(utterance), utterance.speed, 0.0))


def pitched(pitch: float) -> bytes:
    """Write a pitch as plain numbers."""
    kept = io.BytesIO()
    np.savez(kept, pitch=pitch)
    return kept.getvalue()


def loudest_pitch(recording: Recording) -> float:
    """Return the frequency with the most power, in Hz."""
    power = np.abs(np.fft.rfft(recording.samples))
    frequencies = np.fft.rfftfreq(recording.samples.size, 1 / recording.rate)
    return float(frequencies[np.argmax(power * (frequencies >= LOWEST))])


def pitch_of(utterance: Utterance) -> float:
    """Return the pitch of a voice in Hz: its own, or that of the recordings or voices it is made of."""
    if utterance.likeness is None:
        return HIGH if utterance.voice == "high" else LOW
    with np.load(io.BytesIO(utterance.likeness), allow_pickle=False) as kept:
        return float(kept["pitch"])


def beeps(clause: str, base: float, speed: float, clock: float) -> SpeechChunk:
    """Make a tone for each character of a clause, silence for what is not a letter."""
    length = round(RATE * SECONDS_PER_LETTER / speed)
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


def create_together(settings: VocalizrSettings) -> FakeTogether:
    """Make the backend that `VOCALIZR_MODEL=fake-together` asks for."""
    return FakeTogether(settings.served_name)


def create_cloning(settings: VocalizrSettings) -> FakeSpeech:
    """Make the backend that `VOCALIZR_MODEL=fake-cloning` asks for."""
    return FakeSpeech(settings.served_name, cloning=True)
