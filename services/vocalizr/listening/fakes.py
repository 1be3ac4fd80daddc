"""Ears that need no model: one hears what it is told to, the other knows people by the pitch of their voice."""

import threading

import numpy as np

from chatacter.chassis.errors import InvalidInput
from vocalizr.backend import Recording
from vocalizr.backends.fake import loudest_pitch
from vocalizr.listening.speaker import VoicePrint
from vocalizr.listening.transcriber import HeardWord, Hint, Passage, Transcript


class FakeTranscriber:
    """Hears `text` in everything."""

    name = "fake-ears"

    def __init__(self, text: str) -> None:
        self.text = text
        self.hints: list[Hint] = []
        self.closed = 0

    def load(self) -> None:
        """Need nothing."""

    def transcribe(self, recording: Recording, hint: Hint, cancelled: threading.Event) -> Transcript:
        """Return the text, its words spread evenly."""
        self.hints.append(hint)
        seconds = recording.samples.size / recording.rate
        words = self.text.split()
        step = seconds / max(1, len(words))
        heard = tuple(HeardWord(word, n * step, (n + 1) * step) for n, word in enumerate(words)) if hint.words else ()
        passage = Passage(self.text, 0.0, seconds, 0, (), hint.temperature, -0.1, 1.0, 0.0, heard)
        return Transcript(hint.language or "en", seconds, [passage])

    def close(self) -> None:
        """Count."""
        self.closed += 1


class FakeEmbedder:
    """Two voices are alike when their pitches are: an octave apart they have nothing in common."""

    def load(self) -> None:
        """Need nothing."""

    def embed(self, recording: Recording) -> VoicePrint:
        """Return a point on a quarter circle for each octave. Raises `InvalidInput` for silence."""
        if not recording.samples.any():
            raise InvalidInput("There is nobody to be heard in this recording.")
        angle = np.log2(loudest_pitch(recording) / 50) * np.pi / 2
        return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)

    def close(self) -> None:
        """Have nothing to free."""
