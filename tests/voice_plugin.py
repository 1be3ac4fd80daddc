"""A speech model that sounds like a voice, in pieces: beeps are no speech, and nobody looks for a mark in them."""

import threading
from collections.abc import Iterator

import numpy as np

from tests.voicelike import voice
from vocalizr.backend import SpeechChunk, Utterance
from vocalizr.backends.fake import FakeSpeech
from vocalizr.settings import VocalizrSettings

SECONDS = 4.0


class Voice(FakeSpeech):
    """Says the same whatever it is asked to say."""

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        for piece in np.array_split(voice(SECONDS), 7):
            yield SpeechChunk(piece)


def create(settings: VocalizrSettings) -> Voice:
    """Make the backend that `VOCALIZR_MODEL=voice` asks for."""
    return Voice(settings.served_name)
