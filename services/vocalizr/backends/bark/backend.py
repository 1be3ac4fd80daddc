"""The backend: which weights, which voices, and a text spoken sentence by sentence in one voice."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chatacter.chassis.errors import Unsupported
from chatacter.chassis.plugins import needing
from chatacter.contracts.speech import MAX_INPUT_CHARACTERS, Voice
from chatacter.serving.batching import Joining, Left, Made, nobody
from chatacter.serving.licences import MIT
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
from vocalizr.backends.bark.presets import language_of
from vocalizr.backends.bark.voicing import RATE, Portion
from vocalizr.backends.pytorch.weights import no_weights, place, whole
from vocalizr.clauses import clauses
from vocalizr.settings import VocalizrSettings
from vocalizr.together import alone

if TYPE_CHECKING:
    from vocalizr.backends.bark.company import Company
    from vocalizr.backends.bark.model import Bark

EXAMPLE: Final = "suno/bark-small"
# The languages that Bark learned. It is told none: it hears which one a text is in.
LANGUAGES: Final = frozenset(("de", "en", "es", "fr", "hi", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh"))
# A voice without a prompt: somebody else for each text, and the same one to its end.
ANYBODY: Final = "anybody"
# What is beside a sentence costs it nothing: none is padded to another's length but at the beginning of a window.
TOGETHER: Final = Together(pieces=16, symbols=3000, padded=False, joining=True)
OTHER_LANGUAGE: Final = "language: the voice {voice} speaks {own}; leave it out, or choose another voice."


class BarkSpeech:
    """Bark, with its speaker prompts. `[laughs]`, `[sighs]`, `♪` and CAPITALS in a text are its own to understand."""

    capabilities = SpeechCapabilities(
        languages=LANGUAGES,
        sample_rate=RATE,
        cloning=False,
        instructions=False,
        timings=False,
        speed=(1.0, 1.0),
        max_characters=MAX_INPUT_CHARACTERS,
        licence=MIT,
        together=TOGETHER,
        seeds=True,
        drawn=frozenset((ANYBODY,)),
    )

    def __init__(self, settings: VocalizrSettings) -> None:
        self._settings = settings
        self._loaded: tuple[Bark, Company] | None = None

    def load(self) -> None:
        """Load the weights, fetching them first where they were named by their name at a hub."""
        where = place(self._settings)
        if where is None:
            raise no_weights(self._settings, EXAMPLE)
        with needing(f"VOCALIZR_MODEL={self._settings.vocalizr_model}", "bark"):
            from vocalizr.backends.pytorch.torchaudio_stand_in import mend_torchaudio  # noqa: PLC0415 - with PyTorch

            mend_torchaudio()
            from vocalizr.backends.bark.company import Company  # noqa: PLC0415 - with transformers
            from vocalizr.backends.bark.model import Bark  # noqa: PLC0415 - with transformers
        model = Bark.load(whole(where) if isinstance(where, Path) else where, self._settings)
        self._loaded = model, Company(model)
        self.capabilities = replace(self.capabilities, device=model.device)

    def voices(self) -> Sequence[Voice]:
        """List the speaker prompts, and last the voice that has none."""
        model = self._settings.served_name
        named = [
            Voice(id=name, name=name, model=model, language=language_of(name)) for name in self._ready()[0].speakers
        ]
        return [*named, Voice(id=ANYBODY, name="Anybody", model=model, language="en")]

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Speak sentence by sentence; what is cancelled ends within a step of the model."""
        return alone(self, utterance, cancelled)

    def pieces(self, utterance: Utterance) -> Sequence[Piece]:
        """Cut a text into sentences in one voice."""
        model, _ = self._ready()
        texts = [piece for piece in clauses(utterance.text) if any(letter.isalnum() for letter in piece)]
        if not texts:
            raise NothingToSay(NOTHING_TO_SAY, param="input")
        own = language_of(utterance.voice)
        if utterance.voice != ANYBODY and utterance.language not in (None, own):
            raise Unsupported(OTHER_LANGUAGE.format(voice=utterance.voice, own=own), param="language")
        speaker = model.speaker(None if utterance.voice == ANYBODY else utterance.voice)
        seed = self._settings.vocalizr_seed if utterance.seed is None else utterance.seed
        return [
            Piece(number, len(text), Portion(text, speaker, None if seed is None else seed + number))
            for number, text in enumerate(texts)
        ]

    def speak_together(
        self, pieces: Sequence[Piece], cancelled: Sequence[threading.Event], joining: Joining[Piece] = nobody
    ) -> Iterator[Made[SpeechChunk] | Left]:
        """Speak sentences of several texts in several voices; each comes as soon as it is whole, and others join."""
        _, company = self._ready()

        def joined() -> Sequence[tuple[Portion, threading.Event]]:
            return [(piece.content, event) for piece, event in joining()]

        for made in company.said([piece.content for piece in pieces], cancelled, joined):
            yield made if isinstance(made, Left) else Made(made.number, SpeechChunk(made.result))

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Raise `Unsupported`: Bark is published without what makes a prompt of a recording."""
        raise Unsupported(NO_CLONING)

    def close(self) -> None:
        """Free the model, and what the device kept for it."""
        if self._loaded is None:
            return
        from vocalizr.backends.pytorch.device import freed  # noqa: PLC0415 - with PyTorch

        self._loaded = None
        freed()

    def _ready(self) -> "tuple[Bark, Company]":
        if self._loaded is None:
            raise RuntimeError("load() comes first")
        return self._loaded


def create(settings: VocalizrSettings) -> BarkSpeech:
    """Make the backend that `VOCALIZR_MODEL=bark` asks for."""
    return BarkSpeech(settings)
